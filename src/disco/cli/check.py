"""`disco check`: is it really working, each answer with its evidence and, where red, a fix."""

from __future__ import annotations

import asyncio
from pathlib import Path

from disco.checks import report
from disco.checks.runner import Asked, ask_all
from disco.cli import human, measured, speak
from disco.cli.wiring import Session, open_stack
from disco.engine.check import Check
from disco.engine.component import Layer
from disco.engine.errors import Exit, WrongUse
from disco.store.checks import checks as store_checks


async def check(
    file: Path,
    only: str,
    as_json: bool,
    junit: Path | None,
    parallel: int,
    layer: str | None,
    settles_within_s: float,
) -> int:
    """Ask, print, and say by the exit code whether something is red."""
    async with open_stack(file) as session:
        answers = await ask_until_green(session, settles_within_s, only, layer, parallel)
        if not (only or layer):
            await measured.checks(session, answers)
        if as_json:
            speak.data_json(report.data(answers))
        else:
            show(answers)
        if junit:
            junit.write_text(report.junit(session.loaded.name, answers), encoding="utf-8")
        return exit_code(answers)


SETTLES_S = 120.0  # right after `up`; on two busy cores a pod alone may take half a minute


async def ask_until_green(
    session: Session,
    within_s: float = SETTLES_S,
    only: str = "",
    layer: str | None = None,
    parallel: int = 8,
) -> list[Asked]:
    """Right after things were started: what is red is asked again until it has settled."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + within_s
    chosen = await _chosen(session, only, layer)
    found: dict[str, Asked] = {}
    while True:
        left = [c for c in chosen if c.id not in found or not found[c.id].answer.ok]
        with speak.doing(f"asking {human.count(len(left), 'question')}"):
            found |= {a.check.id: a for a in await ask_all(left, parallel)}
        if all(a.answer.ok for a in found.values()) or loop.time() > ends:
            return list(found.values())
        await asyncio.sleep(1)
        chosen = await _chosen(session, only, layer)  # what a question has seen is seen anew


async def _chosen(session: Session, only: str, layer: str | None) -> list[Check]:
    components = await session.components()
    asked = [components[n] for n in session.graph.order]
    if layer:
        asked = [c for c in asked if c.layer is Layer[layer.upper()]]
    checks = [check for component in asked for check in component.checks(session.world)]
    if not layer:
        checks += store_checks(session.store)
    chosen = [c for c in checks if _is_chosen(c, only)]
    if not chosen:
        raise WrongUse(
            f"no check begins with {only!r}" if only else "there are no checks here",
            fix=f"choose from {', '.join(c.id for c in checks)}" if checks else "",
        )
    return chosen


def exit_code(answers: list[Asked]) -> int:
    return int(Exit.RED if any(not a.answer.ok for a in answers) else Exit.DONE)


def _is_chosen(check: Check, only: str) -> bool:
    return not only or any(check.id.startswith(o) for o in only.split(","))


def show(answers: list[Asked]) -> None:
    """A table, with a fix for each red answer."""
    speak.data_table(report.HEADINGS, report.rows(answers), wraps=2)
    red = [a for a in answers if not a.answer.ok]
    for asked in red:
        speak.talk(f"{asked.check.id}: fix: {asked.check.fix}", "yellow")
    speak.talk(f"{len(answers) - len(red)} green, {len(red)} red", "red" if red else "green")
