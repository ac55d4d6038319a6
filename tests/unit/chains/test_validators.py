"""Peers are a function of references, and two validators never share a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disco.chains import ValidatorKeys, duplicate_keys, peers, refuse_duplicate_keys
from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.engine.secret import SecretRef
from disco.store.generate import CometNodeKey, CometValidatorKey
from disco.store.store import Store

ONE = ValidatorKeys.under("chains/akash", "node-0")
TWO = ValidatorKeys.under("chains/akash", "node-1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(Place(tmp_path))
    made = [action for keys in (ONE, TWO) for action in keys.remembers("akash", 118)]
    store.put_all({action.secret: action.generate.make() for action in made}, "Make the keys")
    return store


def test_peers_hold_references_until_they_are_revealed(store: Store) -> None:
    text = peers((ONE, TWO))
    assert str(text) == (
        "${secret:chains/akash/node-0/node#id}@node-0:26656,"
        "${secret:chains/akash/node-1/node#id}@node-1:26656"
    )
    first, second = text.reveal(store.lookup).split(",")
    assert first == f"{store.fields('chains/akash/node-0/node')['id']}@node-0:26656"
    assert second.endswith("@node-1:26656")


def test_nobody_has_no_peers() -> None:
    assert str(peers(())) == ""


def test_validators_with_keys_of_their_own_pass(store: Store) -> None:
    refuse_duplicate_keys((ONE, TWO), store.lookup)


def test_two_validators_that_point_at_one_secret_are_refused(store: Store) -> None:
    thief = ValidatorKeys("node-9", ONE.validator_key, TWO.node_key, TWO.account)
    with pytest.raises(DiscoError, match="node-0 and node-9 share a key") as caught:
        refuse_duplicate_keys((ONE, thief), store.lookup)
    assert "chains/akash/node-0/validator" in caught.value.why


def test_another_field_of_the_same_secret_is_the_same_key(store: Store) -> None:
    key = SecretRef(ONE.validator_key.name, "priv_key")
    thief = ValidatorKeys("node-9", key, TWO.node_key, TWO.account)
    with pytest.raises(DiscoError, match="node-0 and node-9"):
        refuse_duplicate_keys((ONE, thief), store.lookup)


@pytest.mark.parametrize(("secret", "what"), [("validator", "validator key"), ("node", "node key")])
def test_a_key_that_was_copied_into_another_secret_is_refused(
    store: Store, secret: str, what: str
) -> None:
    store.put(f"chains/akash/node-1/{secret}", store.fields(f"chains/akash/node-0/{secret}"))
    with pytest.raises(DiscoError, match="node-0 and node-1 share a key") as caught:
        refuse_duplicate_keys((ONE, TWO), store.lookup)
    assert what in caught.value.why


@given(st.dictionaries(st.text(max_size=3), st.sampled_from("abcde")))
def test_duplicates_are_found_exactly_when_there_are_some(keys: dict[str, str]) -> None:
    pairs = list(duplicate_keys(keys))
    assert len(pairs) == len(keys) - len(set(keys.values()))
    assert all(keys[a] == keys[b] and a != b for a, b in pairs)


def test_keys_are_made_by_three_actions_of_their_own_kind() -> None:
    actions = ONE.remembers("akash", 118)
    assert [a.secret for a in actions] == [r.name for r in ONE.refs]
    assert {type(CometValidatorKey()), type(CometNodeKey())} < {type(a.generate) for a in actions}
