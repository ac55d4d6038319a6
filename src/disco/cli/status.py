"""`disco status`: what runs, by layer, and how each thing is reached from this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.cli import speak
from disco.cli.app import of
from disco.cli.wiring import Session, open_stack
from disco.engine import plan as planning
from disco.engine.component import Component, Layer, StatusLine
from disco.engine.errors import DiscoError, Exit, NotThere, Several, all_of

HEADINGS = ["layer", "component", "what", "state", "reach it by"]
NO_ANSWER, NOT_THERE = "no answer", "not there"


@dataclass(frozen=True)
class Found:
    """The state of a stack.

    rows:   a component, one thing of it, and how that is reached from here.
    errors: what could not be asked, a line each.
    drift:  component -> titles of the steps that would make it again what is declared.
    """

    rows: list[tuple[Component, StatusLine, str]]
    errors: list[str]
    drift: dict[str, list[str]]

    @property
    def exit(self) -> int:
        """Red when something is not as it should be."""
        good = all(line.ok for _, line, _ in self.rows) and not self.drift
        return int(Exit.DONE if good else Exit.RED)

    def data(self) -> dict[str, Any]:
        return {
            "things": [_data(*row) for row in self.rows],
            "errors": self.errors,
            "drift": self.drift,
        }


async def status(file: Path, as_json: bool) -> int:
    async with open_stack(file) as session:
        with speak.doing("asking every component"):
            found = await look(session)
        if as_json:
            speak.data_json(found.data())
        else:
            show(found, file)
        return found.exit


async def look(session: Session, drift: bool = True) -> Found:
    """Ask every component that can be asked, and whether it is still what is declared."""
    components = await session.components()
    lines: dict[str, list[StatusLine]] = {}
    errors: list[str] = []
    for node in session.graph:  # each after what it stands on: what is down is not asked
        down = [up for up in node.upstream if not _is_up(lines[up])]
        if down:
            lines[node.name] = [StatusLine("", f"waits for {', '.join(down)}", "", False)]
        else:
            lines[node.name], silent = await ask(session, components[node.name])
            for error in silent:
                errors += _told(node.name, error)
    rows = [
        (components[n], x, reached_by(x, session.loaded.path))
        for n, ls in lines.items()
        for x in ls
    ]
    up = {n for n, ls in lines.items() if ls and _is_up(ls)}
    return Found(rows, errors, await _drift(session, up, errors) if drift and up else {})


async def _drift(session: Session, up: set[str], errors: list[str]) -> dict[str, list[str]]:
    """What a plan would do to components that are up."""
    try:
        looks = await planning.observe(session.graph, session.world)
    except Several as error:
        errors += _told("drift is not known", error)
        return {}
    applied = session.journal.applied()
    parts = planning.make(session.loaded.name, session.graph, looks, applied).parts
    told = {p.name: [*(s.title for s in p.steps), *p.notes] for p in parts if p.name in up}
    return {name: lines for name, lines in told.items() if lines}


def show(found: Found, file: Path) -> None:
    """A line for each thing; then what differs from what is declared."""
    _print([[str(v) for v in _data(*row).values()] for row in found.rows])
    for error in found.errors:
        speak.talk(error, "red")
    for name, titles in found.drift.items():
        speak.talk(f"{name} is not as declared: {'; '.join(titles)}", "yellow")
    if found.drift:
        speak.talk(f"look: disco plan{of(file)}; mend: disco apply{of(file)}")


def _print(rows: list[list[str]]) -> None:
    """One line each; how it is reached on a line of its own where there is no room beside."""
    told, layer_before = [], ""
    for layer, component, what, state, reached_by, ok in rows:
        title = "" if layer == layer_before else layer
        told.append(["✓" if ok == str(True) else "✗", title, what or component, state, reached_by])
        layer_before = layer
    speak.data_lines(told)


def _is_up(lines: list[StatusLine]) -> bool:
    return not lines or any(x.ok for x in lines)


async def ask(
    session: Session, component: Component, within_s: float | None = None
) -> tuple[list[StatusLine], list[DiscoError]]:
    """What a component says of itself; else one line that says so, and why.

    within_s: seconds after which there is no answer; None to wait for as long as it takes.
    """
    try:
        async with asyncio.timeout(within_s) as limit:
            return await component.status(session.world), []
    except TimeoutError:
        if not limit.expired():
            raise
        return _silent(NO_ANSWER), [DiscoError(f"no answer within {within_s or 0:.0f} s")]
    except NotThere:
        return _silent(NOT_THERE), []
    except (DiscoError, Several) as error:
        return _silent(NO_ANSWER), all_of(error)


def _silent(state: str) -> list[StatusLine]:
    return [StatusLine("", state, "", False)]


def _told(name: str, error: DiscoError | Several) -> Iterator[str]:
    found = error.errors if isinstance(error, Several) else [error]
    for one in found:
        yield f"{name}: {one}" + (f" (fix: {one.fix})" if one.fix else "")


def _data(component: Component, line: StatusLine, reached_by: str) -> dict[str, str | bool]:
    found = [Layer(component.layer).title, component.name, line.thing, line.state, reached_by]
    return {**dict(zip(HEADINGS, found, strict=True)), "ok": line.ok}


def reached_by(line: StatusLine, stack: Path) -> str:
    """What a person types here: keys and certificates are DISCO's, so plain ssh and kubectl would
    be refused."""
    file = of(stack)
    program, _, rest = line.address.partition(" ")
    match program:
        case "ssh":
            return f"disco shell{file} {line.thing}"
        case "kubectl":
            return f"disco kubectl{file} -- {rest}"
        case "disco":
            command, _, arguments = rest.partition(" ")
            return f"disco {command}{file} {arguments}"
    return line.address
