"""A lock that is taken over, or can't be asked for, in the middle of a run: nothing new begins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_components import Fakes, component, graph_of, outputs_of, step
from lock_contract import KINDS, Kind

from disco.engine.apply import Ended
from disco.engine.errors import DiscoError
from disco.engine.events import StepFailed, StepSkipped
from disco.engine.journal import Journal
from disco.engine.lock import Held, Holder, Lock
from sim import SimulatedStack, in_virtual_time
from sim.stacks import STACKS

BEFORE = 5  # actions that are carried out before it is taken over


@dataclass
class TakenOver:
    """A lock of a kind that another run takes while ours is going on."""

    kind: Kind
    folder: Path
    checks: int = 0

    @property
    def lock(self) -> Lock:
        return self.kind.make(self.folder)

    @contextmanager
    def hold(self, what: str) -> Iterator[Held]:
        with self.lock.hold(what) as held:
            yield Watched(self, held)

    def last_holder(self) -> Holder | None:
        return self.lock.last_holder()

    def asked(self) -> None:
        self.checks += 1
        if self.checks == BEFORE + 1:
            self.kind.break_it(self.folder)
            with self.lock.hold("down"):
                pass


@dataclass
class Watched:
    watch: TakenOver
    held: Held

    @property
    def token(self) -> int:
        return self.held.token

    async def check(self) -> None:
        self.watch.asked()
        await self.held.check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parallel", [1, 16])
def test_a_run_stops_before_its_next_action_and_the_journal_says_so(
    tmp_path: Path, kind: str, parallel: int
) -> None:
    stack, folder = SimulatedStack(STACKS["three"], tmp_path), tmp_path / "the lock"
    folder.mkdir()
    stack.lock = TakenOver(KINDS[kind], folder)
    ran = stack.apply(parallel=parallel)

    assert ran.outcome is not None and ran.outcome.ended is Ended.FAILED
    (error,) = ran.outcome.errors
    assert "taken over by another run" in error.what
    assert len(stack.state.log) == BEFORE
    assert sum(isinstance(e, StepFailed) for e in ran.events) == 1
    assert any(isinstance(e, StepSkipped) and e.why == error.what for e in ran.events)

    records = list(Journal(stack.place.journal).read())
    assert [r["event"] for r in records].count("intent") == BEFORE
    assert [r["event"] for r in records].count("done") == BEFORE
    assert records[-1]["event"] == "end" and records[-1]["outcome"] == "failed"
    assert error.what in records[-1]["errors"][0]["what"]

    stack.lock = KINDS[kind].make(folder)
    assert stack.apply().done and stack.plan().empty


def unreachable(after: int) -> Callable[[], Awaitable[None]]:
    """A check that is answered so often; then its store is away, and each answer takes long."""
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        if asked > after:
            await asyncio.sleep(30)
            raise DiscoError("the lock's store can't be asked", why=f"asked {asked} times")

    return check


@pytest.mark.parametrize("parallel", [1, 3, 16])
def test_a_lock_that_can_not_be_asked_for_is_told_once_and_ends_the_run(
    tmp_path: Path, parallel: int
) -> None:
    looked: list[str] = []
    ground = component("ground", [step(f"g{i}") for i in range(20)])
    other = component("other", [step("o1"), step("o2", after=["o1"])])
    top = component(
        "top", [step("t")], {"x": outputs_of(ground)}, observed=lambda: looked.append("top")
    )
    fakes = Fakes(graph_of([ground, other, top]), tmp_path)
    passed: list[float] = []
    work = fakes.apply(check=unreachable(BEFORE), parallel=parallel)

    outcome = in_virtual_time(work, passed.append)

    (error,) = outcome.errors
    assert error.what == "the lock's store can't be asked"
    assert outcome.ended is Ended.FAILED
    assert len(fakes.done.names) == outcome.done == BEFORE
    assert outcome.skipped == 23 - BEFORE - 1
    assert len(fakes.of(StepFailed)) == 1
    assert {e.why for e in fakes.of(StepSkipped)} <= {
        error.what,
        "a step before it failed",
        "ground did not come up",
    }
    assert sum(passed) < 2 * 30, "it was asked again and again"
    assert looked == []


def test_what_is_known_only_later_is_not_looked_at_any_more(tmp_path: Path) -> None:
    """All that it stands on came up, and then the lock was gone."""
    looked: list[str] = []
    ground = component("ground", [step("g")])
    slow = component("slow", [step("s")])
    top = component(
        "top",
        [step("t")],
        {"x": outputs_of(ground), "y": outputs_of(slow)},
        observed=lambda: looked.append("top"),
    )
    side = component("side", [step("one"), step("two", after=["one"])])
    fakes = Fakes(graph_of([ground, slow, top, side]), tmp_path)

    async def seconds() -> None:
        await asyncio.sleep(100)

    fakes.behave["s"] = seconds
    work = fakes.apply(check=unreachable(3))

    outcome = in_virtual_time(work)

    assert sorted(fakes.done.names) == ["g", "one", "s"]
    assert (len(outcome.errors), outcome.skipped, looked) == (1, 1, [])
