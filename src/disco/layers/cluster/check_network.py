"""Does the network between pods work: names, pods, services and policies, seen from every node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from disco.checks.counted import counted, until_green
from disco.checks.shared import Shared
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.kube.reader import Kube
from disco.layers.cluster.probes import PORT, SHUT, Pods, probing

if TYPE_CHECKING:
    from disco.layers.cluster.kubernetes import Kubernetes

API = "kubernetes.default.svc.cluster.local"
NEIGHBOURS = 7  # nodes that each node's pod talks to: everybody with everybody up to 8 nodes
SETTLES_S = 8.0  # until services and policies have reached every node

Ask = Callable[[Pods], Awaitable[Answer]]


def network_checks(component: Kubernetes, world: World) -> Iterator[Check]:
    """Four questions that share their probe pods."""
    nodes = [h.name for h in component.servers.hosts]
    kube, cluster, image = world[Kube], component.cluster, component.artifacts.image("busybox")
    shared = Shared(lambda: probing(kube, cluster, nodes, image))

    def asked(ask: Ask) -> Callable[[], Awaitable[Answer]]:
        async def within() -> Answer:
            async with shared.use() as pods:
                return await until_green(lambda: ask(pods), SETTLES_S)

        return within

    async def dns(pods: Pods) -> Answer:
        services = await kube.get(cluster, "/api/v1/namespaces/default/services/kubernetes")
        return await _dns(pods, services["spec"]["clusterIP"])

    yield Check(
        "cluster/dns",
        "Does the cluster's DNS answer pods on every node?",
        "kubectl -n kube-system get pods -l k8s-app=kube-dns; kubectl -n kube-system logs "
        "deploy/coredns; then whether kube-proxy runs on the node that gets no answer",
        asked(dns),
        reads_only=False,
    )
    yield Check(
        "cluster/pod-network",
        "Do pods reach pods, on the same node and on others?",
        "kubectl -n kube-network logs ds/flannel; between nodes UDP 8472 must be open (backend "
        "vxlan), and no firewall of the host may drop forwarded packets",
        asked(_pods),
        reads_only=False,
    )
    yield Check(
        "cluster/services",
        "Do pods on every node reach a service by its address?",
        "kubectl -n kube-system get ds kube-proxy; kubectl -n kube-system logs ds/kube-proxy",
        asked(_services),
        reads_only=False,
    )
    yield Check(
        "cluster/policies",
        "Do network policies shut out whom they should, and nobody else, on every node?",
        "kubectl -n kube-network get ds kube-router; kubectl -n kube-network logs ds/kube-router",
        asked(_policies),
        reads_only=False,
    )


async def _dns(pods: Pods, address: str) -> Answer:
    nodes = list(pods.open)
    printed = await asyncio.gather(*(pods.resolve(n, f"{API}.") for n in nodes))
    faults = {n: not_resolved(text, address) for n, text in zip(nodes, printed, strict=True)}
    return counted(faults, "nodes get an answer", f"{API} is {address}")


def not_resolved(printed: str, address: str) -> str:
    """What is wrong with nslookup's answer. The first lines name the DNS server itself."""
    _, _, answer = printed.partition("\n\n")
    if address in (word for line in answer.splitlines() for word in line.split()[1:]):
        return ""
    last = " ".join((answer or printed).split())
    return f"expected {address}, got: {last[:120] or 'nothing within 4 s'}"


def neighbours(nodes: Sequence[str]) -> dict[str, list[str]]:
    """For each node the next ones in a ring."""
    ring = {n: [*nodes[i + 1 :], *nodes[:i]] for i, n in enumerate(nodes)}
    return {n: others[:NEIGHBOURS] for n, others in ring.items()}


async def _pods(pods: Pods) -> Answer:
    """The walled pod on the same node is reached on the port that is open to all open ones."""
    wanted = {
        node: {
            f"{pods.walled[node]}:{PORT}": f"walled-{node}-{pods.run}",
            **{f"{pods.open[o]}:{PORT}": f"open-{o}-{pods.run}" for o in others},
        }
        for node, others in neighbours(list(pods.open)).items()
    }
    faults = {}
    for node, answers in (await _reach(pods, wanted)).items():
        for target, name in wanted[node].items():
            to = name.removesuffix(f"-{pods.run}").partition("-")[2]
            where = "on the same node" if to == node else f"to {to}"
            got = answers[target]
            fault = "" if got == name else f"{target} gave {got or 'no answer'}"
            faults[f"from {node} {where}"] = fault
    return counted(faults, "ways open", f"{len(wanted)} node(s)")


async def _services(pods: Pods) -> Answer:
    target = f"{pods.service}:{PORT}"
    answers = await _reach(pods, {n: {target: ""} for n in pods.open})
    faults = {
        node: "" if got[target].endswith(pods.run) else f"{target} gave no answer"
        for node, got in answers.items()
    }
    return counted(faults, "nodes reach a service", f"{target}")


async def _policies(pods: Pods) -> Answer:
    """On each node, one port of a walled pod is open to us and the other one is not."""
    wanted = {
        node: [f"{pods.walled[n]}:{port}" for n in (node, *others[:1]) for port in (PORT, SHUT)]
        for node, others in neighbours(list(pods.walled)).items()
    }
    faults = {}
    for node, answers in (await _reach(pods, wanted)).items():
        for target, name in answers.items():
            faults[f"{node} to {target}"] = _breach(int(target.rpartition(":")[2]), name)
    return counted(faults, "ways as the policy says", f"{PORT} open, {SHUT} shut")


def _breach(port: int, got: str) -> str:
    if port == SHUT:
        return f"answered ({got}), though a policy shuts it" if got else ""
    return "" if got else "no answer, though the policy opens it"


async def _reach(
    pods: Pods, wanted: dict[str, dict[str, str]] | dict[str, list[str]]
) -> dict[str, dict[str, str]]:
    answers = await asyncio.gather(*(pods.reach(n, list(t)) for n, t in wanted.items()))
    return dict(zip(wanted, answers, strict=True))
