"""The simulated OpenBao: it tells its keys once, comes up sealed, and forgets nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sim import cluster as clusters
from sim.simulation import Simulation
from sim.state import ClusterState, PodVault, VaultState

if TYPE_CHECKING:
    from sim.api import Answer

Reply = tuple[int, Any]
SEALED: Reply = (503, {"errors": ["Vault is sealed"]})


def answer(
    simulation: Simulation,
    cluster: ClusterState,
    target: str,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
) -> Answer:
    from sim.api import Answer

    status, data = _reply(
        simulation, cluster, target, method, path.removeprefix("/v1/"), body, headers
    )
    return Answer(status, data)


def _reply(
    simulation: Simulation,
    cluster: ClusterState,
    target: str,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
) -> Reply:
    if not _runs(simulation, cluster):
        return 503, {"message": "no endpoints available"}
    vault = clusters.vault_of(cluster)
    if target == "openbao-active":
        return _leader(simulation, vault, method, path, body, headers.get("X-Vault-Token", ""))
    index = int(target.removeprefix("openbao-"))
    if index not in vault.pods:
        return 404, {"message": f"pods {target} not found"}
    pod, now = vault.pods[index], simulation.state.now
    if now < pod.up_at:
        return 503, {"message": f"{target} has not started"}
    match method, path:
        case "GET", "sys/seal-status":
            return 200, _seal_status(vault, pod, now)
        case "GET", "sys/leader":
            return 200, {"is_self": index == _leading(vault)}
        case "PUT", "sys/seal":
            return _seal(simulation, vault, index, headers.get("X-Vault-Token", ""))
        case "PUT", "sys/init":
            return _init(simulation, vault, index, body)
        case "PUT", "sys/unseal":
            return _unseal(simulation, vault, index, body["key"])
    raise simulation.refuse(f"nobody taught the simulated vault {method} {path}")


def _runs(simulation: Simulation, cluster: ClusterState) -> bool:
    """Pods of the vault run, sealed ones too."""
    if clusters.OPENBAO not in cluster.objects:
        return False
    state = simulation.state
    images = set(clusters.images_in(cluster.objects[clusters.OPENBAO]))
    return any(
        images <= set(state.hosts[n].images) and clusters.node_ready(state, cluster, n)
        for n in cluster.nodes
    )


def _has_data(pod: PodVault, now: float) -> bool:
    return pod.data_at is not None and now >= pod.data_at


def _seal_status(vault: VaultState, pod: PodVault, now: float) -> dict[str, Any]:
    return {
        "initialized": _has_data(pod, now),
        "sealed": pod.sealed,
        "t": vault.threshold,
        "n": len(vault.keys),
        "progress": len(pod.given),
    }


def _leading(vault: VaultState) -> int | None:
    return next((i for i, p in sorted(vault.pods.items()) if not p.sealed), None)


def _seal(simulation: Simulation, vault: VaultState, index: int, token: str) -> Reply:
    if token != vault.root_token:
        return 403, {"errors": ["permission denied"]}
    if index != _leading(vault):
        return 500, {"errors": ["cannot seal when in standby mode"]}
    vault.pods[index].sealed = True
    vault.rotation.clear()
    simulation.tick(f"after openbao-{index} was sealed")
    return 204, {}


def _init(simulation: Simulation, vault: VaultState, index: int, body: Any) -> Reply:
    others = [i for i, p in vault.pods.items() if p.data_at is not None]
    if others:
        raise simulation.refuse(f"init of a vault that is initialised (pods {others})")
    nth = simulation.count("vault init")
    vault.root_token, vault.threshold = f"CANARY:root:{nth}", body["secret_threshold"]
    vault.keys = [f"CANARY:unseal:{nth}:{i}" for i in range(body["secret_shares"])]
    vault.pods[index].data_at = simulation.state.now
    for part in (vault.mounts, vault.logins, vault.policies, vault.roles, vault.secrets):
        part.clear()
    simulation.tick("after the vault told its keys")
    return 200, {"keys_base64": list(vault.keys), "root_token": vault.root_token}


def _unseal(simulation: Simulation, vault: VaultState, index: int, key: str) -> Reply:
    pod = vault.pods[index]
    if not _has_data(pod, simulation.state.now):
        raise simulation.refuse(f"openbao-{index} is unsealed before it is initialised")
    if pod.sealed and key not in pod.given:
        pod.given.append(key)
    if pod.sealed and len(pod.given) >= vault.threshold:
        given, pod.given = pod.given, []
        if not set(given) <= set(vault.keys):
            return 400, {"errors": ["cipher: message authentication failed"]}
        pod.sealed = False
        clusters.join_raft(vault, simulation.state.now)
        simulation.tick(f"after openbao-{index} was unsealed")
    else:
        simulation.tick(f"after openbao-{index} was given a share")
    return 200, _seal_status(vault, pod, simulation.state.now)


def _leader(
    simulation: Simulation, vault: VaultState, method: str, path: str, body: Any, token: str
) -> Reply:
    if all(p.sealed for p in vault.pods.values()):
        return SEALED
    if token != vault.root_token:
        return 403, {"errors": ["permission denied"]}
    if path.startswith("sys/rotate/root/"):
        return _rotate(simulation, vault, method, path.removeprefix("sys/rotate/root/"), body)
    if method == "GET":
        return _read(simulation, vault, path)
    if method != "POST":
        raise simulation.refuse(f"nobody taught the simulated vault {method} {path}")
    reply = _write(simulation, vault, path, body)
    simulation.tick(f"after the vault took {path}")
    return reply


def _rotate(simulation: Simulation, vault: VaultState, method: str, path: str, body: Any) -> Reply:
    """As OpenBao 2.7.2 answers, by measurement."""
    now = vault.rotation
    match method, path:
        case "GET", "init":
            return 200, {"data": _rotation(vault)}
        case "DELETE", "init":
            now.clear()
        case "POST", "init":
            if now:
                return 400, {"errors": ["rotation already in progress"]}
            nth = simulation.count("vault rotation")
            now |= {"nonce": f"nonce-{nth}", "nth": nth, "given": [], "proof": "", **body}
        case "POST", "update":
            return _rotate_with(simulation, vault, body["key"], body["nonce"])
        case "POST", "verify":
            return _prove(simulation, vault, body["key"], body["nonce"])
        case _:
            raise simulation.refuse(f"nobody taught the simulated vault {method} rotate {path}")
    simulation.tick(f"after the vault's rotation took {method} {path}")
    return 200, {"data": _rotation(vault)}


def _rotation(vault: VaultState) -> dict[str, Any]:
    now = vault.rotation
    return {
        "started": bool(now),
        "n": now.get("secret_shares", 0),
        "t": now.get("secret_threshold", 0),
        "required": vault.threshold,
        **({"nonce": now["nonce"], "progress": len(now["given"])} if now else {}),
        **({"verification_nonce": now["proof"]} if now else {}),
    }


def _rotate_with(simulation: Simulation, vault: VaultState, key: str, nonce: str) -> Reply:
    now = vault.rotation
    if not now or nonce != now["nonce"] or now["proof"]:
        return 400, {"errors": ["no rotation with this nonce takes shares"]}
    if key in now["given"]:
        return 400, {"errors": ["given key has already been provided during this rotation"]}
    now["given"].append(key)
    if len(now["given"]) < vault.threshold:
        simulation.tick("after the vault's rotation was given a share")
        return 200, {"data": _rotation(vault)}
    given, now["given"] = now["given"], []
    if not set(given) <= set(vault.keys):
        return 400, {"errors": ["cipher: message authentication failed"]}
    now["proof"] = f"proof-{now['nth']}"
    keys = [f"CANARY:rotated:{now['nth']}:{i}" for i in range(now["secret_shares"])]
    now["keys"] = keys
    simulation.tick("after the vault told its new shares")
    data = {"complete": True, "keys_base64": list(keys), "verification_nonce": now["proof"]}
    return 200, {"data": data}


def _prove(simulation: Simulation, vault: VaultState, key: str, nonce: str) -> Reply:
    now = vault.rotation
    if not now or not now["proof"] or nonce != now["proof"]:
        return 400, {"errors": ["no verification with this nonce"]}
    if key in now["given"]:
        return 400, {"errors": ["given key has already been provided during this verification"]}
    now["given"].append(key)
    if len(now["given"]) < now["secret_threshold"]:
        simulation.tick("after a new share was given to be proven")
        return 200, {"data": _rotation(vault)}
    if not set(now["given"]) <= set(now["keys"]):
        now["given"] = []
        return 400, {"errors": ["cipher: message authentication failed"]}
    vault.keys, vault.threshold = list(now["keys"]), now["secret_threshold"]
    now.clear()
    simulation.tick("after the new shares were proven")
    return 200, {"data": {"complete": True, "nonce": nonce}}


def _read(simulation: Simulation, vault: VaultState, path: str) -> Reply:
    if path == "sys/mounts":
        return 200, {"data": vault.mounts}
    if path == "sys/auth":
        return 200, {"data": vault.logins}
    if found := re.fullmatch(r"kv/data/(.+)", path):
        there = vault.secrets.get(found[1])
        return (200, {"data": {"data": there}}) if there else (404, {"errors": []})
    raise simulation.refuse(f"nobody taught the simulated vault to read {path}")


def _write(simulation: Simulation, vault: VaultState, path: str, body: Any) -> Reply:
    places = {
        r"sys/mounts/(.+)": vault.mounts,
        r"sys/auth/(.+)": vault.logins,
        r"auth/kubernetes/(config)": vault.login_config,
        r"sys/policies/acl/(.+)": vault.policies,
        r"auth/kubernetes/role/(.+)": vault.roles,
        r"kv/data/(.+)": vault.secrets,
    }
    for pattern, place in places.items():
        if found := re.fullmatch(pattern, path):
            return _keep(simulation, vault, path, found[1], place, body)
    raise simulation.refuse(f"nobody taught the simulated vault to write {path}")


def _keep(
    simulation: Simulation,
    vault: VaultState,
    path: str,
    name: str,
    place: dict[str, Any],
    body: Any,
) -> Reply:
    if place is vault.secrets:
        if "kv/" not in vault.mounts:
            return 404, {"errors": ["no handler for route"]}
        place[name] = body["data"]
        return 200, {}
    if place is vault.mounts or place is vault.logins:
        if f"{name}/" in place:
            return 400, {"errors": ["path is already in use"]}
        place[f"{name}/"] = body
        return 204, {}
    if path.startswith("auth/kubernetes/") and "kubernetes/" not in vault.logins:
        raise simulation.refuse(f"{path} before the login method is enabled")
    place[name] = body
    return 204, {}
