"""A vault of three pods is put back with other keys: however often that dies on the way, no pod
goes on with the keys of before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_vault_break_glass import ours
from test_vault_quorum import STOPPED, errors, give, run, sealed, store_of, vault_of

from disco.layers.platform import quorum
from disco.layers.platform.openbao import KEYS
from disco.layers.platform.vault_restoring import RESTORING
from disco.layers.platform.vault_snapshot import RestoreVault
from sim import snapshots
from sim.interruption import tell
from sim.stack import Ran, SimulatedStack
from sim.stacks import IRON, QUORUM
from sim.vault import snapshot

TAKEN = "after the secrets vault/init were written"
OTHERS = ["CANARY:of before:0", "CANARY:of before:1", "CANARY:of before:2"]
ROLE = {"role_id": "CANARY:role of before", "secret_id": "CANARY:secret of before"}
Record = Callable[[str, Any], None]


@pytest.fixture(params=[QUORUM, IRON], ids=["holders", "the store's key"])
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["leads", "silent"])
def stack(text: str, folder: Path, request: pytest.FixtureRequest) -> SimulatedStack:
    """What its vault held before is in a file. Who loses all others there goes on saying that it
    leads, or does not."""
    stack = SimulatedStack(text, folder)
    assert stack.apply().done
    vault_of(stack).lonely = bool(request.param)
    vault_of(stack).secrets["drill"] = {"value": "kept"}
    names = quorum.kept(store_of(stack)).holders
    keys = OTHERS[: len(names) or 1]
    held = snapshot(vault_of(stack), keys=keys, role=ROLE)
    del vault_of(stack).secrets["drill"]
    own = {} if names else {quorum.OWN_KEY: keys[0]}
    shares = dict(zip(names, keys, strict=True)) if names else {}
    snapshots.write(folder / "kept.age", held, {**ROLE, **own}, shares)
    ours(stack)
    return stack


def restore(stack: SimulatedStack, kill_at: int = 0) -> Ran:
    path = stack.place.root.parent / "kept.age"
    sha256 = snapshots.kept_in_file(store_of(stack), path).sha256
    return run(stack, RestoreVault(ours(stack), str(path), sha256, "a while ago"), kill_at)


def wrong_with(stack: SimulatedStack) -> list[str]:
    """What a person would complain of once it is put back, open or not."""
    vault, store, found = vault_of(stack), store_of(stack), []
    names = quorum.kept(store).holders
    mine = [store.lookup(quorum.share(n)) for n in names] or [store.fields(KEYS)["unseal_0"]]
    if mine != vault.keys or mine != OTHERS[: len(mine)]:
        found.append("the store has other keys than the vault")
    if any(p.stale for p in vault.pods.values()):
        found.append("a pod goes on with the keys of before")
    if vault.secrets.get("drill") != {"value": "kept"}:
        found.append("it does not hold what was kept")
    return found


def opened(stack: SimulatedStack) -> list[str]:
    """What is wrong once two holders gave their shares, where there are any, and it was applied."""
    for _ in range(2):
        ran = stack.apply()
        if ran.done or errors(ran) != [STOPPED]:
            break
        _started(stack)
        for member in ("anna", "ben"):
            assert give(stack, member).done
    left = [] if sealed(stack) == [False] * 3 else ["it is sealed"]
    if store_of(stack).has_kept(RESTORING):
        left.append("a note of it is there still")
    return [*left, *([] if ran.done else errors(ran)), *wrong_with(stack)]


def test_whoever_led_it_starts_anew_when_it_was_put_back(
    stack: SimulatedStack,
) -> None:
    assert restore(stack).done
    assert sealed(stack) == [True] * 3
    assert wrong_with(stack) == [] and opened(stack) == []


def test_a_restore_that_died_anywhere_is_finished_by_the_same_command(
    stack: SimulatedStack, record_property: Record
) -> None:
    first = stack.simulation.capture()
    points = restore(stack).points
    assert TAKEN in points
    wrong: dict[str, list[str]] = {}
    for number in range(1, len(points) + 1):
        stack.simulation.restore(first)
        assert restore(stack, kill_at=number).killed
        ran = restore(stack)
        found = wrong_with(stack) if ran.done else errors(ran)
        found += opened(stack)
        if found:
            wrong[f"{number} {points[number - 1]}"] = found
    tell(wrong, record_property, len(points))


def test_one_that_died_when_the_store_had_its_keys_is_finished_by_who_opens_it(
    stack: SimulatedStack,
) -> None:
    first = stack.simulation.capture()
    points = restore(stack).points
    for number in range(points.index(TAKEN) + 1, len(points) + 1):
        stack.simulation.restore(first)
        assert restore(stack, kill_at=number).killed
        assert opened(stack) == [], points[number - 1]


def _started(stack: SimulatedStack) -> None:
    """Time goes by: pods that were started anew answer."""
    stack.state.now += 60


@pytest.mark.parametrize("text", [QUORUM])
def test_holders_who_give_their_shares_first_leave_nobody_with_the_keys_of_before(
    stack: SimulatedStack,
) -> None:
    first = stack.simulation.capture()
    points = restore(stack).points
    stack.simulation.restore(first)
    assert restore(stack, kill_at=points.index(TAKEN) + 1).killed
    assert give(stack, "carla").done
    _started(stack)
    for member in ("anna", "ben"):
        assert give(stack, member).done
    assert not store_of(stack).has_kept(RESTORING)
    assert sealed(stack) == [False] * 3 and wrong_with(stack) == []
