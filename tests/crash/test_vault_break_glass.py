"""The way in for the night: however often it dies on the way, at most one token that may do
everything lives at the end, it ends by itself, and everybody could know of it from the first share
on."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from test_vault_quorum import cluster_of, run, store_of, vault_of

from disco.engine.secret import SecretRef
from disco.layers.platform import quorum, vault_break_glass
from disco.layers.platform.openbao import KEYS
from disco.layers.platform.quorum import OWN_KEY
from disco.layers.platform.vault_break_glass import LASTS_S, OTP, BreakGlass, EndBreakGlass
from disco.layers.platform.vault_rotate import RotateVault
from sim.stack import Ran, SimulatedStack
from sim.stacks import IRON, QUORUM


@pytest.fixture
def up(folder: Path) -> SimulatedStack:
    stack = SimulatedStack(QUORUM, folder)
    assert stack.apply().done
    return stack


@cache
def ours(stack: SimulatedStack) -> Any:
    """Its cluster, asked for once: a plan takes longer than what is tried here."""
    return cluster_of(stack)


def telling(points: list[str]) -> list[int]:
    """Numbers of those at which the vault, the store or a file is another one than before."""
    return [n for n, label in enumerate(points, 1) if "the record" not in label]


def breaks(stack: SimulatedStack, member: str, kill_at: int = 0) -> Ran:
    to = str(stack.place.root / "token")
    return run(
        stack,
        BreakGlass(ours(stack), member, quorum.share(member), "no other way", to),
        kill_at,
    )


def wrong_with(stack: SimulatedStack) -> list[str]:
    """What a person would complain of when the second share was given."""
    vault, store, found = vault_of(stack), store_of(stack), []
    if len(vault.tokens) != 1:
        found.append(f"{len(vault.tokens)} tokens live")
    if any(ends > stack.state.now + LASTS_S for ends in vault.tokens.values()):
        found.append("one does not end")
    file = stack.place.root / "token"
    if not file.exists() or file.read_text().strip() not in vault.tokens:
        found.append("whoever gave the last share does not have it")
    elif file.stat().st_mode & 0o077:
        found.append("others may read it")
    if store.has(OTP) or vault.attempt:
        found.append("what it was made with is there still")
    if vault_break_glass.noted(store).get("reason") != "no other way":
        found.append("nobody can know why")
    return found


def test_two_holders_get_in_after_dying_at_any_point(up: SimulatedStack) -> None:
    before = up.simulation.capture()
    first = breaks(up, "anna")
    assert first.done and not vault_of(up).tokens and vault_of(up).attempt
    half = up.simulation.capture()
    for number in telling(first.points):
        up.simulation.restore(before)
        assert breaks(up, "anna", kill_at=number).killed
        assert breaks(up, "anna").done and breaks(up, "ben").done, first.points[number - 1]
        assert wrong_with(up) == [], first.points[number - 1]
    up.simulation.restore(half)
    second = breaks(up, "ben")
    assert second.done and wrong_with(up) == []
    for number in telling(second.points):
        up.simulation.restore(half)
        assert breaks(up, "ben", kill_at=number).killed
        for member in ("ben", "anna"):  # what was told to who died has to be made again
            if wrong_with(up):
                assert breaks(up, member).done
        assert wrong_with(up) == [], second.points[number - 1]


def test_who_began_and_why_is_kept_before_anything_is_asked_of_the_vault(
    up: SimulatedStack,
) -> None:
    before = up.simulation.capture()
    points = breaks(up, "anna").points
    begun = points.index("after the vault began to make a root token") + 1
    up.simulation.restore(before)
    assert not vault_break_glass.noted(store_of(up))
    assert breaks(up, "anna", kill_at=begun).killed
    assert vault_break_glass.noted(store_of(up))["by"] == "anna"


def test_it_ends_by_itself_and_when_it_is_told_to(up: SimulatedStack) -> None:
    assert breaks(up, "anna").done and breaks(up, "ben").done
    kept = up.simulation.capture()
    (ends,) = vault_of(up).tokens.values()
    assert not math.isinf(ends)
    told = run(up, EndBreakGlass(ours(up)))
    assert told.done and not vault_of(up).tokens
    for number in telling(told.points):
        up.simulation.restore(kept)
        assert run(up, EndBreakGlass(ours(up)), kill_at=number).killed
        assert run(up, EndBreakGlass(ours(up))).done
        assert not vault_of(up).tokens and not vault_of(up).attempt
        assert not store_of(up).has(OTP) and not vault_break_glass.noted(store_of(up))


def test_a_vault_without_holders_takes_the_key_of_the_store(folder: Path) -> None:
    stack = SimulatedStack(IRON, folder)
    assert stack.apply().done
    to = str(stack.place.root / "token")
    share = SecretRef(KEYS, OWN_KEY)
    assert run(stack, BreakGlass(ours(stack), "the store", share, "no other way", to)).done
    assert wrong_with(stack) == []


def test_a_vault_that_is_not_set_up_keeps_the_root_token_that_it_needs(up: SimulatedStack) -> None:
    store = store_of(up)
    store.put(KEYS, {**store.fields(KEYS), "root_token": "CANARY:root"})
    for action in (
        EndBreakGlass(ours(up)),
        BreakGlass(ours(up), "anna", quorum.share("anna"), "why", "/nowhere/token"),
    ):
        ran = run(up, action)
        assert ran.outcome is not None and not ran.done
        assert "not set up yet" in ran.outcome.errors[0].what
        assert not vault_of(up).attempt


def test_a_rotation_that_is_tried_twice_is_one(up: SimulatedStack) -> None:
    before = up.simulation.capture()
    points = run(up, RotateVault(ours(up), 1)).points
    assert vault_of(up).term == 2
    for number in telling(points):
        up.simulation.restore(before)
        assert run(up, RotateVault(ours(up), 1), kill_at=number).killed
        assert run(up, RotateVault(ours(up), 1)).done
        assert vault_of(up).term == 2, points[number - 1]
