"""Carry out a plan: components after what they stand on, steps side by side where they may be."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum

from disco.engine.component import Step, World
from disco.engine.errors import DiscoError, Retry, all_of
from disco.engine.events import (
    Events,
    Planned,
    RunEnded,
    RunStarted,
    StepDone,
    StepFailed,
    StepProgress,
    StepSkipped,
    StepStarted,
)
from disco.engine.fleet import Fleet
from disco.engine.gate import Gate
from disco.engine.graph import Graph
from disco.engine.plan import Look, Part, Plan, look_at, ordered
from disco.engine.retry import tried


class Ended(Enum):
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass
class Stop:
    """Set by the first Ctrl-C: running actions end, nothing new begins."""

    requested: bool = False


@dataclass
class Outcome:
    ended: Ended
    errors: list[DiscoError] = field(default_factory=list)
    done: int = 0
    skipped: int = 0


SEEN_AFTER_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # between looks for what was done a moment ago


class Stopped(Exception):
    """The run was asked to stop before this action began."""


class Run:
    """One run over a plan.

    parallel: how many steps run at the same time, over all components.
    """

    def __init__(
        self,
        plan: Plan,
        graph: Graph,
        looks: dict[str, Look],
        world: World,
        gate: Gate,
        events: Events,
        stop: Stop,
        run_id: str,
        parallel: int = 16,
    ) -> None:
        self._plan, self._graph, self._looks = plan, graph, dict(looks)
        self._world, self._gate, self._events, self._stop = world, gate, events, stop
        self._id = run_id
        self._slots = asyncio.Semaphore(parallel)
        self._ended: dict[str, asyncio.Future[bool]] = {}
        self._outcome = Outcome(Ended.DONE)
        self._told = False  # why the gate is closed

    async def run(self) -> Outcome:
        """Independent branches go on when one fails; what stands on a failed part is skipped."""
        loop = asyncio.get_running_loop()
        self._ended = {p.name: loop.create_future() for p in self._plan.parts}
        self._events.emit(
            RunStarted(
                self._id,
                tuple((i, s.title) for i, s in self._plan.steps),
                tuple(s.estimate_s for _, s in self._plan.steps),
            )
        )
        async with asyncio.TaskGroup() as group:
            for part in self._plan.parts:
                group.create_task(self._part(part))
        if self._outcome.errors:
            self._outcome.ended = Ended.FAILED
        elif self._stop.requested and self._outcome.skipped:
            self._outcome.ended = Ended.STOPPED
        self._events.emit(RunEnded(self._outcome.ended.value))
        return self._outcome

    async def _part(self, part: Part) -> None:
        ok = False
        try:
            ok = await self._part_after_upstream(part)
        except Exception as error:
            self._fail(f"{part.name}/observe", all_of(error), 0.0)
        finally:
            if not self._ended[part.name].done():
                self._ended[part.name].set_result(ok)

    async def _part_after_upstream(self, part: Part) -> bool:
        bad = [n for n in part.upstream if not await self._ended[n]]
        if bad:
            why = "is still there" if part.leaving else "did not come up"
            for step in part.steps:
                self._skip(part, step, f"{bad[0]} {why}")
            return False
        steps = part.steps
        if part.assumed_after and not self._why_not:
            steps = await self._plan_again(part)
        done = await self._steps(part, steps)
        if done is None:
            return False
        if done and not part.leaving and self._is_assumed_by_others(part.name):
            self._looks[part.name] = await self._look_at(part.name, done)
        return True

    def _is_assumed_by_others(self, name: str) -> bool:
        return any(name in p.upstream and p.assumed_after for p in self._plan.parts)

    async def _look_at(self, name: str, done: frozenset[str]) -> Look:
        """What others are planned by, with these steps in it: a server that came up, and is silent
        when it is looked at on a busy machine, would count as one that is not there."""
        for pause_s in (*SEEN_AFTER_S, 0.0):
            look = await self._look(name)
            left = [s.title for s in look.component.steps(look.seen) if s.id in done]
            if not left:
                return look
            await asyncio.sleep(pause_s)
        raise DiscoError(
            f"{name} was carried out, and that can't be seen",
            where=name,
            why=f"what was done would have to be done again: {', '.join(left)}",
            fix="once more; what is done stays",
            retry=Retry.LIKELY,
        )

    async def _look(self, name: str) -> Look:
        node = self._graph.nodes[name]
        upstream = {
            n: Look(x.node, x.component, x.seen, (), exists=True)
            for n in node.upstream
            for x in [self._looks[n]]
        }
        return await tried(
            lambda: look_at(node, upstream, self._world, self._graph.place),
            lambda n, error: None,
        )

    async def _plan_again(self, part: Part) -> tuple[Step, ...]:
        """Observe what could not be observed before; refuse what was not reviewed."""
        look = self._looks[part.name] = await self._look(part.name)
        steps = ordered(part.name, look.component.steps(look.seen))
        if self._plan.narrowed:
            reviewed = {s.id for s in part.steps}
            steps = tuple(s for s in steps if s.id in reviewed)
        surplus = beyond(steps, part.steps)
        if surplus:
            raise DiscoError(
                f"{part.name} needs more than was planned, now that it can be seen",
                where=part.name,
                why="; ".join(surplus),
                fix="look at a new plan: disco plan",
            )
        self._events.emit(
            Planned(part.name, tuple((f"{part.name}/{s.id}", s.title) for s in steps))
        )
        return steps

    async def _steps(self, part: Part, steps: tuple[Step, ...]) -> frozenset[str] | None:
        """Those that were done; None where the part did not come up.

        A step waits for its place only when all before it have ended: a fleet has many steps.
        """
        order, fleet = Order(steps), Fleet(steps, part.may_fail)
        good: dict[str, bool] = {}
        async with asyncio.TaskGroup() as group:

            async def one(step: Step) -> None:
                held = [a for a in order.before(step) if not good[a]]
                held = [a for a in held if not fleet.forgives(a, step)]
                why = "a step before it failed" if held else ""
                good[step.id] = await self._in_turn(part, step, fleet, why)
                for ready in order.ended(step):
                    group.create_task(one(ready))

            for step in order.first:
                group.create_task(one(step))
        up = all(well or fleet.forgives(id) for id, well in good.items())
        return frozenset(id for id, well in good.items() if well) if up else None

    async def _in_turn(self, part: Part, step: Step, fleet: Fleet, held: str) -> bool:
        """held: why it may not begin, or nothing."""
        if held:
            self._skip(part, step, held)
            return False
        async with self._slots:
            if fleet.is_over:
                self._skip(part, step, fleet.why)
                return False
            return await self._step(part, step, fleet)

    async def _step(self, part: Part, step: Step, fleet: Fleet) -> bool:
        name = f"{part.name}/{step.id}"
        if self._why_not:
            self._skip(part, step, self._why_not)
            return False
        self._events.emit(StepStarted(name, step.title))
        begun = time.monotonic()

        def report(note: str, share: float | None = None) -> None:
            self._events.emit(StepProgress(name, note, share))

        try:
            for action in step.actions:
                if self._stop.requested:
                    raise Stopped
                await self._gate.carry_out(name, action, report)
        except Stopped:
            self._skip(part, step, "stopped")
            return False
        except Exception as error:
            is_closed = error is self._gate.closed  # no fault of the step's or its host's
            if is_closed and self._told:
                self._skip(part, step, self._why_not)
                return False
            self._told = self._told or is_closed
            if not is_closed:
                fleet.note(step)
            self._fail(name, all_of(error), time.monotonic() - begun)
            return False
        self._outcome.done += 1
        self._events.emit(StepDone(name, time.monotonic() - begun))
        return True

    @property
    def _why_not(self) -> str:
        """Why nothing new begins in this run; nothing while it may."""
        if self._gate.closed is not None:
            return all_of(self._gate.closed)[0].what
        return "stopped" if self._stop.requested else ""

    def _skip(self, part: Part, step: Step, why: str) -> None:
        self._outcome.skipped += 1
        self._events.emit(StepSkipped(f"{part.name}/{step.id}", why))

    def _fail(self, name: str, errors: list[DiscoError], seconds: float) -> None:
        self._outcome.errors += errors
        self._events.emit(StepFailed(name, seconds, "; ".join(map(str, errors)), tuple(errors)))


class Order:
    """Which of a component's steps may begin, as others end.

    What is planned no more, because it is done, is waited for by nobody.
    """

    def __init__(self, steps: tuple[Step, ...]) -> None:
        ids = {s.id for s in steps}
        self._before = {s.id: {a for a in s.after if a in ids} for s in steps}
        self._missing = {id: len(before) for id, before in self._before.items()}
        self._behind: dict[str, list[Step]] = {id: [] for id in ids}
        for step in steps:
            for a in self._before[step.id]:
                self._behind[a].append(step)
        self.first = [s for s in steps if not self._before[s.id]]

    def before(self, step: Step) -> set[str]:
        """The steps that it comes after."""
        return self._before[step.id]

    def ended(self, step: Step) -> list[Step]:
        """The steps that waited for this one as the last; told once for each step."""
        for behind in self._behind[step.id]:
            self._missing[behind.id] -= 1
        return [s for s in self._behind[step.id] if not self._missing[s.id]]


def beyond(found: tuple[Step, ...], reviewed: tuple[Step, ...]) -> list[str]:
    """What `found` does that `reviewed` did not name: other things touched, or things destroyed."""
    touched = {a.identity for s in reviewed for a in s.actions}
    lost = {d for s in reviewed for a in s.actions for d in a.destroys}
    surplus = []
    for action in (a for s in found for a in s.actions):
        if action.identity not in touched:
            surplus.append(action.describe())
        surplus += [f"destroys {d}" for d in action.destroys if d not in lost]
    return surplus
