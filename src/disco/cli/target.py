"""What a NAME on the command line means: hosts, a unit of one, a component's pods, or one pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from disco.cli.wiring import Session
from disco.engine.component import Component
from disco.engine.errors import DiscoError, WrongUse
from disco.hosts.host import Host
from disco.kube.access import Cluster
from disco.kube.actions import AwaitNodes, AwaitRollout, Release
from disco.layers.akash.chain import ChainNode
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.servers.outputs import ServersOutputs
from disco.stack.problem import nearest

NODE_UNIT = "kubelet"
SYSTEM = "kube-system"  # what makes nodes ready runs there
INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class Pods:
    """Pods of one namespace: one by its name, or those that a label selects, or all."""

    namespace: str
    labels: str = ""
    pod: str = ""
    container: str = ""

    def has(self, pod: dict[str, Any]) -> bool:
        return not self.pod or pod["metadata"]["name"] == self.pod


@dataclass(frozen=True)
class Target:
    """Where something runs.

    name:    as a person says it; its own pods come before those that only help it.
    unit:    of systemd, on the hosts; empty for all.
    environ: what a program that is run there finds in its environment.
    """

    name: str
    hosts: tuple[Host, ...] = ()
    unit: str = ""
    pods: tuple[Pods, ...] = ()
    cluster: Cluster | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


async def target(session: Session, name: str) -> Target:
    """Raises WrongUse, with the nearest name, when nothing is called so."""
    components = await session.components()
    cluster = cluster_of(components)
    first, _, second = name.partition("/")
    if second:
        pod, _, container = second.partition(":")
        return Target(name, pods=(Pods(first, pod=pod, container=container),), cluster=cluster)
    known = {short(n): c for n, c in components.items()} | components
    if name in known:
        return _of_component(short(name), known[name], cluster)
    host, _, unit = name.partition(":")
    hosts = {h.name: h for h in hosts_of(components)}
    if host in hosts:
        return Target(name, (hosts[host],), unit)
    shorts = [short(n) for n in components]
    hint = nearest(name, [*shorts, *hosts])
    raise WrongUse(
        f"nothing is called {name!r}",
        fix=f"{hint} " * bool(hint)
        + f"known here: {', '.join([*shorts, *hosts])}; or a pod, NAMESPACE/POD",
    )


def short(name: str) -> str:
    """A component's name as people say it: `chains.akash` -> `akash`."""
    return name.partition(".")[2] or name


def hosts_of(components: Mapping[str, Component]) -> tuple[Host, ...]:
    for component in components.values():
        found = component.outputs(component.nothing()) if not component.implied else None
        if isinstance(found, ServersOutputs):
            return found.hosts
    return ()


def cluster_of(components: Mapping[str, Component]) -> Cluster | None:
    for component in components.values():
        found = component.outputs(component.nothing()) if not component.implied else None
        if isinstance(found, KubernetesOutputs):
            return found.cluster
    return None


def must_have_cluster(cluster: Cluster | None) -> Cluster:
    if cluster is None:
        raise WrongUse("this stack has no cluster", fix="add `kubernetes: {}` to the stack file")
    return cluster


def _of_component(name: str, component: Component, cluster: Cluster | None) -> Target:
    if component.implied:
        raise WrongUse(f"{name} runs nowhere", fix=f"see: disco {name} --help")
    outputs = component.outputs(component.nothing())
    if isinstance(outputs, ServersOutputs):
        return Target(name, outputs.hosts)
    pods = tuple(_pods(component))
    if isinstance(outputs, KubernetesOutputs):
        return Target(name, outputs.nodes, NODE_UNIT, pods, cluster)
    if not pods:
        raise WrongUse(f"{name} has no pods")
    return Target(name, pods=pods, cluster=cluster, environ=_environment(component))


def _pods(component: Component) -> Iterator[Pods]:
    """Where it runs is what it would install in an empty place: the releases, then what it waits
    for elsewhere."""
    actions = [a for s in component.steps(component.nothing()) for a in s.actions]
    if any(isinstance(a, AwaitNodes) for a in actions):
        yield Pods(SYSTEM)
    seen = {SYSTEM}
    for action in actions:
        if isinstance(action, Release) and action.namespace != SYSTEM:
            seen.add(action.namespace)
            yield Pods(action.namespace, f"{INSTANCE}={action.name}")
    for action in actions:
        namespace = action.workload.split("/")[1] if isinstance(action, AwaitRollout) else SYSTEM
        if namespace not in seen:
            seen.add(namespace)
            yield Pods(namespace)


def _environment(component: Component) -> dict[str, str]:
    """So that a program's own client finds the server beside it."""
    if not isinstance(component, ChainNode):
        return {}
    chain = component.chain
    return {
        f"{chain.env_prefix}_HOME": str(chain.home),
        f"{chain.env_prefix}_NODE": f"tcp://127.0.0.1:{chain.ports.rpc}",
        f"{chain.env_prefix}_CHAIN_ID": component.chain_id,
    }


async def found_pods(session: Session, wanted: Target) -> list[dict[str, Any]]:
    """The pods that are there, as the API has them, in the order of the target."""
    if not wanted.pods:
        return []
    cluster = must_have_cluster(wanted.cluster)
    found = []
    for some in wanted.pods:
        path = f"/api/v1/namespaces/{some.namespace}/pods"
        params = {"labelSelector": some.labels} if some.labels else {}
        items = (await session.kube.get(cluster, path, **params))["items"]
        found += [p for p in items if some.has(p)]
    return found


async def one_pod(session: Session, wanted: Target) -> tuple[str, str, str]:
    """Namespace, pod and container where a command is run: the first that is ready."""
    pods = await found_pods(session, wanted)
    running = [p for p in pods if p["status"].get("phase") == "Running"]
    if not running:
        states = [f"{p['metadata']['name']} is {p['status'].get('phase')}" for p in pods]
        raise DiscoError(
            f"{wanted.name} has no running pod",
            why=", ".join(states) or "no pod is there",
            fix="see: disco status, disco logs",
        )
    best = _best(running, wanted)
    container = wanted.pods[0].container or best["spec"]["containers"][0]["name"]
    return best["metadata"]["namespace"], best["metadata"]["name"], container


def _best(pods: list[dict[str, Any]], wanted: Target) -> dict[str, Any]:
    """Ready ones first; of those the target's first namespace; there the one with its name."""
    namespaces = [p.namespace for p in wanted.pods]

    def order(pod: dict[str, Any]) -> tuple[bool, int, bool]:
        meta = pod["metadata"]
        own = meta["name"].startswith(wanted.name)
        return not _is_ready(pod), namespaces.index(meta["namespace"]), not own

    return min(pods, key=order)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
