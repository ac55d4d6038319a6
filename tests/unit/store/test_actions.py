"""Remembering is done once, whatever is asked for later; what is lost is named before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from disco.engine.place import Place
from disco.store.actions import Discard, Forget, Remember, discard, forget, remember
from disco.store.generate import Hex, Password
from disco.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Place(tmp_path))


class Notes(list[str]):
    def __call__(self, note: str, share: float | None) -> None:
        self.append(note)


async def test_a_secret_is_made_once(store: Store) -> None:
    await remember(Remember("vault/key", Hex(16)), store, Notes())
    first = store.fields("vault/key")
    await remember(Remember("vault/key", Password(40)), store, Notes())
    assert Store(store.place).fields("vault/key") == first


async def test_two_steps_at_the_same_time_make_one_secret(store: Store) -> None:
    seen = []

    async def make_and_read() -> None:
        await remember(Remember("vault/key", Hex(16)), store, Notes())
        seen.append(store.fields("vault/key")["value"])

    await asyncio.gather(*(make_and_read() for _ in range(8)))
    assert len(set(seen)) == 1


async def test_a_note_says_what_is_made_and_never_its_value(store: Store) -> None:
    notes = Notes()
    await remember(Remember("vault/key", Hex(16)), store, notes)
    assert notes == ["making 16 random bytes in hex"]
    assert store.fields("vault/key")["value"] not in str(notes)


async def test_forgetting_names_what_is_lost_and_can_be_repeated(store: Store) -> None:
    store.put("vault/key", {"value": "x"})
    action = Forget("vault/key")
    assert action.destroys == ("the secret vault/key",)
    await forget(action, store, Notes())
    await forget(action, store, Notes())
    assert store.names() == set()


async def test_a_kept_file_is_discarded(store: Store) -> None:
    store.keep("chains/akash/genesis.json", b"{}")
    await discard(Discard("chains/akash/genesis.json"), store, Notes())
    assert not store.has_kept("chains/akash/genesis.json")


def test_actions_read_like_a_sentence() -> None:
    action = Remember("kubernetes/token", Hex(16))
    assert action.describe() == "make 16 random bytes in hex and remember it as kubernetes/token"
    assert action.identity == "remember secret kubernetes/token"
    assert "secrets set kubernetes/token" in action.command()
    assert action.destroys == ()
