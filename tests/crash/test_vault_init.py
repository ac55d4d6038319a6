"""A vault tells its keys once: what happens when DISCO dies before it has kept them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from disco.layers.platform.openbao import BEGUN, KEYS, UNSEAL
from disco.store.store import Store
from sim.compare import view
from sim.interruption import Uninterrupted, from_nothing, tell
from sim.stack import SimulatedStack
from sim.state import ClusterState, VaultState
from sim.store import simulated

TOLD = "after the vault told its keys"
Record = Callable[[str, Any], None]


@pytest.fixture
def whole(folder: Path) -> Uninterrupted:
    return from_nothing("iron", folder)


def killed_before_keeping(whole: Uninterrupted) -> tuple[str, ...]:
    """The world when the vault has told its keys and nobody has kept them; what was finished."""
    point = whole.point(TOLD)
    whole.stack.simulation.restore(point.world)
    return point.finished


def store_of(stack: SimulatedStack) -> Store:
    return simulated(stack.place)


def cluster_of(stack: SimulatedStack) -> ClusterState:
    found: ClusterState = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
    return found


def vault_of(stack: SimulatedStack) -> VaultState:
    vault = cluster_of(stack).vault
    assert vault is not None
    return vault


def test_keys_that_were_told_and_not_kept_make_the_next_run_begin_again(
    whole: Uninterrupted,
) -> None:
    finished = killed_before_keeping(whole)
    store = store_of(whole.stack)
    assert store.has_kept(BEGUN) and not store.has(KEYS)

    assert whole.wrong_after(finished, whole.stack.apply()) == []
    assert whole.stack.state.counts["vault init"] == 2
    vault = vault_of(whole.stack)
    assert store_of(whole.stack).fields(KEYS) == {"unseal_0": vault.keys[0], **vault.role}
    assert not store.has_kept(BEGUN)


def test_dying_again_while_the_vault_is_emptied_does_no_harm(
    whole: Uninterrupted, record_property: Record
) -> None:
    killed_before_keeping(whole)
    first = whole.stack.simulation.capture()
    points = whole.stack.apply().points
    wrong: dict[str, list[str]] = {}
    for number in range(1, len(points) + 1):
        whole.stack.simulation.restore(first)
        whole.stack.apply(kill_at=number)
        if found := whole.wrong_after((), whole.stack.apply()):
            wrong[f"{number} {points[number - 1]}"] = found
    tell(wrong, record_property, len(points))


def test_keys_of_an_earlier_vault_are_not_taken_for_those_that_were_lost(
    whole: Uninterrupted,
) -> None:
    """A cluster that broke was taken down without a word to its vault: its keys stayed."""
    before = whole.point("before: vault-init disco:vault/vault-init")
    whole.stack.simulation.restore(before.world)
    store_of(whole.stack).put(KEYS, {"root_token": "CANARY:stale", "unseal_0": "CANARY:stale"})
    ran = whole.stack.apply(kill_at=_tick_of(whole, TOLD, before.world))
    assert ran.killed == TOLD

    assert whole.wrong_after((), whole.stack.apply()) == []


def _tick_of(whole: Uninterrupted, label: str, world: Any) -> int:
    """Which tick of a run from this world has this label."""
    simulation = whole.stack.simulation
    kept = simulation.capture()
    points = whole.stack.apply().points
    simulation.restore(kept)
    return points.index(label) + 1


def test_a_vault_that_somebody_else_initialised_is_left_alone(whole: Uninterrupted) -> None:
    killed_before_keeping(whole)
    store_of(whole.stack).discard(BEGUN)
    theirs = vault_of(whole.stack).root_token

    ran = whole.stack.apply()

    assert ran.outcome is not None
    assert [e.what for e in ran.outcome.errors] == [
        "the vault is initialised, and the store does not have its keys"
    ]
    assert vault_of(whole.stack).root_token == theirs
    assert vault_of(whole.stack).pods[0].data_at is not None


def test_a_pod_that_lost_its_volume_joins_the_others_and_their_keys_stay(
    whole: Uninterrupted,
) -> None:
    """To initialise it would make a second, empty vault, and overwrite the keys of the first."""
    keys = store_of(whole.stack).fields(KEYS)
    vault = vault_of(whole.stack)
    for pod in vault.pods.values():
        pod.sealed = True  # all of them were restarted
    vault.pods[0].data_at = None

    ran = whole.stack.apply()

    assert ran.done
    assert store_of(whole.stack).fields(KEYS) == keys
    assert whole.stack.state.counts["vault init"] == 1
    assert view(whole.stack) == whole.end


def test_a_vault_that_came_up_sealed_is_unsealed_and_nothing_else(whole: Uninterrupted) -> None:
    for pod in vault_of(whole.stack).pods.values():
        pod.sealed = True

    ran = whole.stack.apply()

    assert ran.plan is not None
    assert {name for name, _ in ran.plan.steps} <= {"vault/open", "vault/probe"}
    assert view(whole.stack) == whole.end


def test_a_pod_that_does_not_come_up_leaves_no_other_one_sealed(whole: Uninterrupted) -> None:
    for pod in vault_of(whole.stack).pods.values():
        pod.sealed = True
    vault_of(whole.stack).pods[0].up_at = float("inf")

    ran = whole.stack.apply()

    assert ran.outcome is not None and not ran.done
    assert [p.sealed for p in vault_of(whole.stack).pods.values()] == [True, False, False]


def test_a_wrong_key_is_told_at_once(whole: Uninterrupted) -> None:
    for pod in vault_of(whole.stack).pods.values():
        pod.sealed = True
    keys = store_of(whole.stack).fields(KEYS)
    store_of(whole.stack).put(KEYS, {**keys, "unseal_0": "CANARY:another"})
    begun = whole.stack.state.now

    ran = whole.stack.apply()

    assert ran.outcome is not None
    assert [e.what for e in ran.outcome.errors] == [f"the vault refused: PUT vault{UNSEAL}"]
    assert whole.stack.state.now - begun < 10
