"""What all commands that change something share: lock, plan, ask, carry out, say how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from disco import __version__
from disco.cli import human, measured, planned, render, speak
from disco.cli.app import of
from disco.cli.measured import Ran
from disco.cli.progress import shown
from disco.cli.wiring import Session, new_run, open_stack
from disco.engine import leaving
from disco.engine import plan as planning
from disco.engine.apply import Ended, Outcome, Run, Stop
from disco.engine.component import Layer
from disco.engine.errors import DiscoError, Exit, Several, WrongUse
from disco.engine.events import Event, Events, StepSkipped
from disco.engine.journal import ERROR_CHARACTERS, who
from disco.engine.leaving import Before
from disco.engine.lock import Held
from disco.engine.narrow import WHOLE, Aim, narrowed
from disco.engine.plan import Look, Plan
from disco.layers.platform.quorum import refuse_strangers
from disco.layers.platform.vault_spec import VaultSpec
from disco.layers.servers.local import LocalServers
from disco.stack.model import Model
from disco.store import shared
from disco.store.named import refuse_missing

Confirm = Callable[[Plan], bool]
Told = dict[str, Any]
Skipped = dict[str, list[str]]  # why -> steps
After = Callable[[Session, Told], Awaitable[int]]
ERRORS = 50  # what the journal keeps of them


@dataclass(frozen=True)
class Way:
    """Which plan is made.

    layer: of that one alone, or nothing. removal: of the way out, down to that layer.
    aim: at which part of it.
    must_be: raises when the plan is another one than was reviewed.
    """

    layer: str | None = None
    removal: bool = False
    aim: Aim = WHOLE
    must_be: Callable[[Plan], None] = lambda plan: None

    @property
    def lowest_going(self) -> Layer | None:
        """The layer down to which everything goes."""
        if not self.removal:
            return None
        return Layer[self.layer.upper()] if self.layer else Layer.SERVERS

    @property
    def is_whole(self) -> bool:
        """Whether all is brought to what is declared."""
        return not (self.layer or self.removal) and self.aim.is_whole

    def again(self, what: str, outcome: Outcome) -> str:
        """The command that goes on after a run that did not do it all: mostly the same."""
        return what

    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        """Look, and say what is to be done. Raises WrongUse for what is protected, DiscoError for
        an image that its registry does not give."""
        name, graph, lowest = session.loaded.name, session.graph, self.lowest_going
        if lowest is None:
            refuse_missing(session.loaded, session.store)
            refuse_holders(session)
        before = await session.before()
        looks = await planning.observe(graph, session.world, lowest)
        left = await leaving.parts(before, looks, session.world, lowest) if before else ()
        if lowest is None:
            plan = planning.make(name, graph, looks, session.journal.applied())
            plan = leaving.joined(plan, left)
            plan = planning.only(plan, Layer[self.layer.upper()]) if self.layer else plan
        else:
            plan = planning.make_removal(name, graph, looks, lowest)
            plan = leaving.joined(plan, [p for p in left if p.layer >= lowest])
        plan = narrowed(plan, self.aim)
        planning.refuse_protected(plan, _specs(session, before))
        self.must_be(plan)
        await session.artifacts.reach(a for _, step in plan.steps for a in step.actions)
        return plan, looks


def refuse_holders(session: Session) -> None:
    """Before anything is done: shares of a vault's key can be sealed for members only."""
    for node in session.graph:
        if isinstance(node.spec, VaultSpec):
            refuse_strangers(session.store, node.spec.quorum, f"{session.loaded.path}: vault")


def _specs(session: Session, before: Before | None) -> dict[str, Model]:
    """By the names of a plan's parts."""
    graph = before.graph if before else session.graph
    return {n.name: n.spec for n in graph} | {f"{leaving.PREFIX}{n.name}": n.spec for n in graph}


async def change(
    file: Path,
    what: str,
    way: Way,
    confirm: Confirm,
    parallel: int,
    after: After | None = None,
    told: Told | None = None,
) -> int:
    """Hold the lock, look, plan, ask, carry out. Returns the exit code.

    what: the command with the layer it is about, as it would be typed again.
    after: what follows a run that went well. told: gets what there is to tell, as data.
    """
    told = {} if told is None else told
    async with open_stack(file) as session:
        if missing := missing_rights(session):
            raise WrongUse(missing, fix=f"sudo disco {what}{of(file)}")
        with session.lock.hold(what) as held:
            shared.take(session.store)
            begun = time.monotonic()
            with speak.doing("looking at what is there"):
                plan, looks = await way.plan(session)
            looked = time.monotonic() - begun
            ran = partial(Ran, what, plan, looks, way.is_whole, looked)
            told |= {"plan": plan.digest, "steps": len(plan.steps), "outcome": "nothing to do"}
            if plan.empty:
                speak.talk(render.plan_text(plan))
                await measured.run(session, ran(Outcome(Ended.DONE), 0.0))
            elif not confirm(plan):
                speak.talk("Nothing was changed.")
                told["outcome"] = "not agreed to"
                return int(Exit.FAILED)
            else:
                session.declared.begin(session.loaded.specs)
                shared.give_declared(session.store)
                run, begun = new_run(), time.monotonic()
                try:
                    outcome = await _carry_out(session, plan, looks, run, held, parallel, what)
                finally:
                    _tell(lambda: shared.give_run(session.store, run, session.journal.read()))
                took = time.monotonic() - begun
                told |= {"run": run, **_outcome_data(outcome), "seconds": round(took, 3)}
                await measured.run(session, ran(outcome, took))
                if outcome.ended is not Ended.DONE:
                    return _explain(outcome, way.again(what, outcome), file)
                done = f"Done: {human.count(outcome.done, 'step')} in {human.clock(took)}."
                speak.talk(done, "green")
            _settle(session, way)
            _tell(lambda: shared.give_declared(session.store))
        return await after(session, told) if after else int(Exit.DONE)


def _tell(give: Callable[[], None]) -> None:
    """What was done is done, also when the team can't be told of it just now: it is kept here."""
    try:
        give()
    except DiscoError as error:
        render.complain(error)
        speak.talk("The run itself is not touched by that: disco store sync, later.", "yellow")


def _settle(session: Session, way: Way) -> None:
    """All of it went through: nothing is left of what was declared before."""
    if way.layer or not way.aim.is_whole:
        return
    if way.removal:
        session.declared.forget()
    else:
        session.declared.settle(session.loaded.specs)


def missing_rights(session: Session) -> str:
    """What this account lacks for the stack, told before anything takes time; empty for nothing."""
    local = any(node.component is LocalServers for node in session.graph)
    return "local servers need root" if local and os.geteuid() != 0 else ""


async def _carry_out(
    session: Session,
    plan: Plan,
    looks: dict[str, Look],
    run: str,
    held: Held,
    parallel: int,
    what: str,
) -> Outcome:
    events, stop, journal = Events(), Stop(), session.journal
    begun = time.monotonic()
    journal.write(
        "run",
        run=run,
        who=who(),
        what=what,
        token=held.token,
        plan=plan.digest[:16],
        steps=len(plan.steps),
        version=__version__,
    )
    skipped: Skipped = {}
    events.listen(lambda event: _note_skipped(skipped, event))
    gate = session.gate(run, held)
    runner = Run(
        plan, session.graph, looks, session.world, gate, events, stop, run, parallel=parallel
    )
    with shown(events), _interruptible(stop):
        try:
            outcome = await runner.run()
        except asyncio.CancelledError:
            # after what is being written
            await journal.record("end", run=run, outcome="cut off", seconds=_since(begun))
            raise
    journal.write("end", run=run, seconds=_since(begun), **end_data(outcome, skipped))
    return outcome


def _note_skipped(skipped: Skipped, event: Event) -> None:
    if isinstance(event, StepSkipped):
        skipped.setdefault(event.why, []).append(event.step)


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)


def end_data(outcome: Outcome, skipped: Skipped) -> Told:
    """How a run ended, for the journal: counts, each error with its fix, what was not begun."""
    return {
        "outcome": outcome.ended.value,
        "done": outcome.done,
        "failed": len(outcome.errors),
        "skipped": outcome.skipped,
        "why_skipped": skipped,
        "errors": [
            {k: render.error_data(e)[k][:ERROR_CHARACTERS] for k in ("what", "where", "why", "fix")}
            for e in outcome.errors[:ERRORS]
        ],
    }


@contextmanager
def _interruptible(stop: Stop) -> Iterator[None]:
    """The first Ctrl-C lets running actions end; the second one ends them."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if stop.requested and task:
            task.cancel()
            return
        stop.requested = True
        speak.talk("Stopping after what runs now; Ctrl-C again stops at once.", "yellow")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _outcome_data(outcome: Outcome) -> Told:
    return {
        "outcome": outcome.ended.value,
        "done": outcome.done,
        "skipped": outcome.skipped,
        "errors": [render.error_data(e) for e in outcome.errors],
    }


def _explain(outcome: Outcome, what: str, file: Path) -> int:
    """what: the command that goes on."""
    again = f"disco {what}{of(file)}"
    if outcome.ended is Ended.STOPPED:
        speak.talk(f"Stopped. What is done stays; go on with: {again}", "yellow")
        return int(Exit.FAILED)
    render.complain(Several(outcome.errors))
    skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
    speak.talk(
        f"{human.count(outcome.done, 'step')} done, {len(outcome.errors)} failed{skipped}. "
        f"What is done stays; mend what is named, then: {again}"
    )
    speak.talk(f"What is wrong, and what to do first: disco doctor{of(file)}")
    return int(Exit.FAILED)


def agree(yes: bool, question: str, allow_destroy: bool = False) -> Confirm:
    """Show the plan; go on when the person says yes, or said it beforehand.

    What destroys needs more: to be allowed by a flag of its own, or the stack's name, typed.
    """

    def ask(plan: Plan) -> bool:
        speak.talk(render.plan_text(plan))
        if planned.lost(plan) and not allow_destroy:
            if not sys.stdin.isatty():
                raise WrongUse(
                    "this destroys what is named first, and there is nobody to ask",
                    fix="pass --allow-destroy if that may be lost",
                )
            return speak.ask(f"Type {plan.stack} to destroy this: ") == plan.stack
        if yes:
            return True
        if not sys.stdin.isatty():
            raise WrongUse(
                "the plan must be agreed to, and there is nobody to ask",
                fix="look at it with `disco plan`, then pass --yes",
            )
        return speak.ask(f"{question} [yes/no] ") in ("y", "yes")

    return ask
