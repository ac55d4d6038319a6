"""A run without interruption, and what to say of one with: for tests that kill."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sim.compare import differences, view
from sim.simulation import Snapshot
from sim.stack import Ran, SimulatedStack
from sim.stacks import STACKS
from sim.state import State

# Joins need it open; while one of them is left to do it is opened again.
REOPENED = "kubernetes/door"


@dataclass
class Point:
    """The world at one point of the run, and the steps that were finished by then."""

    label: str
    world: Snapshot
    finished: tuple[str, ...]


class Uninterrupted:
    """A run that went to its end in one go: of a stack that was declared, up or not.

    before: the world when it began. world: the one at its end; end: what counts of it.
    labels: of the points that the run passed, in order.
    """

    def __init__(self, stack: SimulatedStack) -> None:
        self.stack = stack
        self.before = stack.simulation.capture()
        self.ran = stack.apply()
        assert self.ran.done, self.ran.outcome
        self.labels = self.ran.points
        self.world = stack.simulation.capture()
        self.end = view(stack)
        self._made = Counter(stack.state.counts)

    def points(self, numbers: Iterable[int]) -> list[Point]:
        """The same run again; the world is kept at these of its points."""
        simulation, wanted = self.stack.simulation, set(numbers)
        kept: list[Point] = []

        def keep(label: str) -> None:
            if len(simulation.labels) - 1 in wanted:
                kept.append(Point(label, simulation.capture(), tuple(simulation.finished)))

        simulation.restore(self.before)
        simulation.watch = keep
        again = self.stack.apply()
        simulation.watch = None
        assert again.points == self.labels, "the same run takes another way"
        return kept

    def worlds(self) -> list[Point]:
        """All of its points; of those between which only time and the journal went on, the last."""
        points = self.points(range(len(self.labels)))
        contents = [self._content(p.world) for p in points]
        after = [*contents[1:], None]
        return [p for p, here, next in zip(points, contents, after, strict=True) if here != next]

    def _content(self, world: Snapshot) -> tuple[State, dict[str, Any]]:
        """What the next run can see of it."""
        state: State = pickle.loads(world.state)
        state.now, state.log = 0.0, []
        unseen = {p.name for p in (self.stack.place.journal, self.stack.place.lock)}
        return state, {n: c for n, c in world.files.items() if n not in unseen}

    def point(self, label: str) -> Point:
        return self.points([self.labels.index(label)])[0]

    @cached_property
    def steps_of(self) -> dict[str, set[str]]:
        """Action -> the steps that it is in. Waiting again for what is there does nothing."""
        assert self.ran.plan is not None
        found: dict[str, set[str]] = defaultdict(set)
        for name, step in self.ran.plan.steps:
            for action in step.actions:
                if not action.waits:
                    found[action.identity].add(name)
        return found

    def around_actions(self) -> list[int]:
        """Points before an action, with its effect but not its record, and with its record."""
        wanted = ("before: ", "after: ", "after the record: done ")
        return [i for i, label in enumerate(self.labels) if label.startswith(wanted)]

    def inside_actions(self) -> list[int]:
        """Points at which a part of an action's effect is there."""
        other = ("before: ", "after: ", "before the record: ", "after the record: ")
        return [i for i, label in enumerate(self.labels) if not label.startswith(other)]

    def wrong_after(self, finished: tuple[str, ...], last: Ran) -> list[str]:
        """What is not as it should be, after an interruption and a run that went to the end."""
        if not last.done:
            return [f"the next run ends with {last.outcome}"]
        return [
            *differences(self.end, view(self.stack)),
            *self._done_again(finished),
            *self._doubled(),
        ]

    def _done_again(self, finished: tuple[str, ...]) -> list[str]:
        run = self.stack.simulation.run
        again = [identity for r, _, identity in self.stack.state.log if r == run]
        ended = set(finished) - {REOPENED}
        return [f"done again: {a}" for a in again if self.steps_of[a] and self.steps_of[a] <= ended]

    def _doubled(self) -> list[str]:
        """Nothing is made more often; a vault that lost its keys in an interrupted init is."""
        allowed = ("vault init", "secret vault/init")
        counts = self.stack.state.counts
        return [
            f"{n} times: {what}"
            for what, n in counts.items()
            if n > self._made[what] and what not in allowed
        ]

    def still_planned(self) -> list[str]:
        """What the next run would do."""
        return [f"still planned: {name}" for name, _ in self.stack.plan().steps]


def from_nothing(name: str, folder: Path) -> Uninterrupted:
    """How a stack came up."""
    return Uninterrupted(SimulatedStack(STACKS[name], folder))


def of_change(before: str, after: str, folder: Path) -> Uninterrupted:
    """How a stack that was up became what its file says now."""
    stack = SimulatedStack(before, folder)
    up = stack.apply()
    assert up.done, up.outcome
    stack.declare(after)
    return Uninterrupted(stack)


def tell(wrong: dict[str, list[str]], record: Callable[[str, Any], None], tried: int) -> None:
    """Keep the figures for the sum at the end; fail with the first few divergences."""
    record("crash:points", tried)
    record("crash:divergences", len(wrong))
    lines = [f"{label}: {'; '.join(found[:3])}" for label, found in list(wrong.items())[:8]]
    assert not wrong, "\n".join([f"{len(wrong)} of {tried} points diverge", *lines])


def dies_everywhere(whole: Uninterrupted, record: Callable[[str, Any], None]) -> None:
    """A run that died at any of its points ends as if it had not, when it is run again."""
    assert whole.still_planned() == []
    wrong: dict[str, list[str]] = {}
    points = whole.worlds()
    for number, point in enumerate(points):
        whole.stack.simulation.restore(point.world)
        last = whole.stack.apply()
        if found := [*whole.wrong_after(point.finished, last), *whole.still_planned()]:
            wrong[f"{number} {point.label}"] = found
    tell(wrong, record, len(points))
