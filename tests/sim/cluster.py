"""What a cluster does by itself: nodes get ready, workloads come up, a vault's pods join."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from disco.layers.cluster.node import CNI_BIN, CNI_CONFIG, CONTAINERD
from sim.derived import of_object
from sim.state import ClusterState, HostState, PodVault, State, VaultState

DELAY_S = 0.6  # what a pod, a node or a raft member takes to come up
IMAGE = re.compile(r"localhost/[a-z0-9._-]+:[A-Za-z0-9._-]+")
FLANNEL = "/apis/apps/v1/namespaces/kube-network/daemonsets/flannel"
STORAGE = "/apis/apps/v1/namespaces/kube-storage/deployments/local-path-provisioner"
CLAIM = "/api/v1/namespaces/vault/persistentvolumeclaims/data-openbao-{}"
OPENBAO = "/apis/apps/v1/namespaces/vault/statefulsets/openbao"
FLANNEL_CNI = f"{CNI_BIN}/flannel"
SYSTEM_UNITS = (CONTAINERD, "kubelet.service")


def is_up(host: HostState | None, now: float) -> bool:
    """Whether the API of a control plane answers."""
    if host is None or host.cluster is None or now < host.cluster.up_at:
        return False
    return all(host.is_active(u) for u in SYSTEM_UNITS)


def node_ready(state: State, cluster: ClusterState, name: str) -> bool:
    host = state.hosts.get(name)
    if host is None or not all(host.is_active(u) for u in SYSTEM_UNITS):
        return False
    network = cluster.objects.get(FLANNEL)
    if network is None or CNI_CONFIG not in host.files or host.program(FLANNEL_CNI) is None:
        return False
    has_images = images_in(network) <= host.images.keys()
    return has_images and state.now >= cluster.nodes[name] + DELAY_S


@of_object
def images_in(thing: dict[str, Any]) -> frozenset[str]:
    """Every image that is named anywhere in an object."""
    return frozenset(IMAGE.findall(json.dumps(thing)))


def ready_pods(state: State, cluster: ClusterState, path: str) -> tuple[int, int]:
    """How many pods of a workload are ready, and how many there should be."""
    thing = cluster.objects[path]
    ready = [n for n in cluster.nodes if node_ready(state, cluster, n)]
    images = images_in(thing)
    able = [n for n in ready if images <= state.hosts[n].images.keys()]
    young = state.now < cluster.since[path] + DELAY_S
    if thing["kind"] == "DaemonSet":
        return (0 if young else len(able)), len(cluster.nodes)
    wanted = int(thing["spec"].get("replicas", 1))
    if "signs" in thing["spec"]:
        return _ready_signing(cluster, thing), wanted
    if path == OPENBAO and able:  # those that are there stay while it changes
        pods = vault_of(cluster).pods.values()
        return sum(not p.sealed and state.now >= p.up_at for p in pods), wanted
    if young or not able or not _has_what_it_mounts(cluster, thing):
        return 0, wanted
    return (wanted if _may_start(cluster, thing) else 0), wanted


def _ready_signing(cluster: ClusterState, thing: dict[str, Any]) -> int:
    from sim import signers

    meta = thing["metadata"]
    return int(signers.status(cluster, meta["namespace"], meta["name"], thing)["readyReplicas"])


def can_run(state: State, cluster: ClusterState, path: str) -> bool:
    """Whether some node takes the pods of a workload, and they have what they mount."""
    thing = cluster.objects[path]
    images = images_in(thing)
    ready = (n for n in cluster.nodes if node_ready(state, cluster, n))
    able = any(images <= state.hosts[n].images.keys() for n in ready)
    return able and _has_what_it_mounts(cluster, thing) and _may_start(cluster, thing)


def _has_what_it_mounts(cluster: ClusterState, thing: dict[str, Any]) -> bool:
    place = f"/api/v1/namespaces/{thing['metadata']['namespace']}"
    needs = thing["spec"].get("needs", ())
    return all(f"{place}/{n}" in cluster.objects for n in needs)


def _may_start(cluster: ClusterState, thing: dict[str, Any]) -> bool:
    """Volumes need a storage class; the vault's probe needs its secret delivered."""
    if thing["kind"] == "StatefulSet" and STORAGE not in cluster.objects:
        return False
    if thing["metadata"]["name"] == "vault-probe":
        vault = cluster.vault
        delivers = vault and "vault-probe" in vault.roles and "disco/probe" in vault.secrets
        return bool(delivers) and any(not p.sealed for p in vault_of(cluster).pods.values())
    return True


def vault_of(cluster: ClusterState) -> VaultState:
    if cluster.vault is None:
        cluster.vault = VaultState()
    return cluster.vault


def workload_status(state: State, cluster: ClusterState, path: str) -> dict[str, Any]:
    """An object with the status that its controller would have written by now."""
    thing = cluster.objects[path]
    good, wanted = ready_pods(state, cluster, path)
    generation = thing["metadata"]["generation"]
    status: dict[str, Any] = {"observedGeneration": generation}
    if thing["kind"] == "DaemonSet":
        status |= {
            "desiredNumberScheduled": wanted,
            "updatedNumberScheduled": wanted,
            "numberReady": good,
        }
    else:
        status |= {"replicas": wanted, "updatedReplicas": wanted, "readyReplicas": good}
        status |= {"currentRevision": "same", "updateRevision": "same"}
    if "signs" in thing["spec"]:
        from sim import signers

        meta = thing["metadata"]
        status |= signers.status(cluster, meta["namespace"], meta["name"], thing)
    if path == OPENBAO:
        status |= _vault_status(state, cluster, thing)
    return {**thing, "status": status}


def _vault_status(state: State, cluster: ClusterState, thing: dict[str, Any]) -> dict[str, Any]:
    pods = vault_of(cluster).pods.values()
    wanted = revision(thing)
    updated = sum(p.revision == wanted for p in pods)
    seen = state.now >= cluster.since[OPENBAO] + DELAY_S
    return {
        "observedGeneration": thing["metadata"]["generation"] - (0 if seen else 1),
        "replicas": len(pods),
        "updatedReplicas": updated,
        "currentRevision": "same" if updated == len(pods) else "older",
    }


@of_object
def revision(thing: dict[str, Any]) -> str:
    """What the pods of a workload are started with; the vault's have the number of them, too."""
    return json.dumps(thing["spec"], sort_keys=True)


def go_on(state: State, cluster: ClusterState) -> None:
    """The controller of the vault's pods: the last of an older revision is replaced, and comes up
    sealed, as soon as all that are behind it are ready."""
    thing = cluster.objects.get(OPENBAO)
    if thing is None or state.now < cluster.since[OPENBAO] + DELAY_S:
        return
    wanted = revision(thing)
    for _, pod in sorted(vault_of(cluster).pods.items(), reverse=True):
        if pod.revision != wanted:
            pod.sealed, pod.up_at, pod.revision = True, state.now + DELAY_S, wanted
            pod.stale = False
            mount(cluster, pod, reads=True)
        if pod.sealed or state.now < pod.up_at:
            return


def is_workload(thing: dict[str, Any]) -> bool:
    return thing.get("kind") in ("Deployment", "StatefulSet", "DaemonSet")


def changes_volumes(cluster: ClusterState, path: str, thing: dict[str, Any]) -> bool:
    """Whether a StatefulSet that is there would get other volumes: the API lets nobody do that."""
    before = cluster.objects.get(path) if "spec" in thing else None
    claims = "volumeClaimTemplates"
    return before is not None and before["spec"].get(claims) != thing["spec"].get(claims)


def store(cluster: ClusterState, path: str, thing: dict[str, Any], now: float) -> None:
    """Create or replace an object; a workload that changes starts over."""
    before = cluster.objects.get(path)
    metadata = {**thing["metadata"], "generation": 1}
    if before is not None:
        same = _content(before) == _content(thing)
        metadata["generation"] = before["metadata"]["generation"] + (0 if same else 1)
    cluster.objects[path] = {**thing, "metadata": metadata}
    if before is None or metadata["generation"] != before["metadata"]["generation"]:
        cluster.since[path] = now


def _content(thing: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in thing.items() if k != "metadata"}


def remove(cluster: ClusterState, path: str, now: float) -> None:
    """Delete an object and what hangs on it."""
    cluster.objects.pop(path, None)
    cluster.since.pop(path, None)
    if re.fullmatch(r"/api/v1/namespaces/[^/]+", path):
        name = path.rsplit("/", 1)[1]
        gone = [p for p in cluster.objects if f"/namespaces/{name}/" in p]
        for inside in gone:
            cluster.objects.pop(inside)
            cluster.since.pop(inside, None)
        if name == "vault":
            cluster.vault = None


def make_vault_pods(cluster: ClusterState, replicas: int, now: float) -> None:
    """The StatefulSet's pods with their volumes; those that are there stay."""
    vault, wanted = vault_of(cluster), revision(cluster.objects[OPENBAO])
    for index in range(replicas):
        if index not in vault.pods:
            vault.pods[index] = PodVault(up_at=now + DELAY_S, revision=wanted)
            mount(cluster, vault.pods[index], reads=True)
        path = CLAIM.format(index)
        if path not in cluster.objects:
            claim = {"kind": "PersistentVolumeClaim", "metadata": {"generation": 1}}
            cluster.objects[path] = claim
    join_raft(vault, now)


def restart_vault_pod(cluster: ClusterState, index: int, now: float) -> None:
    """A deleted pod comes again, sealed; a claim that was to go went with it, with its data."""
    vault = vault_of(cluster)
    claim = cluster.objects[CLAIM.format(index)]
    pod = vault.pods[index]
    pod.sealed, pod.up_at, pod.given = True, now + DELAY_S, []
    pod.stale = pod.closed = False
    mount(cluster, pod, reads=True)
    if claim["metadata"].pop("deletionTimestamp", None):
        pod.data_at = None
    if not opens_itself(cluster):  # else it joins when it is up
        join_raft(vault, now)


def mount(cluster: ClusterState, pod: PodVault, reads: bool) -> None:
    """Its volume becomes what the Secret says now. reads: it starts, and takes that."""
    needs = cluster.objects[OPENBAO]["spec"]["needs"]
    secret = cluster.objects[f"/api/v1/namespaces/vault/{needs[0]}"] if needs else {}
    crt = secret.get("data", {}).get("tls.crt", "")
    pod.mounted = base64.b64decode(crt).decode()
    if reads:
        pod.shows = pod.mounted


def opens_itself(cluster: ClusterState) -> bool:
    """Whether the vault's release names whose key opens it."""
    return bool(cluster.objects[OPENBAO]["spec"]["opens"])


def join_raft(vault: VaultState, now: float) -> None:
    """Empty pods join as soon as somebody is unsealed."""
    if any(not p.sealed for p in vault.pods.values()):
        for pod in vault.pods.values():
            if pod.data_at is None:
                pod.data_at = now + DELAY_S
