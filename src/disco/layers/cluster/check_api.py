"""Is the cluster as the API tells it: itself, nodes, control plane, classes, releases, pods."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from disco.checks.counted import counted, until_green
from disco.checks.releases import release_check
from disco.checks.shared import Once
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.hosts.actions import CTR
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.kube.rollout import is_ready
from disco.layers.cluster.pods import state, stuck
from disco.layers.cluster.probes import NAMESPACE as OURS

if TYPE_CHECKING:
    from disco.layers.cluster.kubernetes import Kubernetes

PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
FIGURES_WITHIN_S = 20.0  # metrics-server's first ones take that long
PROBED_WITHIN_S = 15.0  # so often the kubelet asks the control plane's pods, more or less
Json = dict[str, Any]


def api_checks(component: Kubernetes, world: World) -> Iterator[Check]:
    """Eight questions to the API server."""
    kube, cluster = world[Kube], component.cluster
    hosts = [h.name for h in component.servers.hosts]
    nodes = Once(lambda: kube.get(cluster, "/api/v1/nodes"))
    pods = Once(lambda: kube.get(cluster, "/api/v1/pods"))

    async def ask_nodes() -> Answer:
        return nodes_ready((await nodes())["items"], hosts)

    async def ask_versions() -> Answer:
        server = await kube.get(cluster, "/version")
        return versions((await nodes())["items"], server, f"v{component.spec.version}")

    async def ask_control_plane() -> Answer:
        found = await kube.get(cluster, "/api/v1/namespaces/kube-system/pods")
        return control_plane(found["items"], [component.control_plane.name])

    async def ask_classes() -> Answer:
        path = "/apis/storage.k8s.io/v1/storageclasses"
        return default_class((await kube.get(cluster, path))["items"])

    async def ask_workloads() -> Answer:
        return workloads((await pods())["items"], datetime.now(UTC))

    async def ask_figures() -> Answer:
        try:
            found = await kube.get(cluster, "/apis/metrics.k8s.io/v1beta1/nodes")
        except DiscoError as error:  # 503 until metrics-server is ready
            return Answer(False, f"{error.what}: {error.why}")
        return figures(found["items"], [n["metadata"]["name"] for n in (await nodes())["items"]])

    yield Check(
        "cluster/api",
        "Is the API server ready, with everything that it depends on?",
        f"on the control plane: {shlex.join(CTR)} containers ls; journalctl -u kubelet; "
        "files in /var/log/pods/kube-system_kube-apiserver-*",
        lambda: _readyz(kube, cluster),
    )
    yield Check(
        "cluster/nodes",
        "Is every server a node, Ready and under no pressure?",
        "kubectl describe node NODE says why; journalctl -u kubelet on it; disco apply joins "
        "what is missing, kubectl delete node removes what is gone for good",
        ask_nodes,
    )
    yield Check(
        "cluster/versions",
        "Do all nodes and the API server run the declared version?",
        "disco apply; then kubectl get nodes -o wide",
        ask_versions,
    )
    yield Check(
        "cluster/control-plane",
        "Does every part of the control plane run?",
        "see that /etc/kubernetes/manifests has a file for each part; journalctl -u kubelet; "
        "kubectl -n kube-system describe pod NAME",
        lambda: until_green(ask_control_plane, PROBED_WITHIN_S, 1.0),
    )
    yield Check(
        "cluster/default-class",
        "Is there exactly one default storage class?",
        f"kubectl annotate storageclass NAME {DEFAULT_CLASS}=false --overwrite for all but one",
        ask_classes,
    )
    yield release_check("cluster", component, world)
    yield Check(
        "cluster/releases",
        "Is every Helm release in the cluster deployed?",
        "helm history NAME -n NAMESPACE; disco apply mends those that are its own",
        lambda: _releases(kube, cluster),
    )
    if component.spec.metrics_server:
        yield Check(
            "cluster/metrics-api",
            "Are there figures of every node for `kubectl top` and autoscalers?",
            "kubectl -n kube-system get deploy metrics-server; kubectl -n kube-system logs "
            "deploy/metrics-server",
            lambda: until_green(ask_figures, FIGURES_WITHIN_S, 1.0),
        )
    yield Check(
        "cluster/workloads",
        "Does every pod run, with none stuck or crashing again and again?",
        "kubectl get pods -A; kubectl -n NAMESPACE describe pod NAME; kubectl -n NAMESPACE logs "
        "NAME --previous",
        ask_workloads,
    )


async def _readyz(kube: Kube, cluster: Cluster) -> Answer:
    with translated(cluster, "GET /readyz"):
        answer = await kube.http(cluster).get("/readyz", params={"verbose": ""}, timeout=5)
    return readyz(answer.text, cluster.server)


def readyz(text: str, server: str) -> Answer:
    """`[+]name ok` and `[-]name failed: reason withheld`, one a line."""
    lines = [line for line in text.splitlines() if line.startswith("[")]
    faults = {line[3:].partition(" ")[0]: "" if line[:3] == "[+]" else line[3:] for line in lines}
    return counted(faults, "parts ready", server)


def nodes_ready(nodes: Sequence[Json], hosts: Sequence[str]) -> Answer:
    faults = dict.fromkeys(hosts, "no such node in the cluster")
    faults |= {n["metadata"]["name"]: _unwell(n) for n in nodes}
    return counted(faults, "nodes Ready", ", ".join(faults))


def _unwell(node: Json) -> str:
    conditions = {c["type"]: c for c in node.get("status", {}).get("conditions", ())}
    if not is_ready(node):
        why = conditions.get("Ready", {}).get("message", "its kubelet has never reported")
        return f"not Ready: {why}"
    return ", ".join(p for p in PRESSURES if conditions.get(p, {}).get("status") == "True")


def versions(nodes: Sequence[Json], server: Json, declared: str) -> Answer:
    found = {"API server": server["gitVersion"]}
    for node in nodes:
        version = node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")
        found[f"kubelet on {node['metadata']['name']}"] = version or "nothing"
    faults = {name: "" if v == declared else f"runs {v}" for name, v in found.items()}
    if not nodes:
        faults["kubelets"] = "there is none"
    return counted(faults, f"run {declared}", ", ".join(found))


def control_plane(pods: Sequence[Json], hosts: Sequence[str]) -> Answer:
    found = {p["metadata"]["name"]: p for p in pods if p["metadata"]["namespace"] == "kube-system"}
    faults = {}
    for name in (f"{part}-{host}" for part in CONTROL_PLANE for host in hosts):
        pod = found.get(name)
        faults[name] = ("" if is_ready(pod) else state(pod)) if pod else "there is no such pod"
    return counted(faults, "parts running", ", ".join(faults))


def default_class(classes: Sequence[Json]) -> Answer:
    names = [
        c["metadata"]["name"]
        for c in classes
        if c["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true"
    ]
    told = f"{len(names)} default of {len(classes)} storage classes"
    return Answer(len(names) == 1, f"{told}: {', '.join(names) or 'none'}")


async def _releases(kube: Kube, cluster: Cluster) -> Answer:
    found = await kube.releases(cluster)
    faults = {n: "" if r.status == "deployed" else f"is {r.status}" for n, r in found.items()}
    return counted(faults, "releases deployed", ", ".join(sorted(found)))


def figures(found: Sequence[Json], nodes: Sequence[str]) -> Answer:
    usage = {f["metadata"]["name"]: f["usage"] for f in found if f["metadata"]["name"] in nodes}
    faults = {n: "" if usage.get(n, {}).get("memory") else "no figures" for n in nodes}
    told = (
        f"{n} {_cores(u['cpu'])}, {_gib(u['memory'])}" for n, u in usage.items() if not faults[n]
    )
    return counted(faults, "nodes have figures", ", ".join(told))


def _cores(quantity: str) -> str:
    """Kubernetes' `899588389n` as `0.90 cores`. Its client library knows no nano."""
    parts = {"n": 1e-9, "u": 1e-6, "m": 1e-3}
    share = parts.get(quantity[-1:], 1.0)
    return f"{float(quantity.rstrip('num')) * share:.2f} cores"


def _gib(quantity: str) -> str:
    from lightkube.utils.quantity import parse_quantity

    return f"{float(parse_quantity(quantity) or 0) / 2**30:.1f} GiB"


def workloads(pods: Sequence[Json], now: datetime) -> Answer:
    """Pods of running checks come and go, and are nobody's workload."""
    asked = [p for p in pods if p["metadata"]["namespace"] != OURS]
    faults = {f"{p['metadata']['namespace']}/{p['metadata']['name']}": stuck(p, now) for p in asked}
    restarts = sum(
        c["restartCount"] for p in asked for c in p.get("status", {}).get("containerStatuses", ())
    )
    return counted(faults, "pods are well", f"{restarts} restarts so far")
