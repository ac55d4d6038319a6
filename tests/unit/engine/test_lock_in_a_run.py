"""A lock that is taken over in the middle of a run: the next action is not begun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from lock_contract import KINDS, Kind

from disco.engine.apply import Ended
from disco.engine.events import StepFailed, StepSkipped
from disco.engine.journal import Journal
from disco.engine.lock import Held, Holder, Lock
from sim import SimulatedStack
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
