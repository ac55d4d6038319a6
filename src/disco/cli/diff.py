"""`disco diff`: what is no longer as it was declared, field by field, and who changed it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.cli import human, speak
from disco.cli.app import of
from disco.cli.opened import veiled
from disco.cli.wiring import Session, open_stack
from disco.engine import plan as planning
from disco.engine.action import Action
from disco.engine.drift import Difference
from disco.engine.errors import DiscoError, Exit
from disco.engine.plan import Part

AT_ONCE = 16


@dataclass(frozen=True)
class Found:
    """An action that would change something, and why.

    by_hand: it was done before just so: somebody else changed the thing since.
    """

    component: str
    action: Action
    by_hand: bool
    differences: tuple[Difference, ...]

    def data(self) -> dict[str, Any]:
        return {
            "component": self.component,
            "thing": self.action.touches,
            "by_hand": self.by_hand,
            "mended_by": self.action.describe(),
            "differences": [
                {k: veiled(v) for k, v in dataclasses.asdict(d).items()} for d in self.differences
            ],
        }


async def diff(file: Path, as_json: bool) -> int:
    """Exit code 3 when something differs."""
    async with open_stack(file) as session:
        with speak.doing("looking at what is there"):
            found = await look(session)
    if as_json:
        speak.data_json([f.data() for f in found])
    else:
        for line in _lines(found):
            speak.data(veiled(line))
        _sum(found, file)
    return int(Exit.RED if found else Exit.DONE)


async def look(session: Session) -> list[Found]:
    looks = await planning.observe(session.graph, session.world)
    applied = session.journal.applied()
    # Also what a component leaves as it is counts here.
    plan = planning.make(session.loaded.name, session.graph, looks)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(part: Part, action: Action) -> Found:
        by_hand = applied.get(action.identity) == action.digest[:16]
        async with slots:
            try:
                differences = await session.explain(action)
            except DiscoError as error:
                differences = [Difference(action.touches, "", f"not known: {error.what}")]
        return Found(part.name, action, by_hand, tuple(differences))

    there = [p for p in plan.parts if not p.assumed_after]
    asked = [(p, a) for p in there for s in p.steps for a in s.actions if not a.waits]
    return list(await asyncio.gather(*(one(p, a) for p, a in asked)))


def _lines(found: list[Found]) -> Iterator[str]:
    component = ""
    for one in found:
        if one.component != component:
            component = one.component
            yield component
        why = "changed by hand" if one.by_hand else "declared anew, or not made yet"
        yield f"  {one.action.touches}   ({why})"
        for difference in one.differences:
            yield from _difference(one.action.touches, difference)


def _difference(touches: str, found: Difference) -> Iterator[str]:
    thing = "" if found.thing == touches else f"{found.thing} "
    owner = f"   [{found.owner}]" if found.owner else ""
    if "\n" in found.now or found.now[:1] in ("+", "-"):
        yield f"    {thing}{found.field}:{owner}"
        yield from (f"      {line}" for line in found.now.splitlines())
        return
    declared = f", declared {found.declared}" if found.declared else ""
    field = f"{found.field} " if found.field else ""
    yield f"    {thing}{field}is {found.now}{declared}{owner}"


def _sum(found: list[Found], file: Path) -> None:
    if not found:
        speak.talk("Nothing differs from what is declared.", "green")
        return
    by_hand = sum(f.by_hand for f in found)
    speak.talk(
        f"{human.count(len(found), 'thing')} differ, {by_hand} of them changed by hand. "
        f"Mend: disco apply{of(file)}",
        "yellow",
    )
