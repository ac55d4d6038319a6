"""`disco logs`: what a component, a host or a pod says, followed wherever it runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from disco.checks.logs import Span
from disco.cli import kept_logs, speak
from disco.cli.kept_lines import Line
from disco.cli.opened import veiled
from disco.cli.target import Target, found_pods, must_have_cluster, target
from disco.cli.wiring import Session, open_stack
from disco.engine.errors import DiscoError, Exit, WrongUse
from disco.hosts.host import Host
from disco.kube.access import Cluster
from disco.kube.errors import translated

PAUSE_S = 2.0  # between two looks for pods that are new
NOT_YET = 400  # the API's answer for a container that has not started


@dataclass(frozen=True)
class Source:
    """One log. key: where it stands, and which life of a container it is."""

    label: str
    key: str
    lines: Callable[[], AsyncIterator[str]]


@dataclass(frozen=True)
class Asked:
    """What of the past is asked for. limit: lines at most."""

    when: Span
    query: str
    limit: int

    @property
    def anything(self) -> bool:
        return self.when != Span() or bool(self.query)

    @property
    def needs_store(self) -> bool:
        return self.when.end is not None or bool(self.query)


async def logs(file: Path, name: str, *, follow: bool, tail: int, past: Past, as_json: bool) -> int:
    """Print the last lines of each log, and go on with new ones if asked; or what was kept."""
    asked = past.asked(follow)
    async with open_stack(file) as session:
        wanted = await target(session, name)
        if asked.anything:
            if store := await kept_logs.store_of(session):
                lines = await store.lines(wanted, asked.when, asked.query, asked.limit)
                several = len(wanted.hosts) + sum(not p.pod for p in wanted.pods) > 1
                _print_kept(*lines, asked.limit, several, as_json)
                return int(Exit.DONE)
            _say_that_nothing_is_kept(asked)
            tail = asked.limit
        sources = await sources_of(session, wanted, follow, tail, asked.when.start)
        if not sources and not follow:
            raise DiscoError(f"{name} has no log: no pod is there", fix="see: disco status")
        printer = Printer([s.label for s in sources], as_json)
        if follow:
            await _follow(session, wanted, sources, printer)
        else:
            for source in sources:
                await _print_all(source, printer)
    return int(Exit.DONE)


async def lines_of(session: Session, name: str, asked: Asked) -> list[Line]:
    """What was kept, the oldest first; or where nothing is, what the nodes still have, one log
    after the other, at most `limit` lines of each.

    Raises WrongUse for a name that nothing has, and for a query that nobody can answer.
    """
    wanted = await target(session, name)
    if store := await kept_logs.store_of(session):
        return (await store.lines(wanted, asked.when, asked.query, asked.limit))[0]
    if asked.needs_store:
        raise _needs_store()
    found = []
    for source in await sources_of(session, wanted, False, asked.limit, asked.when.start):
        async with aclosing(source.lines()) as lines:  # type: ignore[type-var]
            found += [Line(source.label, "", line) async for line in lines]
    return found


@dataclass(frozen=True)
class Past:
    """Flags about the past, as a person gave them."""

    since: str = ""
    until: str = ""
    query: str = ""
    limit: int = 1000

    def asked(self, follow: bool) -> Asked:
        """Raises WrongUse."""
        if self.limit < 1:
            raise WrongUse("--limit must be at least 1")
        when = kept_logs.span(self.since, self.until, datetime.now(UTC))
        asked = Asked(when, self.query, self.limit)
        if follow and asked.anything:
            raise WrongUse("--follow waits for new lines: --since, --until and --query ask for old")
        return asked


def _print_kept(lines: list[Line], cut: bool, limit: int, several: bool, as_json: bool) -> None:
    """several: whether they may be from several places, also where these are all from one."""
    printer = Printer(sorted({line.label for line in lines}), as_json)
    printer.several = several or printer.several
    for line in lines:
        printer.line(line.label, line.text, line.time)
    if cut:
        speak.talk(
            f"only the newest {limit} lines: --limit N for more, --until for older", "yellow"
        )
    if not lines:
        speak.talk("the store has no such line")


NOT_KEPT, KEEP = "this stack keeps no logs", "add `logs: {}` to the stack file, and apply"


def _needs_store() -> WrongUse:
    return WrongUse(NOT_KEPT, why="--until and --query are answered by a store of logs", fix=KEEP)


def _say_that_nothing_is_kept(asked: Asked) -> None:
    if asked.needs_store:
        raise _needs_store()
    speak.talk(f"{NOT_KEPT}: this is what its nodes still have. To keep them, {KEEP}", "yellow")


class Printer:
    """Lines as they come; with where they are from when there are several. as_json: an object a
    line."""

    def __init__(self, labels: list[str], as_json: bool = False) -> None:
        self._wide = max(map(len, labels), default=0)
        self.several = len(labels) > 1
        self._as_json = as_json

    def line(self, label: str, text: str, time: str = "") -> None:
        if self._as_json:
            told = {"from": label, **({"time": time} if time else {})}
            told["line"] = veiled(text.rstrip("\r\n"))
            speak.data_line(json.dumps(told, ensure_ascii=False))
            return
        self._wide = max(self._wide, len(label))
        start = f"{label:{self._wide}}  " if self.several and label else ""
        speak.data_line(start + veiled(text.rstrip("\r\n")))


async def _print_all(source: Source, printer: Printer) -> None:
    try:
        async with aclosing(source.lines()) as lines:  # type: ignore[type-var]
            async for line in lines:
                printer.line(source.label, line)
    except DiscoError as error:
        speak.talk(f"{source.label}: {error}", "yellow")


async def _follow(
    session: Session, wanted: Target, sources: list[Source], printer: Printer
) -> None:
    """Also pods that come later, and containers that begin again."""
    running: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            printer.several = printer.several or len(running) > 1
            for source in sources:
                if source.key not in running:
                    running[source.key] = group.create_task(_print_all(source, printer))
            await asyncio.sleep(PAUSE_S)
            sources = await _again(lambda: sources_of(session, wanted, True, -1))
            for key in [k for k, task in running.items() if task.done() and _is_host(k)]:
                del running[key]  # the connection was lost: begin again


def _is_host(key: str) -> bool:
    return "/" not in key


async def _again(look: Callable[[], Awaitable[list[Source]]]) -> list[Source]:
    try:
        return await look()
    except DiscoError as error:
        speak.talk(str(error), "yellow")
        return []


async def sources_of(
    session: Session, wanted: Target, follow: bool, tail: int, since: datetime | None = None
) -> list[Source]:
    """tail: lines from the end of each; -1 for all."""
    found = [_of_host(session, h, wanted.unit, follow, tail, since) for h in wanted.hosts]
    for pod in await found_pods(session, wanted):
        cluster = must_have_cluster(wanted.cluster)
        found += _of_pod(session, cluster, pod, wanted.pods[0].container, follow, tail, since)
    return found


def _of_host(
    session: Session, host: Host, unit: str, follow: bool, tail: int, since: datetime | None
) -> Source:
    argv = ["journalctl", "--no-pager", "--quiet", "--output=short-iso"]
    argv += ["--lines", str(tail) if tail >= 0 else "0"]
    argv += [*(["--follow"] if follow else []), *(["--unit", unit] if unit else [])]
    argv += ["--since", f"@{since.timestamp():.0f}"] if since else []
    label = f"{host.name}:{unit}" if unit else host.name
    return Source(label, label, lambda: session.sessions.follow(host, argv))


def _of_pod(
    session: Session,
    cluster: Cluster,
    pod: dict[str, Any],
    only: str,
    follow: bool,
    tail: int,
    since: datetime | None,
) -> list[Source]:
    meta = pod["metadata"]
    place = f"{meta['namespace']}/{meta['name']}"
    names = [c["name"] for c in pod["spec"]["containers"]]
    lives = {s["name"]: s for s in pod["status"].get("containerStatuses", [])}
    found = []
    for name in [only] if only else names:
        life = lives.get(name, {}).get("containerID", "")
        if follow and not life:
            continue  # it has not started; a later look will find it
        label = meta["name"] + (f":{name}" if len(names) > 1 else "")
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/log"
        params = {"container": name, **({"follow": "true"} if follow else {})}
        params |= {"tailLines": str(tail)} if tail >= 0 else {}
        params |= {"sinceTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")} if since else {}
        lines = _stream(session, cluster, path, params)
        found.append(Source(label, f"{place}/{name}/{life}", lines))
    return found


def _stream(
    session: Session, cluster: Cluster, path: str, params: dict[str, str]
) -> Callable[[], AsyncIterator[str]]:
    async def lines() -> AsyncIterator[str]:
        patient = httpx2.Timeout(15, read=None)
        http = session.kube.http(cluster)
        with translated(cluster, f"GET {path}"):
            async with http.stream("GET", path, params=params, timeout=patient) as answer:
                if answer.status_code == NOT_YET:
                    return
                if answer.is_error:
                    await answer.aread()
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    yield line

    return lines
