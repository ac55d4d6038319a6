"""Who may hold shares of the vault's key, and what is told of pods that wait for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.layers import registry
from disco.layers.platform.openbao import SealStatus
from disco.layers.platform.quorum import Quorum
from disco.layers.platform.vault_shares import told
from disco.layers.platform.vault_spec import VaultSpec
from disco.stack.load import load_text
from disco.stack.problem import StackProblems

THREE = Quorum(("anna", "ben", "carla"), 2)


@pytest.mark.parametrize(
    ("vault", "why"),
    [
        ("{holders: [anna, ben, anna], threshold: 2}", "a holder is named twice"),
        ("{holders: [anna, ben], threshold: 3}", "3 shares need as many holders"),
        ("{threshold: 2}", "2 shares need as many holders"),
        ("{holders: [anna, ben]}", "threshold is at least 2"),
    ],
)
def test_holders_that_can_not_open_it_are_refused_by_their_place(vault: str, why: str) -> None:
    text = f"name: a\nservers: {{provider: local}}\nkubernetes: {{}}\nvault: {vault}\n"
    with pytest.raises(StackProblems) as refused:
        load_text(text, Path("stack.yaml"), registry.sections(), {})
    assert why in str(refused.value) and "stack.yaml:4:" in str(refused.value)


def test_without_holders_the_store_has_the_one_key() -> None:
    assert VaultSpec().quorum == Quorum((), 1)
    assert VaultSpec().quorum.shares == 1
    assert VaultSpec(holders=("ben", "anna"), threshold=2).quorum == Quorum(("anna", "ben"), 2)


def test_progress_names_who_is_still_needed() -> None:
    waits = SealStatus(True, True, 1, 2, 3)
    assert told({0: waits}, THREE, "anna") == [
        "openbao-0: 1 of 2 given; still needed: ben or carla"
    ]
    none = SealStatus(True, True, 0, 2, 3)
    assert told({0: none}, THREE) == [
        "openbao-0: 0 of 2 given; still needed: 2 of anna, ben, carla"
    ]


def test_pods_that_no_share_helps_are_told_apart() -> None:
    gone, empty = DiscoError("no answer", why="refused"), SealStatus(False, True)
    lines = told({0: SealStatus(True, False), 1: gone, 2: empty}, THREE)
    assert lines == [
        "openbao-1 does not answer: refused",
        "openbao-2 has no data: it joins a pod that is unsealed",
    ]
