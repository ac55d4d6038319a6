"""`disco plan`, `disco apply`, `disco up`, `disco down`: from what is declared to what runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from disco.cli import render, speak
from disco.cli.changing import agree, change, missing_rights
from disco.cli.check import run_until_green
from disco.cli.status import show_status
from disco.cli.wiring import Session, open_stack
from disco.engine import plan as planning
from disco.engine.component import Layer
from disco.engine.errors import Exit
from disco.engine.graph import Graph
from disco.engine.plan import Look, Plan


async def plan(file: Path, as_json: bool, commands: bool, layer: str | None) -> int:
    """Show what would change. Changes nothing."""
    async with open_stack(file) as session:
        _tell_unfinished(session)
        if missing := missing_rights(session):
            speak.talk(f"{missing}; without it nothing of them can be seen", "yellow")
        with speak.doing("looking at what is there"):
            looks = await planning.observe(session.graph, session.world)
        found = _maker(layer)(session.loaded.name, session.graph, looks)
    if as_json:
        speak.data_json(found.data())
    else:
        speak.data(render.plan_text(found, commands))
    return int(Exit.DONE)


def _tell_unfinished(session: Session) -> None:
    for left in session.journal.unfinished():
        speak.talk(f"An earlier run ended inside: {left.step}: {left.action}", "yellow")


async def apply(file: Path, yes: bool, parallel: int, layer: str | None) -> int:
    """Carry out what is missing."""
    return await change(file, "apply", _maker(layer), agree(yes, "Carry this out?"), parallel)


def _maker(layer: str | None) -> Callable[[str, Graph, dict[str, Look]], Plan]:
    """How a plan is made: of everything, or of one layer."""

    def make(stack: str, graph: Graph, looks: dict[str, Look]) -> Plan:
        found = planning.make(stack, graph, looks)
        return planning.only(found, Layer[layer.upper()]) if layer else found

    return make


async def up(file: Path, yes: bool, parallel: int) -> int:
    """The whole way: plan, apply, check, addresses."""

    async def after(session: Session) -> int:
        code = await run_until_green(session)
        await show_status(session)
        return code

    return await change(file, "up", planning.make, agree(yes, "Carry this out?"), parallel, after)


async def down(file: Path, yes: bool, parallel: int, layer: str | None) -> int:
    """Destroy what the stack made, in reverse order."""
    lowest = Layer[layer.upper()] if layer else Layer.SERVERS

    def make(stack: str, graph: Graph, looks: dict[str, Look]) -> Plan:
        return planning.make_removal(stack, graph, looks, lowest)

    return await change(file, "down", make, agree(yes, "Destroy this?"), parallel)
