"""Something of a stack that is up was spoilt, and DISCO dies while it mends it.

That it is mended at all is in tests/unit/layers/test_whole_stack.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sim import SimulatedStack, Snapshot
from sim.mending import BY_HAND, OWED, READ_BY, change_by_hand, changed, owe, uses_of
from sim.stacks import STACKS
from sim.state import File

Up = Callable[[str], SimulatedStack]


@pytest.fixture(scope="module")
def up(shared_folder: Path) -> Up:
    """Stacks that were brought up once, each time as they were then."""
    kept: dict[str, tuple[SimulatedStack, Snapshot]] = {}

    def stack(name: str) -> SimulatedStack:
        if name not in kept:
            made = SimulatedStack(STACKS[name], shared_folder)
            assert made.apply().done
            kept[name] = (made, made.simulation.capture())
        there, snapshot = kept[name]
        there.simulation.restore(snapshot)
        return there

    return stack


@pytest.mark.parametrize("name", ["devnet", "iron"])  # servers of both kinds
@pytest.mark.parametrize("path", READ_BY)
@pytest.mark.parametrize("by_hand", BY_HAND)
def test_what_reads_a_file_is_restarted_though_the_run_died_when_it_was_put_back(
    up: Up, name: str, path: str, by_hand: File | None
) -> None:
    """The service may run with what was put back since."""
    stack = up(name)
    put, unit = change_by_hand(stack, path, by_hand)
    spoilt = stack.simulation.capture()
    points = stack.apply().points

    stack.simulation.restore(spoilt)
    assert stack.apply(kill_at=points.index(f"after: {put}") + 1).killed
    assert changed(stack) == [unit]
    assert stack.apply().done
    assert stack.plan().empty


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("secret", OWED)
def test_what_was_made_anew_is_brought_to_where_it_is_used_though_the_run_died_right_after(
    up: Up, name: str, secret: str
) -> None:
    stack = up(name)
    owe(stack, secret)
    owing = stack.simulation.capture()
    points, uses = stack.apply().points, uses_of(stack, secret)

    stack.simulation.restore(owing)
    died = points.index(f"after the secret {secret} was written") + 1
    assert stack.apply(kill_at=died).killed
    assert [c for c in changed(stack) if c in uses] == uses
    assert stack.apply().done
    assert stack.plan().empty
