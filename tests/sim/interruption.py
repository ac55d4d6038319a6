"""A run without interruption, and what to say of one with: for tests that kill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sim.compare import differences, view
from sim.simulation import Snapshot
from sim.stack import Ran, SimulatedStack
from sim.stacks import STACKS

# Joins need it open; while one of them is left to do it is opened again.
REOPENED = "kubernetes/door"


@dataclass
class Point:
    """The world at one point of the run, and the steps that were finished by then."""

    label: str
    world: Snapshot
    finished: tuple[str, ...]


class Uninterrupted:
    """A stack that came up in one go.

    nothing: the world before. world: the one at the end; end: what counts of it.
    labels:  of the points that the run passed, in order.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.stack = SimulatedStack(STACKS[name], folder)
        self.nothing = self.stack.simulation.capture()
        self.ran = self.stack.apply()
        assert self.ran.done, self.ran.outcome
        self.labels = self.ran.points
        self.world = self.stack.simulation.capture()
        self.end = view(self.stack)

    def points(self, numbers: Iterable[int]) -> list[Point]:
        """The same run again; the world is kept at these of its points."""
        simulation, wanted = self.stack.simulation, set(numbers)
        kept: list[Point] = []

        def keep(label: str) -> None:
            if len(simulation.labels) - 1 in wanted:
                kept.append(Point(label, simulation.capture(), tuple(simulation.finished)))

        simulation.restore(self.nothing)
        simulation.watch = keep
        again = self.stack.apply()
        simulation.watch = None
        assert again.points == self.labels, "the same run takes another way"
        return kept

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
        """Everything is made once; a vault that lost its keys in an interrupted init is not."""
        allowed = ("vault init", "secret vault/init")
        counts = self.stack.state.counts
        return [f"{n} times: {what}" for what, n in counts.items() if n > 1 and what not in allowed]


def tell(wrong: dict[str, list[str]], record: Callable[[str, Any], None], tried: int) -> None:
    """Keep the figures for the sum at the end; fail with the first few divergences."""
    record("crash:points", tried)
    record("crash:divergences", len(wrong))
    lines = [f"{label}: {'; '.join(found[:3])}" for label, found in list(wrong.items())[:8]]
    assert not wrong, "\n".join([f"{len(wrong)} of {tried} points diverge", *lines])
