"""What `disco doctor` looks at, without changing anything, and all within a bounded time."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from disco.checks.runner import Asked, ask_within
from disco.cli import human, status
from disco.cli.app import of
from disco.cli.changing import missing_rights
from disco.cli.findings import Finding, Kind, named, of_error
from disco.cli.target import hosts_of, short
from disco.cli.wiring import Session
from disco.engine import plan as planning
from disco.engine.check import Check
from disco.engine.errors import DiscoError, Several, all_of
from disco.engine.plan import Plan
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.layers.servers.preflight import unfit
from disco.layers.servers.ssh import SshServers

TOTAL_S = 15.0
HOST_S = 9.0  # a little more than a connection may take
FEWEST_S = 1.0  # no check answers in less
PARALLEL = 8
ROOM_BYTES = 1 << 30


@dataclass
class Looked:
    """found: what is not well. unseen: what could not be looked at in time, and why.
    plan, status: None where that is not known."""

    found: list[Finding] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    plan: Plan | None = None
    status: status.Found | None = None
    answers: list[Asked] = field(default_factory=list)


async def look(session: Session) -> Looked:
    """Hosts, state and plan side by side, then checks of what is up in the time that is left."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + TOTAL_S
    looked = Looked()
    if missing := missing_rights(session):
        file = of(session.loaded.path)
        why = "without it nothing of them can be seen"
        fix = f"sudo disco doctor{file}"
        looked.found.append(Finding(Kind.RIGHTS, missing, "", why, fix))
        looked.unseen.append("servers and what runs on them")
        await _bounded(looked, "artifacts", ends, lambda: _artifacts(session, looked))
        return looked
    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "artifacts": lambda: _artifacts(session, looked),
        "hosts": lambda: _hosts(session, looked),
        "what is missing": lambda: _planned(session, looked),
        "what is up": lambda: _status(session, looked),
    }
    async with asyncio.TaskGroup() as group:
        for what, one in parts.items():
            group.create_task(_bounded(looked, what, ends, one))
    await _checks(session, looked, ends)
    return looked


async def _bounded(
    looked: Looked, what: str, ends: float, one: Callable[[], Awaitable[None]]
) -> None:
    """Whatever goes wrong in one look must not hide what the others saw."""
    try:
        async with asyncio.timeout_at(ends):
            await one()
    except TimeoutError:
        told = f"{what}: no answer in time"
        looked.unseen.append(told)
        fix = "ask again when the machines are less busy; disco status takes the time it needs"
        looked.found.append(Finding(Kind.LATE, told, "", f"{TOTAL_S:.0f} s were not enough", fix))
    except Exception as error:
        looked.found += [of_error(Kind.UNSEEN, e) for e in all_of(error)]


def room(session: Session) -> dict[str, int]:
    """Free bytes on this machine, by the folder that DISCO writes to; not of what is no disk."""
    found: dict[str, int] = {}
    for folder in _written(session):
        with suppress(OSError):
            disk = shutil.disk_usage(_existing(folder))
            found |= {str(folder): disk.free} if disk.total else {}
    return found


def of_rights(session: Session) -> Iterator[Finding]:
    """Folders of this machine that can't be written, or not be made."""
    for folder in _written(session):
        with suppress(OSError):
            there = _existing(folder)
            if not os.access(there, os.W_OK | os.X_OK) or not shutil.disk_usage(there).total:
                what, fix = "can't be written", "use the account that it belongs to, or sudo"
                yield Finding(Kind.RIGHTS, what, str(folder), f"{there} refuses it", fix)


def _written(session: Session) -> tuple[Path, Path]:
    return session.place.root, session.artifacts.cache.root


def of_room(free_bytes: dict[str, int]) -> Iterator[Finding]:
    for folder, free in free_bytes.items():
        if free < ROOM_BYTES:
            what, why = "this machine's disk is nearly full", f"{human.size(free)} are free"
            fix = "free some space; `disco artifacts clean` gives back what builds left"
            yield Finding(Kind.DISK, what, folder, why, fix)


def _existing(folder: Path) -> Path:
    return next(p for p in (folder, *folder.parents) if p.exists())


async def _artifacts(session: Session, looked: Looked) -> None:
    """The cheap test: that a file is there, with the size and time that it had."""
    node = session.graph.nodes.get("artifacts")
    names = node.spec.also if node else ()  # type: ignore[attr-defined]
    reader = session.artifacts
    missing = await asyncio.to_thread(reader.missing, names)
    damaged = {n: p for n in missing if (p := await asyncio.to_thread(_damaged, session, n))}
    file = of(session.loaded.path)
    for name, path in damaged.items():
        fix = f"rm -r {path}; disco artifacts obtain{file} {name}"
        what = f"the artifact {name} is damaged or half gone"
        looked.found.append(Finding(Kind.ARTIFACT, what, str(path), "", fix))
    absent = [n for n in missing if n not in damaged]
    if absent:
        what = f"{human.count(len(absent), 'artifact')} not on this machine"
        where, fix = str(reader.cache.root), f"disco artifacts obtain{file}"
        looked.found.append(Finding(Kind.MISSING, what, where, "", fix, named(absent)))


def _damaged(session: Session, name: str) -> Path | None:
    """The folder of a version that was taken in whole and is not any more."""
    cache = session.artifacts.cache
    for meta in cache.metas(name):
        if cache.held(name, meta.key) is None:
            return cache.shelf(name) / meta.key
    return None


async def _hosts(session: Session, looked: Looked) -> None:
    """Those that were given; of those that DISCO makes the plan knows more."""
    is_given = any(node.component is SshServers for node in session.graph)
    hosts = hosts_of(await session.components()) if is_given else ()
    found = await asyncio.gather(*(_host(session, h) for h in hosts))
    looked.found += [one for several in found for one in several]


async def _host(session: Session, host: Host) -> list[Finding]:
    """Whether it answers, and whether it is fit."""
    try:
        async with asyncio.timeout(HOST_S):
            facts = await session.world[Hosts].facts(host)
    except TimeoutError:
        why, fix = f"nothing came within {HOST_S:.0f} s", f"try it by hand: {host.ssh()}"
        return [Finding(Kind.HOST, "no answer in time", host.name, why, fix, (), host.name)]
    except DiscoError as error:
        return [of_error(Kind.HOST, error, host.name)]
    return [of_error(Kind.HOST, e, host.name) for e in unfit(host, facts, session.place.id)]


async def _planned(session: Session, looked: Looked) -> None:
    try:
        looks = await planning.observe(session.graph, session.world)
    except Several as error:
        looked.found += [of_error(Kind.UNSEEN, e) for e in error.errors]
        return
    looked.plan = planning.make(session.loaded.name, session.graph, looks)


async def _status(session: Session, looked: Looked) -> None:
    looked.status = await status.look(session, drift=False)


def of_plan(plan: Plan, made: bool, stack: str) -> Iterator[Finding]:
    """made: some of it was there once, so what is missing was lost or never came up."""
    lacking = [p for p in plan.parts if p.steps]
    fix = f"look: disco plan{stack}; mend: disco apply{stack}"
    if lacking and not made:
        why = f"{human.count(len(plan.steps), 'step')} lead there"
        yield Finding(Kind.MISSING, "nothing was made yet", "", why, f"disco up{stack}")
        return
    for part in lacking:
        if not part.assumed_after and part.name != "artifacts":
            what = f"{part.name} is not as declared"
            why = f"{human.count(len(part.steps), 'step')} missing"
            titles = named(s.title for s in part.steps)
            yield Finding(Kind.MISSING, what, "", why, fix, titles, short(part.name))
    if waiting := [p.name for p in lacking if p.assumed_after]:
        what = f"{', '.join(waiting)} can't be there yet"
        after = dict.fromkeys(n for p in lacking for n in p.assumed_after)
        why = f"what it stands on is missing: {', '.join(after)}"
        yield Finding(Kind.SKIPPED, what, "", why, fix)


def of_status(found: status.Found, plan: Plan, stack: str) -> Iterator[Finding]:
    """What is not up though nothing is missing."""
    whole = {p.name for p in plan.parts if not p.steps}
    for component, line, _ in found.rows:
        if not line.ok and component.name in whole:
            name = short(component.name)
            what = f"{line.thing or name} is not up"
            fix = f"disco logs{stack} {name}; disco check{stack}"
            yield Finding(Kind.DOWN, what, name, line.state, fix, (), name)


async def _checks(session: Session, looked: Looked, ends: float) -> None:
    """Ask those that only read, of components that are up."""
    loop = asyncio.get_running_loop()
    if looked.status is None:
        looked.unseen.append("checks: it is not known what is up")
        return
    up = {c.name for c, line, _ in looked.status.rows if line.ok}
    components = await session.components()
    every = [check for n in components if n in up for check in components[n].checks(session.world)]
    asked = [c for c in every if c.reads_only]
    if not asked:
        return
    if ends - loop.time() < FEWEST_S:
        looked.unseen.append(f"{human.count(len(asked), 'check')}: no time was left")
        return
    looked.answers = await ask_within(asked, max(0.0, ends - loop.time()), PARALLEL)
    late = len(asked) - len(looked.answers)
    if late:
        looked.unseen.append(f"{human.count(late, 'check')}: no answer in time")
    for one in looked.answers:
        if not one.answer.ok:
            what, about = f"{one.check.id} is red", _about(one.check, list(components))
            found = Finding(
                Kind.CHECK, what, "", one.answer.evidence, one.check.fix, one.answer.details, about
            )
            looked.found.append(found)


def _about(check: Check, components: list[str]) -> str:
    """The component that a check is of: `chain/akash/height`, `vault/raft`, `cluster/dns`."""
    parts = check.id.split("/")
    names = {short(n) for n in components}
    known = next((p for p in parts if p in names), "")
    return known or {"cluster": "kubernetes", "metrics": "prometheus"}.get(parts[0], "")
