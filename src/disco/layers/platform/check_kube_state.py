"""Are the cluster's objects watched?"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from disco.checks.counted import counted
from disco.checks.prometheus import Prometheus, patiently
from disco.checks.releases import release_check
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.kube.reader import Kube

if TYPE_CHECKING:
    from disco.layers.platform.kube_state import KubeState

READY = "k8s_node_condition_ready"


def kube_state_checks(component: KubeState, world: World) -> Iterator[Check]:
    kube, cluster = world[Kube], component.kubernetes.cluster
    server = Prometheus(kube, cluster)

    async def ask() -> Answer:
        there = {n["metadata"]["name"] for n in (await kube.get(cluster, "/api/v1/nodes"))["items"]}
        told = {s.labels.get("node", "") for s in await server.query(READY)}
        return watched(there, told)

    yield Check(
        "kube_state/watched",
        "Has Prometheus fresh figures of the cluster's objects?",
        "kubectl -n kube-state describe deployment kube-state; its pod's log; disco apply puts "
        "back what is missing",
        lambda: patiently(server, ask),
    )
    yield release_check("kube_state", component, world)


def watched(nodes: Collection[str], told: Collection[str]) -> Answer:
    """nodes: as the API has them. told: those of which there are figures."""
    faults = {name: "" if name in told else "no figures" for name in sorted(nodes)}
    return counted(faults, "nodes with figures")
