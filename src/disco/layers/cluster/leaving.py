"""Servers that leave the stack file leave the cluster first: cordoned, drained, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from disco.engine.action import Action
from disco.engine.component import Step, World
from disco.engine.errors import DiscoError
from disco.hosts.facts import Facts
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.kube.access import Cluster
from disco.kube.actions import Delete, Drain, DropPods, Uninstall
from disco.kube.reader import Kube
from disco.kube.rollout import is_ready
from disco.layers.cluster import kubeadm
from disco.store.store import Store

if TYPE_CHECKING:
    from disco.layers.cluster.kubernetes import Kubernetes

Json = dict[str, Any]
METRICS, METRICS_NAMESPACE = "metrics-server", "kube-system"
FIXED = ("pod_subnet", "service_subnet")  # given to kubeadm init, once


@dataclass(frozen=True)
class LeftNode:
    """A server that is no longer declared.

    pods: how many the cluster still counts on it. volumes: claims (`namespace/name`) whose data is
    on its disk. facts: None when it does not answer.
    """

    host: Host
    is_node: bool
    ready: bool
    pods: int
    volumes: tuple[str, ...]
    facts: Facts | None


@dataclass(frozen=True)
class Left:
    """releases: names of Helm releases that are no longer declared. is_there: the cluster."""

    nodes: tuple[LeftNode, ...] = ()
    releases: tuple[str, ...] = ()
    is_there: bool = False


async def observe(now: Kubernetes, was: Kubernetes, world: World) -> Left:
    """Nothing where no API answers, or where it is about to be refused."""
    if not await was.answers(world[Kube], world[Store].names()):
        return Left()
    if now.control_plane != was.control_plane:
        return Left(is_there=True)
    nodes, releases = await _nodes(now, was, world), await _releases(now, was, world[Kube])
    return Left(nodes, releases, is_there=True)


async def _releases(now: Kubernetes, was: Kubernetes, kube: Kube) -> tuple[str, ...]:
    if not was.spec.metrics_server or now.spec.metrics_server:
        return ()
    key = f"{METRICS_NAMESPACE}/{METRICS}"
    return (METRICS,) if key in await kube.releases(now.cluster) else ()


async def _nodes(now: Kubernetes, was: Kubernetes, world: World) -> tuple[LeftNode, ...]:
    declared = {h.name for h in now.servers.hosts}
    gone = [h for h in was.servers.hosts if h.name not in declared]
    if not gone:
        return ()
    kube = world[Kube]
    nodes = {n["metadata"]["name"]: n for n in await _items(now, kube, "nodes")}
    volumes = await _items(now, kube, "persistentvolumes")
    pods = {host.name: len(await kube.pods_on(now.cluster, host.name)) for host in gone}
    return tuple([await _left(world, h, nodes.get(h.name), pods[h.name], volumes) for h in gone])


def refused(now: Kubernetes, was: Kubernetes, left: Left) -> list[DiscoError]:
    """Rather than taking a setting that has no effect on a cluster that is there."""
    if not left.is_there:
        return []
    errors = [
        DiscoError(
            f"{name} can't be changed while the cluster is there",
            where=f"kubernetes.{name}",
            why=f"it was made with {getattr(was.spec, name)}",
            fix="put it back, or make the cluster anew: disco down --layer cluster",
        )
        for name in FIXED
        if getattr(was.spec, name) != getattr(now.spec, name)
    ]
    if now.control_plane != was.control_plane:
        errors.append(
            DiscoError(
                f"{was.control_plane.name} carries the control plane and can't leave",
                where="servers",
                fix="keep it as the first server, as it was, or take the cluster down first: "
                "disco down --layer cluster",
            )
        )
    return errors


async def _items(now: Kubernetes, kube: Kube, kind: str) -> list[Json]:
    found: list[Json] = (await kube.get(now.cluster, f"/api/v1/{kind}"))["items"]
    return found


async def _left(
    world: World, host: Host, node: Json | None, pods: int, volumes: list[Json]
) -> LeftNode:
    try:
        facts = await world[Hosts].facts(host)
    except DiscoError:  # it leaves because it is broken, maybe
        facts = None
    on_it = tuple(_claim(v) for v in volumes if host.name in _nodes_of(v))
    is_ready_now = node is not None and is_ready(node)
    return LeftNode(host, node is not None, is_ready_now, pods, on_it, facts)


def _claim(volume: Json) -> str:
    claim = volume["spec"].get("claimRef", {})
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}"


def _nodes_of(volume: Json) -> list[str]:
    """The nodes that a volume's affinity names."""
    required = volume["spec"].get("nodeAffinity", {}).get("required", {})
    return [
        name
        for term in required.get("nodeSelectorTerms", ())
        for expression in term.get("matchExpressions", ())
        if expression["key"] == "kubernetes.io/hostname"
        for name in expression.get("values", ())
    ]


def steps(now: Kubernetes, was: Kubernetes, left: Left) -> Iterator[Step]:
    """The node first; then its host is left as it was found, if it stays. One after the other: the
    pods of one need room on the others."""
    for name in left.releases:
        yield Step(name, f"uninstall {name}", (Uninstall(now.cluster, name, METRICS_NAMESPACE),))
    earlier: tuple[str, ...] = ()
    for one in left.nodes:
        name = one.host.name
        drained: tuple[str, ...] = ()
        if actions := tuple(_out(now.cluster, one)):
            dead = "" if one.ready or not one.is_node else "; it does not answer: be sure it is off"
            title = f"take {name} out of the cluster{dead}"
            yield Step(f"{name}/drain", title, actions, earlier, 10)
            earlier = drained = (f"{name}/drain",)
        if one.facts and one.facts.ours == now.place.id and not was.servers.disposable:
            title = f"take Kubernetes off {name}"
            yield Step(f"{name}/leave", title, tuple(kubeadm.leave(one.host)), drained, 15)


def _out(cluster: Cluster, one: LeftNode) -> Iterator[Action]:
    """A node's way out of the cluster, or what is left of it."""
    name = one.host.name
    if one.is_node:
        lost = tuple(f"the volume of {v} on {name}" for v in one.volumes)
        yield Drain(cluster, name)
        yield Delete(cluster, f"/api/v1/nodes/{name}", lost)
    if one.is_node or one.pods:
        yield DropPods(cluster, name)
