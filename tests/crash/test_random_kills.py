"""A thousand runs that die twice or three times, with steps in a random order.

A failure names its seed; `DISCO_SEED=n` runs that one alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.interruption import Point, Uninterrupted, from_nothing, tell

KILLS, SHARES = 1000, 6
EVERY = 20  # a point of the first run to begin at
NAMES = ("devnet", "three", "iron")
Record = Callable[[str, Any], None]


def seeds(share: int) -> list[int]:
    if alone := os.environ.get("DISCO_SEED"):
        return [int(alone)] if share == int(alone) % SHARES else []
    return list(range(KILLS))[share::SHARES]


def die_and_resume(whole: Uninterrupted, points: list[Point], seed: int) -> list[str]:
    """From one of these points of the first run: two or three deaths, then a run to the end."""
    chance = random.Random(seed)
    random.seed(seed)  # pauses between attempts
    simulation = whole.stack.simulation
    begin = chance.choice(points)
    simulation.restore(begin.world)
    left, finished = len(whole.labels) - points.index(begin) * EVERY, set(begin.finished)
    for _ in range(chance.choice((2, 2, 2, 3))):
        simulation.orphans_go_on, simulation.torn = chance.random() < 0.5, chance.random() < 0.5
        ran = whole.stack.apply(chance.randint(1, left + 1), seed=chance.randrange(1 << 30))
        finished |= set(ran.finished)
    last = whole.stack.apply(seed=chance.randrange(1 << 30))
    return whole.wrong_after(tuple(finished), last)


@pytest.mark.parametrize("share", range(SHARES))
def test_a_stack_is_finished_after_dying_again_and_again(
    folder: Path, record_property: Record, share: int
) -> None:
    """Each share has a stack of its own; all three come round."""
    whole = from_nothing(NAMES[share % len(NAMES)], folder)
    points = whole.points(range(0, len(whole.labels), EVERY))
    found = {f"seed {seed}": die_and_resume(whole, points, seed) for seed in seeds(share)}
    tell({label: wrong for label, wrong in found.items() if wrong}, record_property, len(found))
