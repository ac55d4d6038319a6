"""What is done is left out; what is waited for is waited for again when it is about to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from disco.engine.action import Action
from disco.engine.component import Step, pending


@dataclass(frozen=True)
class Do(Action):
    kind: ClassVar[str] = "do"
    name: str

    @property
    def touches(self) -> str:
        return self.name

    def describe(self) -> str:
        return f"do {self.name}"

    def command(self) -> str:
        return f"do {self.name}"


@dataclass(frozen=True)
class Wait(Do):
    kind: ClassVar[str] = "wait"
    waits: ClassVar[bool] = True


STEPS = (
    Step("a", "a", (Do("a1"), Do("a2"))),
    Step("b", "b", (Wait("b1"),), ("a",)),
    Step("c", "c", (Do("c1"), Wait("c2")), ("b",)),
    Step("x", "x", (Do("x1"), Wait("x2"))),
)
ALL = {a.identity for s in STEPS for a in s.actions}


def left(done: set[str]) -> dict[str, list[str]]:
    return {s.id: [a.touches for a in s.actions] for s in pending(STEPS, done)}


def test_nothing_is_left_when_everything_is_done() -> None:
    assert left(ALL) == {}


def test_everything_is_left_when_nothing_is_done() -> None:
    assert left(set()) == {"a": ["a1", "a2"], "b": ["b1"], "c": ["c1", "c2"], "x": ["x1", "x2"]}


def test_a_change_is_waited_for_by_what_comes_after_it_and_by_nothing_else() -> None:
    assert left(ALL - {"do a2"}) == {"a": ["a2"], "b": ["b1"], "c": ["c2"]}


def test_waiting_alone_does_not_make_others_wait_before_it() -> None:
    assert left(ALL - {"wait c2"}) == {"c": ["c2"]}


def after(done: set[str], steps: tuple[Step, ...] = STEPS) -> dict[str, tuple[str, ...]]:
    return {s.id: s.after for s in pending(steps, done)}


def test_what_comes_after_something_that_is_done_still_comes_after_what_that_came_after() -> None:
    chain = (
        Step("a", "a", (Do("a1"),)),
        Step("b", "b", (Do("b1"),), ("a",)),
        Step("c", "c", (Do("c1"),), ("b",)),
        Step("d", "d", (Do("d1"),), ("c",)),
    )
    assert after({"do b1"}, chain) == {"a": (), "c": ("a",), "d": ("c",)}
    assert after({"do b1", "do c1"}, chain) == {"a": (), "d": ("a",)}
    assert after({"do a1"}, chain) == {"b": (), "c": ("b",), "d": ("c",)}


def test_the_order_is_kept_whatever_order_the_steps_are_told_in() -> None:
    told = (
        Step("c", "c", (Do("c1"), Wait("c2")), ("b",)),
        Step("b", "b", (Do("b1"),), ("a",)),
        Step("a", "a", (Do("a1"),)),
    )
    assert after({"do b1", "do c1", "wait c2"}, told) == {"c": ("a",), "a": ()}


def test_steps_in_a_circle_that_are_done_hold_nobody_back_for_ever() -> None:
    circle = (
        Step("a", "a", (Do("a1"),), ("b",)),
        Step("b", "b", (Do("b1"),), ("a",)),
        Step("c", "c", (Do("c1"),), ("a", "b")),
    )
    assert after({"do a1", "do b1"}, circle) == {"c": ()}
