"""An overview as rows for people, by layer: what a terminal, a table or a pipe shows of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from disco.cli import human
from disco.cli.overview import (
    AlertSeen,
    ChainNode,
    CheckSeen,
    HostLoad,
    Overview,
    RunSeen,
    Thing,
    VaultPod,
    ago,
)
from disco.cli.target import short
from disco.engine.component import Layer

MANY = 12  # hosts that are shown one by one; of more only those that stand out
ALIKE = 4  # things in the same state that are shown one by one
NAMES = 3
OLD_S = 10.0
NODE = "node "
RUN, ALERTS, CHECKS, UNSEEN = "run", "alerts", "checks", "not seen"


class Mark(StrEnum):
    """How a thing is, told without colour."""

    GOOD = "✓"
    BAD = "✗"
    UNKNOWN = "?"
    NONE = " "


MARKS = {True: Mark.GOOD, False: Mark.BAD, None: Mark.UNKNOWN}


@dataclass(frozen=True)
class Row:
    """part: a layer, or what else it belongs to. more: what a closer look tells, as name and
    text."""

    part: str
    mark: Mark
    what: str
    state: str
    details: str = ""
    more: tuple[tuple[str, str], ...] = ()


def rows(overview: Overview, now: float | None = None) -> list[Row]:
    """The run, everything by layer, alerts, checks, and what could not be seen. now: Unix time, for
    ages."""
    found = [*_run(overview.run)]
    for layer in Layer:
        found += _of_layer(overview, layer.title)
    found += [*_alerts(overview.alerts, now), *_checks(overview, now)]
    return [*found, *(_unseen(overview))]


def headline(overview: Overview, found: Sequence[Row]) -> str:
    """How the stack is. found: its rows."""
    red, unknown = ([r.what for r in found if r.mark is m] for m in (Mark.BAD, Mark.UNKNOWN))
    if not overview.at:
        return "looking"
    told = [f"{human.count(len(red), 'problem')}: {human.some(red, NAMES)}"] * bool(red)
    told += [f"{len(unknown)} not known: {human.some(unknown, NAMES)}"] * bool(unknown)
    return "; ".join(told) or "all is well"


def looked(overview: Overview, now: float | None = None) -> str:
    """When, and how long it took."""
    if not overview.at:
        return "not looked yet"
    age = ago(overview.at, now)
    old = f", {human.clock(age)} ago" if age >= OLD_S else ""
    at = time.strftime("%H:%M:%S", time.localtime(overview.at))
    return f"looked at {at}{old}, in {overview.seconds:.1f} s"


def _run(run: RunSeen | None) -> Iterator[Row]:
    if run is None:
        return
    who = f" by {run.who}" if run.who else ""
    of = f" of {run.steps}" if run.steps else ""
    told = f"{run.done}{of} steps done, {human.clock(run.seconds)}{who}"
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.at))
    more = (("begun", at), ("more", f"disco history {run.run}"))
    ended = run.ended or "goes on"
    yield Row(RUN, Mark.NONE, f"disco {run.what}", ended, told, more)
    for doing in run.doing[:NAMES]:
        step, _, action = doing.partition(": ")
        yield Row(RUN, Mark.NONE, step, "now", action)


def _of_layer(overview: Overview, layer: str) -> Iterator[Row]:
    things = [t for t in overview.things if t.layer == layer]
    if layer == Layer.SERVERS.title:
        yield from _servers(things, overview.hosts)
        return
    for component, some in groupby(things, lambda t: t.component):
        own = list(some)
        pods = [v for v in overview.vault if v.component == component]
        if pods and own[0].ok is not None:
            yield from (_vault_row(layer, p, own) for p in pods)
        else:
            yield from (_row(thing) for thing in _folded(own))
            yield from (_vault_row(layer, p, own) for p in pods)
        nodes = [c for c in overview.chains if c.component == component]
        yield from (_chain_row(layer, c) for c in nodes)
    if layer == Layer.CLUSTER.title:
        for pod in overview.not_ready:
            more = (("logs", f"disco logs {pod.pod}"),)
            yield Row(layer, Mark.BAD, pod.pod, pod.state, "pod not ready", more)


def _row(thing: Thing) -> Row:
    details = thing.why or thing.reach
    mark = MARKS[thing.ok]
    return Row(thing.layer, mark, thing.what, thing.state, details, tuple(_more(thing)))


def _more(thing: Thing) -> Iterator[tuple[str, str]]:
    yield from _given(("component", thing.component), ("why", thing.why), ("fix", thing.fix))
    yield from _given(("reach", thing.reach))
    yield "logs", f"disco logs {short(thing.component)}"


def _given(*told: tuple[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in told if text)


def _folded(things: Sequence[Thing]) -> Iterator[Thing]:
    """Many in the same good state as one."""
    for _, group in groupby(things, lambda t: (t.state, t.ok)):
        alike = list(group)
        if len(alike) <= ALIKE or not alike[0].ok:
            yield from alike
        else:
            first = alike[0]
            what = human.some([t.what for t in alike], NAMES)
            yield Thing(first.layer, first.component, what, first.state, "", first.ok)


def _servers(things: Sequence[Thing], hosts: Sequence[HostLoad]) -> Iterator[Row]:
    """Each host in a line with what it has; of many those that stand out."""
    loads = {h.name: h for h in hosts}
    told = [_host_row(t, loads.get(t.what)) for t in things]
    if len(told) <= MANY:
        yield from told
        return
    out = [r for r in told if r.mark is not Mark.GOOD]
    busiest = sorted(
        (r for r in told if r.mark is Mark.GOOD), key=lambda r: -_use(loads.get(r.what))
    )
    shown = busiest[: max(0, MANY - len(out) - 1)]
    yield from out
    yield from shown
    if left := len(busiest) - len(shown):
        less = "less busy than these" if shown else ""
        yield Row(things[0].layer, Mark.GOOD, f"{left} more", "up", less)


def _use(load: HostLoad | None) -> float:
    """The fullest of what a host has, 0 to 1."""
    if load is None:
        return 0.0
    memory = (load.memory_used_bytes or 0.0) / load.memory_bytes if load.memory_bytes else 0.0
    free = load.disk_free_bytes
    disk = 1 - free / load.disk_bytes if load.disk_bytes and free is not None else 0.0
    return max(load.cpu_used or 0.0, memory, disk)


def _host_row(thing: Thing, load: HostLoad | None) -> Row:
    row = _row(thing)
    if load is None:
        return row
    told = {
        "prometheus": "its node-exporter, by Prometheus",
        "facts": "the host itself, by SSH",
    }
    sources = tuple(_given(("told by", told.get(load.source, "")), ("why", load.why)))
    use = load.why or ", ".join([load.address, *_use_of(load)])
    more = (*row.more, *sources, *_given(("address", load.address)))
    return Row(row.part, row.mark, row.what, row.state, use, more)


def _use_of(load: HostLoad) -> Iterator[str]:
    if load.cpus is not None:
        cpus = human.count(load.cpus, "CPU")
        yield cpus if load.cpu_used is None else f"{load.cpu_used:.0%} of {cpus}"
    if load.memory_bytes is not None:
        used, have = load.memory_used_bytes, human.size(load.memory_bytes)
        yield f"memory {have}" if used is None else f"memory {human.size(used)} of {have}"
    if load.disk_free_bytes is not None:
        of = f" of {human.size(load.disk_bytes)}" if load.disk_bytes is not None else ""
        yield f"disk {human.size(load.disk_free_bytes)}{of} free"


def _vault_row(layer: str, pod: VaultPod, things: Sequence[Thing]) -> Row:
    states = {None: "no answer", True: "sealed", False: "unsealed"}
    reach = next((t.reach for t in things if t.what == pod.pod), "")
    mark = MARKS[None if pod.sealed is None else not pod.sealed]
    more = [("component", pod.component), ("why", pod.why), ("reach", reach)]
    more += [("fix", "disco vault status, then disco vault unseal")] * bool(pod.sealed)
    more.append(("logs", f"disco logs {pod.component}/{pod.pod}"))
    return Row(layer, mark, pod.pod, states[pod.sealed], pod.why or reach, tuple(_given(*more)))


def _chain_row(layer: str, node: ChainNode) -> Row:
    name = f"{node.chain}/{node.node}"
    more = [("component", node.component), ("why", node.why), ("logs", f"disco logs {name}")]
    told = tuple(_given(*more))
    if node.height is None:
        return Row(layer, Mark.UNKNOWN, name, "no answer", node.why, told)
    behind = ", catching up" if node.catching_up else ""
    peers = f"{human.count(node.peers or 0, 'peer')}{behind}"
    return Row(layer, Mark.GOOD, name, f"height {node.height}", peers, told)


def _alerts(alerts: Sequence[AlertSeen] | None, now: float | None) -> Iterator[Row]:
    if alerts is None:
        return
    if not alerts:
        yield Row(ALERTS, Mark.GOOD, "alerts", "none fires")
    for name in dict.fromkeys(a.name for a in alerts):
        alike = [a for a in alerts if a.name == name]
        first = alike[0]
        firing = f"{first.severity}, {human.clock(ago(first.since, now))}"
        times = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        more = [("alert", a.summary) for a in alike]
        more += [("do", first.runbook), ("more", f"disco alerts {name}")]
        told = tuple(_given(*more))
        yield Row(ALERTS, Mark.BAD, name, firing, f"{first.summary}{times}", told)


def _checks(overview: Overview, now: float | None) -> Iterator[Row]:
    checks = overview.checks
    if not checks.at:
        return
    if not (checks.seen or checks.late):
        yield Row(CHECKS, Mark.NONE, "checks", "none asked", "nothing is up that has some")
        return
    red = [c for c in checks.seen if not c.ok]
    told = f"{len(checks.seen) - len(red)} green, {len(red)} red"
    age = f"asked {human.clock(ago(checks.at, now))} ago"
    green = tuple((f"✓ {c.check}", c.evidence) for c in checks.seen if c.ok)
    yield Row(CHECKS, Mark.NONE if red else Mark.GOOD, "checks", told, age, green)
    yield from (_check_row(c) for c in red)
    for late in checks.late:
        yield Row(CHECKS, Mark.UNKNOWN, late, "no answer", "not in time")


def _check_row(check: CheckSeen) -> Row:
    more = tuple(_given(("evidence", check.evidence), ("fix", check.fix)))
    return Row(CHECKS, Mark.BAD, check.check, "red", check.evidence, more)


def _unseen(overview: Overview) -> Iterator[Row]:
    for one in overview.unseen:
        more = tuple(_given(("why", one.why), ("fix", one.fix)))
        yield Row(UNSEEN, Mark.UNKNOWN, one.source, "no answer", one.why, more)
