"""`disco console`: a page in the browser that shows what the other commands tell."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.checks import report
from disco.checks.runner import ask_all
from disco.cli import alerts, boards, ending, history, planned, render, speak, status
from disco.cli.changing import Way
from disco.cli.logs import Past, lines_of
from disco.cli.opened import done_with, veiled
from disco.cli.render import NOTHING_TO_DO
from disco.cli.target import short
from disco.cli.wiring import Session, located, lock_of, open_stack, wired
from disco.console.serving import serve
from disco.engine.component import Layer
from disco.engine.errors import Exit
from disco.engine.graph import Graph
from disco.engine.journal import Journal
from disco.engine.plan import Part
from disco.stack.problem import StackProblems
from disco.store.checks import checks as store_checks
from disco.store.store import Store

PARALLEL = 8
RUNS = 50  # of the history, the last ones
LINES = 500  # of logs, the newest ones
SINCE = "15m"
SERVERS = "servers"


async def console(file: Path, listen: str, port: int) -> int:
    """Serve until Ctrl-C. Returns the exit code."""
    loaded, place = located(file)
    source = StackFile(file, loaded.name, place.journal)
    source.graph()  # what is wrong with the stack file is said here, before there is a page
    await serve(source, listen, port, lambda address: _told(address, loaded.name, listen))
    return int(Exit.DONE)


def _told(address: str, name: str, listen: str) -> None:
    speak.talk(f"console of the stack {name}; it only reads; Ctrl-C ends it")
    if not ipaddress.ip_address(listen).is_loopback:
        told = "others can reach it, and there is no TLS: better a tunnel, as docs/how-to tells"
        speak.talk(f"{told} (console.md)", "yellow")
    speak.data_line(address)


@dataclass(frozen=True)
class StackFile:
    """A stack by its file, which is read anew for each question: it may be edited meanwhile."""

    file: Path
    name: str
    journal: Path

    def veiled(self, text: str) -> str:
        return veiled(text)

    def told(self, error: Exception) -> list[dict[str, Any]]:
        known = ending.foreseen(error) or ending.of_the_system(error)
        if isinstance(known, StackProblems):
            return [
                {"what": p.message, "where": f"{p.place}: {p.path}", "why": "", "fix": p.hint}
                for p in known.problems
            ]
        return [render.error_data(e) for e in render.errors(known)] if known else []

    def graph(self) -> Graph:
        return wired(*located(self.file))

    def history(self) -> list[dict[str, Any]]:
        """Of this machine, the last one first."""
        _, place = located(self.file)
        holder = lock_of(place, Store(place)).last_holder()
        runs = history.runs_of(Journal(place.journal).read(), holder)
        return [history.data(run) for run in reversed(runs[-RUNS:])]

    def names(self) -> list[str]:
        shorts = [short(node.name) for node in self.graph() if not node.component.implied]
        return [name for name in shorts if name != SERVERS] + [SERVERS] * (SERVERS in shorts)

    async def logs(self, name: str, since: str, query: str) -> list[dict[str, str]]:
        asked = Past(since or SINCE, "", query, LINES).asked(follow=False)
        async with self._opened() as session:
            found = await lines_of(session, name, asked)
            return [{"from": x.label, "time": x.time, "line": x.text} for x in found]

    def boards(self) -> list[str]:
        return list(boards.of_stack(located(self.file)[0]))

    async def board(self, name: str, span_s: float) -> dict[str, Any]:
        async with self._opened() as session:
            return await boards.board(session, name, span_s)

    async def alerts(self) -> list[dict[str, Any]]:
        """What fires, each with its page."""
        async with self._opened() as session:
            found = await alerts.now(session)
            return [{**alerts.data(a), "page": alerts.page(a.name)} for a in found]

    async def status(self) -> dict[str, Any]:
        async with self._opened() as session:
            return (await status.look(session)).data()

    async def checks(self) -> dict[str, Any]:
        """Of those that only read; the others make something for a while."""
        async with self._opened() as session:
            components = await session.components()
            every = [c for n in session.graph.order for c in components[n].checks(session.world)]
            every += store_checks(session.store)
            asked = await ask_all([c for c in every if c.reads_only], PARALLEL)
            not_asked = [c.id for c in every if not c.reads_only]
            return {"checks": report.data(asked), "not_asked": not_asked}

    async def plan(self) -> dict[str, Any]:
        """As `disco plan --commands` shows it."""
        async with self._opened() as session:
            plan, _ = await Way().plan(session)
            return {
                "digest": plan.digest,
                "summary": NOTHING_TO_DO if plan.empty else planned.summary(plan),
                "lost": list(planned.lost(plan)),
                "parts": [_part(part) for part in plan.parts if part.steps or part.notes],
            }

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Session]:
        async with open_stack(self.file, makes=False) as session:
            try:
                yield session
            finally:
                done_with(session.store)


def _part(part: Part) -> dict[str, Any]:
    steps = [
        {"title": s.title, "mark": render.mark(part, s), "lines": planned.command_lines(s)}
        for s in part.steps
    ]
    return {
        "name": part.name,
        "layer": Layer(part.layer).title,
        "known_after": list(part.assumed_after),
        "notes": list(part.notes),
        "steps": steps,
    }
