"""The simulated OpenBao: it tells its keys once, comes up sealed, and forgets nothing."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from disco.engine.errors import DiscoError, Retry
from disco.kube.tunnel import Server
from disco.layers.platform.vault_access import MAY, ROLE
from disco.store import certificates
from sim import certificates as certificates_of_pods
from sim import cluster as clusters
from sim.simulation import Simulation
from sim.state import ClusterState, PodVault, VaultState

if TYPE_CHECKING:
    from sim.api import Answer

Reply = tuple[int, Any]
OWN = "CANARY:token of DISCO's role"
HELD = (
    *("keys", "threshold", "root_token", "revoked", "role", "role_limits", "mounts", "logins"),
    *("login_config", "policies", "roles", "secrets", "keys_inside", "inner"),
)
SEALED: Reply = (503, {"errors": ["Vault is sealed"]})


def answer(
    simulation: Simulation,
    cluster: ClusterState,
    server: Server,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
) -> Answer:
    from sim.api import Answer

    index = _answering(simulation, cluster, server)
    status, data = _reply(
        simulation, cluster, index, method, path.removeprefix("/v1/"), body, headers
    )
    return Answer(status, data)


def shown(simulation: Simulation, cluster: ClusterState, server: Server) -> str:
    """Whatever it is worth."""
    index = _answering(simulation, cluster, replace(server, authority=""))
    return clusters.vault_of(cluster).pods[index].shows


def reload(simulation: Simulation, cluster: ClusterState, pod: str) -> None:
    """It reads what is in its volume."""
    name = pod.removeprefix("vault/")
    there = clusters.vault_of(cluster).pods[int(name.removeprefix("openbao-"))]
    there.shows = there.mounted
    simulation.tick(f"after {name} was told to read its certificate")


def leaders(simulation: Simulation, cluster: ClusterState) -> list[str]:
    """Pods with the label of who leads: one, or none."""
    if not _runs(simulation, cluster):
        return []
    index = _leading(clusters.vault_of(cluster))
    return [] if index is None else [f"openbao-{index}"]


def _answering(simulation: Simulation, cluster: ClusterState, server: Server) -> int:
    """Which pod it is. Raises DiscoError where none is, or none that shows what it has to."""
    target = server.pod.removeprefix("vault/")
    pod = clusters.vault_of(cluster).pods.get(int(target.removeprefix("openbao-")))
    why = ""
    if not _runs(simulation, cluster) or pod is None:
        why = "the API server refused the way to it (404)"
    elif simulation.state.now < pod.up_at:
        why = f"{target} has not started"
    else:
        why = not_believed(pod.shows, server.authority)
    if why:
        raise DiscoError("no answer over TLS", where=server.pod, why=why, retry=Retry.LIKELY)
    return int(target.removeprefix("openbao-"))


@cache
def not_believed(shown: str, authority: str) -> str:
    """Why a client that trusts this authority does not speak to who shows this certificate."""
    if not shown:
        return "wrong version number"
    wrong = certificates.fault(shown, authority, (), 0) if authority else ""
    return f"certificate verify failed: it {wrong}" if wrong else ""


def _reply(
    simulation: Simulation,
    cluster: ClusterState,
    index: int,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
) -> Reply:
    vault = clusters.vault_of(cluster)
    pod, now = vault.pods[index], simulation.state.now
    auto = clusters.opens_itself(cluster)
    if auto:
        _open_all(vault, now)
    match method, path:
        case "GET", "sys/seal-status":
            return 200, {**_seal_status(vault, pod, now), "recovery_seal": auto}
        case "GET", "sys/leader":
            return 200, {"is_self": index == _leading(vault)}
        case "PUT", "sys/seal":
            return _seal(simulation, vault, index, headers.get("X-Vault-Token", ""))
        case "PUT", "sys/init":
            return _init(simulation, vault, index, body, auto)
        case "PUT", "sys/unseal":
            if auto:
                raise simulation.refuse(f"openbao-{index} is given a key that opens nothing")
            return _unseal(simulation, vault, index, body["key"])
    if index != _leading(vault):
        raise simulation.refuse(f"{method} {path} goes to openbao-{index}, which does not lead")
    return _leader(simulation, vault, method, path, body, headers.get("X-Vault-Token", ""))


def _open_all(vault: VaultState, now: float) -> None:
    """Each pod that is up has asked who opens it."""
    up = [p for p in vault.pods.values() if now >= p.up_at and not p.closed]
    for pod in up:
        pod.sealed = pod.sealed and not _has_data(pod, now)
    if any(not p.sealed for p in up):
        for pod in up:
            pod.data_at = now if pod.data_at is None else pod.data_at


def _runs(simulation: Simulation, cluster: ClusterState) -> bool:
    """Pods of the vault run, sealed ones too."""
    if clusters.OPENBAO not in cluster.objects:
        return False
    state = simulation.state
    images = clusters.images_in(cluster.objects[clusters.OPENBAO])
    return any(
        images <= state.hosts[n].images.keys() and clusters.node_ready(state, cluster, n)
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
    """One that lost all others to another key leads nobody, and may say that it does."""
    unsealed = {i: p for i, p in sorted(vault.pods.items()) if not p.sealed}
    useful = [i for i, p in unsealed.items() if not p.stale]
    return next(iter([*useful, *(unsealed if vault.lonely else ())]), None)


def _seal(simulation: Simulation, vault: VaultState, index: int, token: str) -> Reply:
    if not _may(vault, token, "sys/seal"):
        return 403, {"errors": ["permission denied"]}
    if index != _leading(vault):
        return 500, {"errors": ["cannot seal when in standby mode"]}
    vault.pods[index].sealed = vault.pods[index].closed = True
    vault.pods[index].stale = False
    vault.rotation.clear()
    vault.attempt.clear()
    simulation.tick(f"after openbao-{index} was sealed")
    return 204, {}


def _init(simulation: Simulation, vault: VaultState, index: int, body: Any, auto: bool) -> Reply:
    others = [i for i, p in vault.pods.items() if p.data_at is not None]
    if others:
        raise simulation.refuse(f"init of a vault that is initialised (pods {others})")
    nth, kind = simulation.count("vault init"), "recovery" if auto else "secret"
    if any(not n.startswith(kind) for n in body):
        return 400, {"errors": [f"parameters {', '.join(body)} not applicable to the seal"]}
    vault.root_token, vault.threshold = f"CANARY:root:{nth}", body[f"{kind}_threshold"]
    vault.keys = [f"CANARY:unseal:{nth}:{i}" for i in range(body[f"{kind}_shares"])]
    vault.pods[index].data_at = simulation.state.now
    vault.revoked = False
    for part in (
        vault.role,
        vault.role_limits,
        vault.mounts,
        vault.logins,
        vault.policies,
        vault.roles,
        vault.secrets,
        vault.keys_inside,
        vault.inner,
    ):
        part.clear()
    simulation.tick("after the vault told its keys")
    told = {"keys_base64": list(vault.keys)}
    if auto:
        told = {"keys_base64": [], "recovery_keys_base64": list(vault.keys)}
    return 200, {**told, "root_token": vault.root_token}


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
    if all(p.sealed or p.stale for p in vault.pods.values()):
        return 400, {"errors": ["invalid role or secret ID"]}
    if path == "auth/approle/login":
        return _login(vault, body)
    if not _may(vault, token, path):
        return 403, {"errors": ["permission denied"]}
    for kind in ("root", "recovery"):
        if path.startswith(f"sys/rotate/{kind}/"):
            what = path.removeprefix(f"sys/rotate/{kind}/")
            return _rotate(simulation, vault, method, what, body)
    if path.startswith("sys/generate-root-token/"):
        what = path.removeprefix("sys/generate-root-token/")
        return _generate(simulation, vault, method, what, body)
    if path.startswith("auth/token/"):
        return _tokens(simulation, vault, method, path.removeprefix("auth/token/"), body, token)
    if method == "GET":
        return _read(simulation, vault, path)
    if method == "LIST":
        return _list(simulation, vault, path)
    if method == "DELETE":
        return _remove(simulation, vault, path)
    if method != "POST":
        raise simulation.refuse(f"nobody taught the simulated vault {method} {path}")
    reply = _write(simulation, vault, path, body)
    simulation.tick(f"after the vault took {path}")
    return reply


def _may(vault: VaultState, token: str, path: str) -> bool:
    """Root may everything until it is revoked; DISCO's role what its policy says."""
    if token == OWN:
        return ROLE in vault.policies and any(fnmatchcase(path, p.replace("+", "*")) for p in MAY)
    return (token == vault.root_token and not vault.revoked) or token in vault.tokens


def _login(vault: VaultState, halves: dict[str, str]) -> Reply:
    """As OpenBao 2.7.2 answers, by measurement."""
    if "approle/" not in vault.logins:
        return 404, {"errors": ["no handler for route"]}
    if len(vault.role) < 2 or halves != vault.role:
        return 400, {"errors": ["invalid role or secret ID"]}
    return 200, {"auth": {"client_token": OWN}}


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


def _generate(
    simulation: Simulation, vault: VaultState, method: str, path: str, body: Any
) -> Reply:
    """As OpenBao 2.7.2 answers, by measurement."""
    now = vault.attempt
    match method, path:
        case "GET", "attempt":
            return 200, {"data": _attempt(vault)}
        case "DELETE", "attempt":
            now.clear()
        case "POST", "attempt":
            if now:
                return 400, {"errors": ["root generation already in progress"]}
            nth = simulation.count("vault root token")
            now |= {"nonce": f"root-nonce-{nth}", "nth": nth, "given": []}
            simulation.tick("after the vault began to make a root token")
            return 200, {"data": {**_attempt(vault), "otp": _pad(nth)}}
        case "POST", "update":
            return _generate_with(simulation, vault, body["key"], body["nonce"])
        case _:
            raise simulation.refuse(f"nobody taught the simulated vault {method} {path}")
    simulation.tick(f"after the vault took {method} generate-root {path}")
    return 204, {}


def _pad(nth: int) -> str:
    return f"{nth:028d}"


def _attempt(vault: VaultState) -> dict[str, Any]:
    now = vault.attempt
    return {
        "started": bool(now),
        "nonce": now.get("nonce", ""),
        "progress": len(now.get("given", ())),
        "required": vault.threshold,
        "complete": False,
    }


def _generate_with(simulation: Simulation, vault: VaultState, key: str, nonce: str) -> Reply:
    now = vault.attempt
    if not now or nonce != now["nonce"]:
        return 400, {"errors": ["no root generation with this nonce takes shares"]}
    if key in now["given"]:
        return 400, {"errors": ["given key has already been provided during this generation"]}
    now["given"].append(key)
    if len(now["given"]) < vault.threshold:
        simulation.tick("after a share was given for a root token")
        return 200, {"data": _attempt(vault)}
    given, nth = set(now["given"]), now["nth"]
    now.clear()
    if not given <= set(vault.keys):
        return 400, {"errors": ["cipher: message authentication failed"]}
    made = f"CANARY:root:generated:{nth:06d}"
    vault.tokens[made] = float("inf")
    hidden = bytes(a ^ b for a, b in zip(made.encode(), _pad(nth).encode(), strict=True))
    simulation.tick("after the vault told a root token")
    encoded = base64.b64encode(hidden).decode().rstrip("=")
    return 200, {"data": {"complete": True, "encoded_token": encoded, "started": True}}


def _tokens(
    simulation: Simulation, vault: VaultState, method: str, path: str, body: Any, token: str
) -> Reply:
    """An accessor is the token's own end. DISCO's is of a kind that has none."""
    now = simulation.state.now
    for one in [t for t, ends in vault.tokens.items() if ends <= now]:
        del vault.tokens[one]
    known = {f"accessor {t[12:]}": t for t in vault.tokens}
    match method, path:
        case "LIST", "accessors":
            return (200, {"data": {"keys": sorted(known)}}) if known else (404, {"errors": []})
        case "POST", "lookup-accessor":
            if body["accessor"] not in known:
                return 403, {"errors": ["invalid accessor"]}
            ends = vault.tokens[known[body["accessor"]]]
            data = {"accessor": body["accessor"], "policies": ["root"], "expire_time": str(ends)}
            return 200, {"data": data}
        case "GET", "lookup-self":
            return 200, {"data": {"accessor": f"accessor {token[12:]}"}}
        case "POST", "revoke-accessor":
            vault.tokens.pop(known.get(body["accessor"], ""), None)
        case "POST", "revoke-self":
            vault.tokens.pop(token, None)
            vault.revoked = vault.revoked or token == vault.root_token
        case "POST", "create":
            made = f"CANARY:root:short:{simulation.count('vault short token'):06d}"
            vault.tokens[made] = now + int(body["ttl"].removesuffix("s"))
            simulation.tick("after the vault made a token that ends")
            return 200, {"auth": {"client_token": made}}
        case _:
            raise simulation.refuse(f"nobody taught the simulated vault {method} token {path}")
    simulation.tick(f"after the vault took {path}")
    return 204, {}


def _read(simulation: Simulation, vault: VaultState, path: str) -> Reply:
    if path == "sys/key-status":
        return 200, {"data": {"term": vault.term}}
    if path == "sys/mounts":
        return 200, {"data": vault.mounts}
    if path == "sys/auth":
        return 200, {"data": vault.logins}
    if found := re.fullmatch(r"(sys/policies/acl|auth/kubernetes/role)/(.+)", path):
        there = _listed(vault)[found[1]].get(found[2])
        return (200, {"data": there}) if there else (404, {"errors": []})
    if path.startswith("pki/"):
        there = vault.inner.get(path)
        return (200, {"data": there}) if there else (404, {"errors": []})
    if found := re.fullmatch(r"transit/keys/([^/]+)", path):
        key = vault.keys_inside.get(found[1])
        return (200, {"data": key}) if key else (404, {"errors": []})
    if found := re.fullmatch(r"kv/data/(.+)", path):
        there = vault.secrets.get(found[1])
        return (200, {"data": {"data": there}}) if there else (404, {"errors": []})
    raise simulation.refuse(f"nobody taught the simulated vault to read {path}")


def _listed(vault: VaultState) -> dict[str, dict[str, Any]]:
    return {"sys/policies/acl": vault.policies, "auth/kubernetes/role": vault.roles}


def _list(simulation: Simulation, vault: VaultState, path: str) -> Reply:
    """As OpenBao 2.7.2 answers, by measurement."""
    if path not in _listed(vault):
        raise simulation.refuse(f"nobody taught the simulated vault to list {path}")
    names = sorted(_listed(vault)[path])
    return (200, {"data": {"keys": names}}) if names else (404, {"errors": []})


def _remove(simulation: Simulation, vault: VaultState, path: str) -> Reply:
    place, _, name = path.rpartition("/")
    if place not in _listed(vault):
        raise simulation.refuse(f"nobody taught the simulated vault to remove {path}")
    _listed(vault)[place].pop(name, None)
    simulation.tick(f"after the vault removed {path}")
    return 204, {}


def _write(simulation: Simulation, vault: VaultState, path: str, body: Any) -> Reply:
    places = {
        r"sys/mounts/(.+)": vault.mounts,
        r"sys/auth/(.+)": vault.logins,
        r"auth/kubernetes/(config)": vault.login_config,
        r"sys/policies/acl/(.+)": vault.policies,
        r"auth/approle/role/(disco)": vault.role_limits,
        r"auth/kubernetes/role/(.+)": vault.roles,
        r"kv/data/(.+)": vault.secrets,
        r"transit/keys/([^/]+)": vault.keys_inside,
    }
    if path.startswith("pki/"):
        return _sign(simulation, vault, path, body)
    if path == "sys/storage/raft/snapshot-force":
        return _put_back(simulation, vault, json.loads(body))
    if path == "sys/rotate/keyring":
        vault.term += 1
        return 204, {}
    if found := re.fullmatch(r"auth/approle/role/disco/(role-id|custom-secret-id)", path):
        return _halve(vault, body)
    for pattern, place in places.items():
        if found := re.fullmatch(pattern, path):
            return _keep(simulation, vault, path, found[1], place, body)
    raise simulation.refuse(f"nobody taught the simulated vault to write {path}")


def snapshot(vault: VaultState, **others: Any) -> bytes:
    """All that it holds, and by which keys; some of it otherwise."""
    held = {f: getattr(vault, f) for f in HELD}
    return json.dumps({**held, **others}).encode()


def _put_back(simulation: Simulation, vault: VaultState, held: dict[str, Any]) -> Reply:
    """With other keys all are sealed, but for who leads others: that one is of no use any more."""
    leader, same = _leading(vault), held["keys"] == vault.keys
    for name, value in held.items():
        setattr(vault, name, value)
    for index, pod in vault.pods.items() if not same else ():
        pod.stale = index == leader and len(vault.pods) > 1
        pod.sealed, pod.given = not pod.stale, []
    simulation.tick("after the vault was put back")
    return 204, {}


def _sign(simulation: Simulation, vault: VaultState, path: str, body: Any) -> Reply:
    """The authority inside: its request, its certificate, whom it signs for."""
    if "pki/" not in vault.mounts:
        return 404, {"errors": ["no handler for route"]}
    match path.removeprefix("pki/"):
        case "intermediate/generate/internal":
            return 200, {"data": {"csr": certificates_of_pods.request(), "key_id": "k"}}
        case "intermediate/set-signed":
            vault.inner["set"] = body["certificate"]
            return 200, {"data": {"mapping": {"authority": "", "inner": "k"}}}
        case "config/issuers":
            vault.inner["pki/issuer/default"] = {"certificate": vault.inner["set"]}
            return 200, {}
        case role if role.startswith("roles/"):
            vault.inner[path] = body
            return 200, {}
    raise simulation.refuse(f"nobody taught the simulated vault to sign {path}")


def _halve(vault: VaultState, half: dict[str, str]) -> Reply:
    if not vault.role_limits:
        return 404, {"errors": ["role disco does not exist"]}
    if "secret_id" in half and "secret_id" in vault.role:
        return 500, {"errors": ["failed to store secret_id: SecretID is already registered"]}
    vault.role |= half
    return 204, {}


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
    if place is vault.keys_inside:
        if "transit/" not in vault.mounts:
            return 404, {"errors": ["no handler for route"]}
        place.setdefault(name, body)
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
