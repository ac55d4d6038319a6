"""`disco plan`, `disco apply`, `disco up`, `disco down`: from what is declared to what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from disco.checks import report
from disco.cli import render, speak
from disco.cli.changing import Told, agree, change, missing_rights
from disco.cli.check import ask_until_green, exit_code
from disco.cli.check import show as show_answers
from disco.cli.status import look
from disco.cli.status import show as show_status
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


async def apply(file: Path, yes: bool, as_json: bool, parallel: int, layer: str | None) -> int:
    """Carry out what is missing."""
    confirm = agree(yes, "Carry this out?")
    with _telling(as_json) as told:
        return await change(file, "apply", _maker(layer), confirm, parallel, told=told)


def _maker(layer: str | None) -> Callable[[str, Graph, dict[str, Look]], Plan]:
    """How a plan is made: of everything, or of one layer."""

    def make(stack: str, graph: Graph, looks: dict[str, Look]) -> Plan:
        found = planning.make(stack, graph, looks)
        return planning.only(found, Layer[layer.upper()]) if layer else found

    return make


async def up(file: Path, yes: bool, as_json: bool, parallel: int) -> int:
    """The whole way: plan, apply, check, addresses."""

    async def after(session: Session, told: Told) -> int:
        answers = await ask_until_green(session)
        found = await look(session, drift=False)
        told |= {"checks": report.data(answers), "status": found.data()}
        if not as_json:
            show_answers(answers)
            show_status(found, file)
        return exit_code(answers)

    confirm = agree(yes, "Carry this out?")
    with _telling(as_json) as told:
        return await change(file, "up", planning.make, confirm, parallel, after, told=told)


async def down(file: Path, yes: bool, as_json: bool, parallel: int, layer: str | None) -> int:
    """Destroy what the stack made, in reverse order."""
    lowest = Layer[layer.upper()] if layer else Layer.SERVERS

    def make(stack: str, graph: Graph, looks: dict[str, Look]) -> Plan:
        return planning.make_removal(stack, graph, looks, lowest)

    confirm = agree(yes, "Destroy this?")
    with _telling(as_json) as told:
        return await change(file, "down", make, confirm, parallel, lowest_going=lowest, told=told)


@contextmanager
def _telling(as_json: bool) -> Iterator[Told]:
    """What a run has to tell, printed as data at the end when that was asked for."""
    told: Told = {}
    yield told
    if as_json:
        speak.data_json(told)
