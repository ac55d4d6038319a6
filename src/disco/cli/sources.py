"""The questions that an overview is made of, each by itself; none of them changes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from disco.checks.alerts import firing
from disco.checks.prometheus import Prometheus as Metrics
from disco.cli.history import RUNNING, Ran
from disco.cli.overview import (
    AlertSeen,
    ChainNode,
    EventSeen,
    HostLoad,
    PodNotReady,
    RunSeen,
    Thing,
    VaultPod,
    ago,
)
from disco.cli.status import NO_ANSWER, NOT_THERE, ask, reached_by
from disco.cli.wiring import Session
from disco.engine.component import Component, Layer, StatusLine
from disco.engine.errors import DiscoError, NotThere
from disco.engine.graph import Graph
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.kube.rollout import is_ready
from disco.layers.akash import chain as akash
from disco.layers.akash.rpc import Rpc
from disco.layers.platform.openbao import NAME as VAULT
from disco.layers.platform.openbao import OpenBao
from disco.layers.platform.vault import Vault

T = TypeVar("T")
S = TypeVar("S")
Json = dict[str, Any]
PARALLEL = 32
METRICS_S = 5.0
LATE = "no answer in time"
OF_EVENTS = ("step", "action", "who", "what", "outcome", "error")

OF_HOSTS = {
    "cpus": 'count by (node) (node_cpu_seconds_total{mode="idle"})',
    "cpu_used": '1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[5m]))',
    "memory_bytes": "max by (node) (node_memory_MemTotal_bytes)",
    "memory_used_bytes": (
        "max by (node) (node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes)"
    ),
    "disk_bytes": 'max by (node) (node_filesystem_size_bytes{mountpoint="/"})',
    "disk_free_bytes": 'max by (node) (node_filesystem_avail_bytes{mountpoint="/"})',
}


@dataclass(frozen=True)
class Answered:
    """What a component said of itself, or why it said nothing."""

    lines: tuple[StatusLine, ...]
    errors: tuple[DiscoError, ...] = ()

    @property
    def is_up(self) -> bool:
        return not self.lines or any(x.ok for x in self.lines)

    @property
    def is_silent(self) -> bool:
        return any(x.state in (NO_ANSWER, NOT_THERE) for x in self.lines)


def things(
    graph: Graph, components: Mapping[str, Component], said: Mapping[str, Answered], file: Path
) -> tuple[Thing, ...]:
    """A line for each thing. What is silent, and stands on what is down, waits for that.

    said: by component; those that are missing are being asked.
    """
    found: list[Thing] = []
    for node in graph:
        layer = Layer(components[node.name].layer).title
        if (answer := said.get(node.name)) is None:
            if not components[node.name].implied:
                found.append(Thing(layer, node.name, node.name, "asking"))
            continue
        down = [n for n in node.upstream if n in said and not said[n].is_up]
        if down and answer.is_silent:
            found.append(Thing(layer, node.name, node.name, f"waits for {', '.join(down)}"))
            continue
        error = answer.errors[0] if answer.errors else None
        why, fix = (_line(error), error.fix) if error else ("", "")
        for line in answer.lines:
            ok = None if line.state == NO_ANSWER else line.ok
            what, reach = line.thing or node.name, reached_by(line, file)
            found.append(Thing(layer, node.name, what, line.state, reach, ok, why, fix))
    return tuple(found)


async def in_time(
    asked: Sequence[S],
    one: Callable[[S], Awaitable[T]],
    late: Callable[[S], T],
    seconds: float,
) -> tuple[T, ...]:
    """The answers in the order of what was asked; `late` of those that gave none in time."""
    slots = asyncio.Semaphore(PARALLEL)

    async def in_turn(what: S) -> T:
        async with slots:
            return await one(what)

    if not asked:
        return ()
    tasks = [asyncio.create_task(in_turn(what)) for what in asked]
    try:
        await asyncio.wait(tasks, timeout=seconds)
        pairs = zip(asked, tasks, strict=True)
        return tuple(t.result() if t.done() else late(what) for what, t in pairs)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def use_of_hosts(kube: Kube, cluster: Cluster | None) -> dict[str, HostLoad]:
    """Hosts that Prometheus has samples of, by name; none where it does not answer."""
    if cluster is None:
        return {}
    server = Metrics(kube, cluster)
    try:
        async with asyncio.timeout(METRICS_S):
            answers = await asyncio.gather(*(server.query(q) for q in OF_HOSTS.values()))
    except (DiscoError, TimeoutError):  # its own line tells of that
        return {}
    found: dict[str, Json] = {}
    for name, samples in zip(OF_HOSTS, answers, strict=True):
        for sample in samples:
            value: float = int(sample.value) if name == "cpus" else sample.value
            found.setdefault(sample.labels.get("node", ""), {})[name] = value
    return {host: HostLoad(host, source="prometheus", **known) for host, known in found.items()}


async def facts_of(hosts: Hosts, host: Host) -> HostLoad:
    """What the host itself says over SSH."""
    try:
        facts = await hosts.facts(host)
    except DiscoError as error:
        return HostLoad(host.name, host.address, why=" ".join(error.what.split()))
    return HostLoad(
        host.name,
        host.address,
        source="facts",
        cpus=facts.cpus,
        memory_bytes=facts.memory_bytes,
        disk_free_bytes=facts.disk_free_bytes,
    )


async def pods_not_ready(kube: Kube, cluster: Cluster) -> tuple[PodNotReady, ...]:
    return tuple(unready((await kube.get(cluster, "/api/v1/pods"))["items"]))


def unready(pods: Iterable[Json]) -> Iterator[PodNotReady]:
    """Those that should be ready and are not. Pods that ended well, and those that are going
    away, should not."""
    for pod in pods:
        meta, state = pod["metadata"], pod.get("status", {})
        if is_ready(pod) or state.get("phase") == "Succeeded" or meta.get("deletionTimestamp"):
            continue
        yield PodNotReady(f"{meta['namespace']}/{meta['name']}", _why_not_ready(state))


def _why_not_ready(state: Json) -> str:
    """As kubectl says it: what a container waits for, else the phase."""
    for container in [*state.get("initContainerStatuses", ()), *state.get("containerStatuses", ())]:
        for how in ("waiting", "terminated"):
            reason = container.get("state", {}).get(how, {}).get("reason", "")
            if reason and reason not in ("Completed", "PodInitializing"):
                return str(reason)
    phase = str(state.get("reason") or state.get("phase", "unknown"))
    return "running, not ready" if phase == "Running" else phase


async def vault_pods(
    session: Session, cluster: Cluster, components: Iterable[Component], seconds: float
) -> tuple[VaultPod, ...]:
    bao = OpenBao(session.kube, cluster, session.lookup)
    vaults = [c for c in components if isinstance(c, Vault)]
    pods = [(c.name, i) for c in vaults for i in range(c.spec.replicas)]

    async def one(asked: tuple[str, int]) -> VaultPod:
        component, index = asked
        try:
            seal = await bao.seal_status(index)
        except DiscoError as error:
            return VaultPod(component, f"{VAULT}-{index}", why=_line(error))
        return VaultPod(component, f"{VAULT}-{index}", seal.sealed)

    def late(asked: tuple[str, int]) -> VaultPod:
        return VaultPod(asked[0], f"{VAULT}-{asked[1]}", why=LATE)

    return await in_time(pods, one, late, seconds)


async def chain_nodes(
    kube: Kube, cluster: Cluster, components: Iterable[Component], seconds: float
) -> tuple[ChainNode, ...]:
    nodes = [(c, n) for c in components if isinstance(c, akash.ChainNode) for n in c.declared]

    async def one(asked: tuple[akash.ChainNode, str]) -> ChainNode:
        chain, node = asked
        rpc = Rpc(kube, cluster, f"{chain.short}/{node}", chain.chain.ports.rpc)
        try:
            said, peers = await asyncio.gather(rpc.status(), rpc.peers())
        except DiscoError as error:
            return ChainNode(chain.name, chain.short, node, why=_line(error))
        height, behind = said.height, said.catching_up
        return ChainNode(chain.name, chain.short, node, height, len(peers), behind)

    def late(asked: tuple[akash.ChainNode, str]) -> ChainNode:
        return ChainNode(asked[0].name, asked[0].short, asked[1], why=LATE)

    return await in_time(nodes, one, late, seconds)


async def alerts(kube: Kube, cluster: Cluster) -> tuple[AlertSeen, ...] | None:
    """Those that fire, the worst first; None where there is no Prometheus yet. Raises DiscoError
    where it does not answer."""
    try:
        found = await firing(Metrics(kube, cluster))
    except NotThere:
        return None
    return tuple(
        AlertSeen(
            a.name,
            a.severity,
            a.since.timestamp(),
            a.annotations.get("summary", ""),
            a.annotations.get("runbook", ""),
        )
        for a in found
    )


def run_seen(ran: Ran, now: float | None = None) -> RunSeen:
    """A run as its records tell it. now: Unix time, for one that goes on."""
    goes_on = ran.ended == RUNNING
    begun = [d for d in ran.actions if d.seconds is None]
    ended = {d.step for d in ran.actions if d.seconds is not None}
    return RunSeen(
        ran.run,
        ran.what,
        ran.who,
        ran.at,
        round(ago(ran.at, now) if goes_on else ran.seconds, 1),
        ran.steps,
        len(ended - {d.step for d in begun}) if ran.done is None else ran.done,
        tuple(f"{d.step}: {d.action}" for d in begun) if goes_on else (),
        "" if goes_on else ran.ended,
    )


def event_seen(record: Mapping[str, Any]) -> EventSeen:
    said = "  ".join(str(record[k]) for k in OF_EVENTS if record.get(k))
    return EventSeen(record["at"], str(record.get("run", "")), str(record["event"]), said)


async def asked(session: Session, component: Component, seconds: float) -> Answered:
    """What a component says of itself, within a time."""
    lines, errors = await ask(session, component, seconds)
    return Answered(tuple(lines), tuple(errors))


def silent(errors: Sequence[DiscoError]) -> Answered:
    return Answered((StatusLine("", NO_ANSWER, "", False),), tuple(errors))


def _line(error: DiscoError) -> str:
    return " ".join(f"{error.what}{f': {error.why}' if error.why else ''}".split())
