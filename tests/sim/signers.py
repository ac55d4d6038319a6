"""Pods that sign in the simulated cluster: validators with their keys, and signers. Their volumes
outlive them, and what lets them sign are the real scripts, run by a real shell.

What is true whatever DISCO did: no two pods ever sign with one key, and none signs what is not
above all that the key ever signed. A pod that breaks it is a SimulationError, at that moment.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim import cluster as clusters
from sim.derived import of_object
from sim.simulation import Simulation
from sim.state import ChainPod, ChainVolume, ClusterState

CHARTS = Path(__file__).parents[2] / "charts"
GATE = CHARTS / "signer" / "files" / "gate.sh"
HOME = CHARTS / "chain" / "files" / "home.sh"
STATE = "data/priv_validator_state.json"
OWN_KEY = "config/priv_validator_key.json"
# What a chain's program makes of an empty home.
PROGRAM = """#!/bin/sh
while [ "$1" != --home ]; do shift; done
mkdir -p "$2/config" "$2/data"
echo made > "$2/config/config.toml"
"""
ENDS_S, COMES_S = 0.4, 0.6  # what a pod takes to end, and its successor to run its first container
SET = re.compile(r"/apis/apps/v1/namespaces/([^/]+)/statefulsets/(validator|signer-\d+)")
Json = dict[str, Any]


def sets(cluster: ClusterState) -> Iterator[tuple[str, str, Json]]:
    """Namespace, name and object of every StatefulSet whose pods sign, or could."""
    for path in sorted(p for p in cluster.objects if "/statefulsets/" in p):
        thing = cluster.objects[path]
        if (found := SET.fullmatch(path)) and "signs" in thing["spec"]:
            yield found[1], found[2], thing


@of_object
def revision(thing: Json) -> str:
    text = json.dumps(thing["spec"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def names(name: str, thing: Json) -> list[str]:
    return [f"{name}-{i}" for i in range(int(thing["spec"].get("replicas", 1)))]


def go_on(simulation: Simulation, cluster: ClusterState) -> None:
    """What the controllers, the kubelets and the pods themselves do by now."""
    now, wanted = simulation.state.now, set()
    for namespace, name, thing in sets(cluster):
        pods = names(name, thing)
        wanted |= {f"{namespace}/{p}" for p in pods}
        path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"
        if not clusters.can_run(simulation.state, cluster, path):
            continue
        for pod in pods:
            _go_on(simulation, cluster, f"{namespace}/{pod}", thing)
        _roll(simulation, cluster, namespace, pods, thing)
    for key, pod in list(cluster.pods.items()):
        if key not in wanted:
            pod.ends_at = pod.ends_at or now + ENDS_S
            if now >= pod.ends_at:
                del cluster.pods[key]
    for key in [k for k in cluster.volumes if k not in cluster.pods]:
        is_over = f"/api/v1/namespaces/{key.partition('/')[0]}" not in cluster.objects
        if is_over:
            cluster.signed.pop(key, None)
        if is_over or cluster.volumes[key].going:
            del cluster.volumes[key]
    _sign(simulation, cluster)


def _go_on(simulation: Simulation, cluster: ClusterState, key: str, thing: Json) -> None:
    now = simulation.state.now
    pod = cluster.pods.get(key)
    if pod and pod.ends_at and now >= pod.ends_at:
        del cluster.pods[key]
        pod = None
    if pod is None:
        spec = thing["spec"]["signs"]
        pod = ChainPod(revision(thing), now + COMES_S, spec["keyless"], spec["kind"])
        pod.spec = thing["spec"]["template"]["spec"]
        cluster.pods[key] = pod
    if pod.told is None and now >= pod.up_at:
        _first_container(simulation, cluster, key, pod)


def _roll(
    simulation: Simulation, cluster: ClusterState, namespace: str, pods: list[str], thing: Json
) -> None:
    """The last pod of an older revision is replaced as soon as all that are behind it are ready."""
    for name in reversed(pods):
        key = f"{namespace}/{name}"
        pod = cluster.pods[key]
        if pod.revision != revision(thing):
            delete(simulation, cluster, key)
        if not is_ready(cluster, key, pod):
            return


def _first_container(
    simulation: Simulation, cluster: ClusterState, key: str, pod: ChainPod
) -> None:
    namespace, _, name = key.partition("/")
    volume = cluster.volumes.setdefault(key, ChainVolume())
    if pod.kind == "signer":
        _gate(simulation, cluster, namespace, name, pod, volume)
        return
    secret = cluster.objects.get(f"/api/v1/namespaces/{namespace}/secrets/keys", {})
    has_key = f"{name}.priv_validator_key.json" in secret.get("data", {})
    leases = cluster.objects.get(f"/api/v1/namespaces/{namespace}/configmaps/leases", {})
    lease = leases.get("data", {}).get(name, "")
    files, height, told, code = run_home(
        HOME,
        tuple(sorted(volume.files.items())),
        volume.height,
        lease,
        pod.keyless,
        has_key,
        name,
    )
    volume.files, volume.height = dict(files), height
    volume.key = OWN_KEY in volume.files and not pod.keyless
    if code == 0:
        pod.told = told
    elif pod.refused != told:
        pod.refused = told
    if code == 0 and pod.keyless:  # its program makes a key of its own, and forgets
        volume.files[OWN_KEY] = json.dumps({"address": f"OWN-{name}"})
        volume.height = 0


@lru_cache(maxsize=4096)
def run_home(
    script: Path,
    files: tuple[tuple[str, str], ...],
    height: int,
    lease: str,
    keyless: bool,
    has_key: bool,
    pod: str,
) -> tuple[tuple[tuple[str, str], ...], int, str, int]:
    """The volume after it and the height on it, what the script told, and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        home, keys = top / "home", top / "keys"
        for name, content in files:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(content)
        (home / STATE).parent.mkdir(parents=True, exist_ok=True)
        (home / STATE).write_text(json.dumps({"height": str(height), "round": 0, "step": 3}))
        keys.mkdir()
        (top / "program").write_text(PROGRAM)
        (top / "program").chmod(0o755)
        (top / "genesis").write_text('{"chain_id":"sim-1"}')
        if lease:
            (top / "lease").write_text(lease)
        if has_key:
            key = {"address": _address(lease)}
            (keys / f"{pod}.priv_validator_key.json").write_text(json.dumps(key))
        environment = {
            "PATH": "/usr/bin:/bin",
            "POD": pod,
            "ROLE": "validator",
            "BINARY": str(top / "program"),
            "CHAIN_ID": "sim-1",
            "CHAIN_HOME": str(home),
            "GENESIS": str(top / "genesis"),
            "KEYS": str(keys),
            "REMOTE_SIGNER": str(keyless).lower(),
            "LEASE": str(top / "lease"),
            "RESULT": str(top / "told"),
            "PEERS": "",
        }
        done = subprocess.run(
            ["sh", str(script), "init"], env=environment, capture_output=True, timeout=20
        )
        last = int(json.loads((home / STATE).read_text())["height"])
        left = {
            str(p.relative_to(home)): p.read_text()
            for p in home.rglob("*")
            if p.is_file() and p != home / STATE
        }
        return tuple(sorted(left.items())), last, (top / "told").read_text(), done.returncode


def _address(lease: str) -> str:
    return next(x for x in lease.splitlines() if x.startswith("address=")).partition("=")[2]


def _gate(
    simulation: Simulation,
    cluster: ClusterState,
    namespace: str,
    name: str,
    pod: ChainPod,
    volume: ChainVolume,
) -> None:
    validator = f"validator-{name.split('-')[1]}"
    place = f"/api/v1/namespaces/{namespace}/configmaps"
    leases = cluster.objects[f"{place}/leases"]["data"]
    begun = cluster.objects.get(f"{place}/begun", {"data": {}})["data"].get(validator, "")
    files, told, code = run_gate(
        tuple(sorted(volume.files.items())),
        leases[validator],
        begun,
        namespace,
        name,
        pod.keyless,
    )
    volume.files = dict(files)
    if code == 0:
        pod.told = told
    elif pod.refused != told:
        pod.refused = told


@lru_cache(maxsize=4096)
def run_gate(
    files: tuple[tuple[str, str], ...],
    lease: str,
    begun: str,
    chain: str,
    pod: str,
    leaving: bool,
) -> tuple[tuple[tuple[str, str], ...], str, int]:
    """The volume after it, what the script told, and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "state").mkdir()
        for name, content in files:
            (top / "state" / name).write_text(content)
        (top / "lease").write_text(lease)
        if not leaving:
            (top / "key").write_text(json.dumps({"address": _address(lease)}))
        environment = {
            "PATH": "/usr/bin:/bin",
            "LEASE": str(top / "lease"),
            "KEY": str(top / "key"),
            "STATE": str(top / "state"),
            "CHAIN_ID": chain,
            "POD": pod,
            "SIGNER": pod.rpartition("-")[0],
            "BEGUN": begun,
            "LEAVING": "true" if leaving else "",
            "RESULT": str(top / "told"),
        }
        done = subprocess.run(["sh", str(GATE)], env=environment, capture_output=True, timeout=20)
        left = {p.name: p.read_text() for p in (top / "state").iterdir()}
        return tuple(sorted(left.items())), (top / "told").read_text(), done.returncode


def _sign(simulation: Simulation, cluster: ClusterState) -> None:
    """Everybody who can signs the next block. Here is where a double sign would happen."""
    signing: dict[str, list[str]] = {}
    for key, pod in cluster.pods.items():
        if signer_of := _signs_for(simulation, cluster, key, pod):
            signing.setdefault(signer_of, []).append(key)
    for validator, by in signing.items():
        if len(by) > 1:
            raise simulation.refuse(f"two sign with the key of {validator}: {', '.join(by)}")
        volume = cluster.volumes[by[0]]
        height = volume.height if "state.json" not in volume.files else _height(volume)
        if height < cluster.signed.get(validator, 0):
            raise simulation.refuse(
                f"{by[0]} signs for {validator} from {height}, which had signed "
                f"{cluster.signed[validator]}"
            )
        cluster.signed[validator] = height + 1
        if "state.json" in volume.files:
            state = {**json.loads(volume.files["state.json"]), "height": str(height + 1)}
            volume.files["state.json"] = json.dumps(state)
        else:
            volume.height = height + 1


def _height(volume: ChainVolume) -> int:
    return int(json.loads(volume.files["state.json"])["height"])


def _signs_for(
    simulation: Simulation, cluster: ClusterState, key: str, pod: ChainPod
) -> str | None:
    """The validator whose key a pod signs with at this moment, also while it ends."""
    namespace, _, name = key.partition("/")
    if pod.told is None or pod.keyless:
        return None
    if pod.kind == "validator":
        return key if cluster.volumes[key].key else None
    validator = f"validator-{name.split('-')[1]}"
    place = f"/api/v1/namespaces/{namespace}/configmaps/begun"
    begun = cluster.objects.get(place, {"data": {}})["data"].get(validator)
    if pod.began is None and begun is not None and f" fence={begun} " in pod.told:
        pod.began = begun  # its container is made when there is such a number
    return f"{namespace}/{validator}" if pod.began else None


def is_ready(cluster: ClusterState, key: str, pod: ChainPod) -> bool:
    """A validator is when blocks come: somebody signs for each, since all are needed."""
    if pod.ends_at or pod.told is None:
        return False
    if pod.kind == "signer":
        return pod.keyless or pod.began is not None
    namespace = key.partition("/")[0]
    return all(
        _has_signer(cluster, k, p)
        for k, p in cluster.pods.items()
        if k.startswith(f"{namespace}/validator-")
    )


def _has_signer(cluster: ClusterState, key: str, pod: ChainPod) -> bool:
    if not pod.keyless:
        return pod.told is not None and not pod.ends_at and cluster.volumes[key].key
    namespace, _, name = key.partition("/")
    signer = cluster.pods.get(f"{namespace}/signer-{name.rpartition('-')[2]}-0")
    return signer is not None and signer.began is not None and not signer.ends_at


def status(cluster: ClusterState, namespace: str, name: str, thing: Json) -> Json:
    """Of a StatefulSet, by its pods."""
    pods = [cluster.pods.get(f"{namespace}/{p}") for p in names(name, thing)]
    wanted = revision(thing)
    ready = sum(
        p is not None and is_ready(cluster, f"{namespace}/{n}", p)
        for n, p in zip(names(name, thing), pods, strict=True)
    )
    updated = sum(p is not None and p.revision == wanted for p in pods)
    return {
        "observedGeneration": thing["metadata"]["generation"],
        "replicas": len(pods),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "currentRevision": wanted if updated == len(pods) else "older",
        "updateRevision": wanted,
    }


def shown(cluster: ClusterState, namespace: str) -> list[Json]:
    """The pods of a namespace, as the API has them."""
    return [
        pod_object(cluster, key, pod)
        for key, pod in sorted(cluster.pods.items())
        if key.startswith(f"{namespace}/")
    ]


def pod_object(cluster: ClusterState, key: str, pod: ChainPod) -> Json:
    namespace, _, name = key.partition("/")
    container = "gate" if pod.kind == "signer" else "home"
    ended: Json = {"waiting": {}}
    if pod.told is not None:
        ended = {"terminated": {"exitCode": 0, "message": pod.told}}
    elif pod.refused:
        ended = {"terminated": {"exitCode": 1, "message": pod.refused}}
    gone = {"deletionTimestamp": "now"} if pod.ends_at else {}
    claim = {"persistentVolumeClaim": {"claimName": claim_of(name)}}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"controller-revision-hash": pod.revision},
            **gone,
        },
        "spec": {**pod.spec, "volumes": [*pod.spec["volumes"], claim]},
        "status": {
            "phase": "Running",
            "initContainerStatuses": [{"name": container, "state": ended}],
        },
    }


def claim_of(name: str) -> str:
    return f"{'state' if name.startswith('signer') else 'home'}-{name}"


def delete_claim(cluster: ClusterState, key: str) -> bool:
    """Kept by its finalizer for as long as the pod has it."""
    volume = cluster.volumes.get(key)
    if volume is None:
        return False
    volume.going = True
    if key not in cluster.pods:
        del cluster.volumes[key]
    return True


def delete(simulation: Simulation, cluster: ClusterState, key: str) -> bool:
    """Asked to end; it goes on until it has."""
    pod = cluster.pods.get(key)
    if pod is None:
        return False
    pod.ends_at = pod.ends_at or simulation.state.now + ENDS_S
    return True
