"""What runs in the simulated cluster and is read through its API: Prometheus, nodes of chains."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sim import cluster as clusters
from sim.simulation import Simulation
from sim.state import ClusterState

if TYPE_CHECKING:
    from sim.api import Answer

SETS = "/apis/apps/v1/namespaces/{}/statefulsets/{}"
POD = re.compile(r"(validator|node)-(\d+)")
GIB = float(1 << 30)
# What node-exporter counts on every host: the beginning of a question -> the value.
SAMPLES = {
    "count by (node) (node_cpu_seconds_total": 4.0,
    "1 - avg by (node) (rate(node_cpu_seconds_total": 0.25,
    "max by (node) (node_memory_MemTotal_bytes)": 8 * GIB,
    "max by (node) (node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes)": 2 * GIB,
    "max by (node) (node_filesystem_size_bytes": 100 * GIB,
    "max by (node) (node_filesystem_avail_bytes": 60 * GIB,
}


def metrics(
    simulation: Simulation, cluster: ClusterState, path: str, params: Mapping[str, str]
) -> Answer:
    """Prometheus' HTTP API, as far as anybody asks it."""
    from sim.api import Answer

    if not _ready(simulation, cluster, SETS.format("monitoring", "prometheus")):
        return Answer(503, {"message": "no endpoints available"})
    if path == "/api/v1/alerts":
        return Answer(200, {"status": "success", "data": {"alerts": simulation.state.alerts}})
    asked = params.get("query", "")
    value = next((v for start, v in SAMPLES.items() if asked.startswith(start)), None)
    if path != "/api/v1/query" or value is None:
        raise simulation.refuse(f"nobody taught the simulated Prometheus {path} {asked}")
    now = simulation.state.now
    up = [n for n in sorted(cluster.nodes) if clusters.node_ready(simulation.state, cluster, n)]
    result = [{"metric": {"node": n}, "value": [now, str(value)]} for n in up]
    return Answer(200, {"status": "success", "data": {"result": result}})


def node_of_chain(
    simulation: Simulation, cluster: ClusterState, namespace: str, pod: str, path: str
) -> Answer:
    """CometBFT's RPC of one pod; every pod that runs is connected with every other one."""
    from sim.api import Answer

    running = list(_chain_pods(simulation, cluster, namespace))
    if not POD.fullmatch(pod):
        raise simulation.refuse(f"nobody taught the simulation the pod {namespace}/{pod}")
    if pod not in running:
        return Answer(503, {"message": f"no endpoints available for {pod}"})
    if path == "/net_info":
        peers = [{"node_info": {"id": f"id of {p}"}} for p in running if p != pod]
        return Answer(200, {"result": {"peers": peers}})
    if path == "/status":
        return Answer(200, {"result": _status(simulation, namespace, pod)})
    raise simulation.refuse(f"nobody taught the simulated chain {path}")


def _status(simulation: Simulation, namespace: str, pod: str) -> dict[str, Any]:
    height = str(int(simulation.state.now) + 1)
    return {
        "node_info": {"id": f"id of {pod}", "network": namespace},
        "sync_info": {"latest_block_height": height, "catching_up": False},
        "validator_info": {"pub_key": {"value": f"key of {pod}"}},
    }


def _chain_pods(simulation: Simulation, cluster: ClusterState, namespace: str) -> Iterator[str]:
    for name in ("validator", "node"):
        for index in range(_ready(simulation, cluster, SETS.format(namespace, name))):
            yield f"{name}-{index}"


def _ready(simulation: Simulation, cluster: ClusterState, path: str) -> int:
    if path not in cluster.objects:
        return 0
    return clusters.ready_pods(simulation.state, cluster, path)[0]
