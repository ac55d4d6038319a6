"""Stacks in the simulated world, brought up once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from known_worlds import Kept

from sim import SimulatedStack
from sim.stacks import STACKS

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def worlds() -> Iterator[Callable[[str], Kept]]:
    top = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="disco-layers-", dir=top))
    kept: dict[str, Kept] = {}

    def world(name: str) -> Kept:
        if name not in kept:
            stack = SimulatedStack(STACKS[name], folder)
            nothing = stack.simulation.capture()
            ran = stack.apply()
            kept[name] = Kept(stack, nothing, stack.simulation.capture(), ran)
        return kept[name]

    yield world
    shutil.rmtree(folder)


@pytest.fixture(params=STACKS)
def kept(request: pytest.FixtureRequest, worlds: Callable[[str], Kept]) -> Kept:
    """Each stack in turn."""
    return worlds(request.param)


@pytest.fixture
def stack(kept: Kept) -> SimulatedStack:
    """Declared, and nothing of it there."""
    kept.stack.simulation.restore(kept.nothing)
    return kept.stack


@pytest.fixture
def up(kept: Kept) -> SimulatedStack:
    """With everything that it declares."""
    kept.stack.simulation.restore(kept.up)
    return kept.stack
