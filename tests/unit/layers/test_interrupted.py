"""A slice of tests/crash, quick enough for every run: deaths here and there, and the next run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.interruption import Uninterrupted, from_nothing
from thorough import examples

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def whole() -> Iterator[Uninterrupted]:
    folder = tempfile.mkdtemp(
        prefix="disco-cut-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None
    )
    yield from_nothing("devnet", Path(folder))
    shutil.rmtree(folder)


def test_a_run_that_died_somewhere_is_finished_by_the_next_one(whole: Uninterrupted) -> None:
    wrong = {}
    points = whole.points(range(0, len(whole.labels), len(whole.labels) // examples(28)))
    for point in points:
        whole.stack.simulation.restore(point.world)
        if found := whole.wrong_after(point.finished, whole.stack.apply()):
            wrong[point.label] = found
    assert len(points) >= examples(28)
    assert wrong == {}


@pytest.mark.parametrize("tick", [40, 150, 333])
def test_a_run_that_dies_and_a_second_one_that_dies_are_finished_by_the_third(
    whole: Uninterrupted, tick: int
) -> None:
    whole.stack.simulation.restore(whole.before)
    first = whole.stack.apply(kill_at=tick)
    second = whole.stack.apply(kill_at=tick // 3, seed=tick)
    assert first.killed and second.killed

    finished = (*first.finished, *second.finished)
    assert whole.wrong_after(finished, whole.stack.apply()) == []


def test_what_a_killed_run_had_begun_is_named_by_the_next_plan(whole: Uninterrupted) -> None:
    whole.stack.simulation.restore(whole.before)
    whole.stack.apply(kill_at=whole.labels.index("before: run h1:control plane") + 1)

    left = [u.action for u in whole.stack.start().journal.unfinished()]
    assert "run h1:control plane" in left
