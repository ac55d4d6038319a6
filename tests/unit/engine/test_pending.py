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
