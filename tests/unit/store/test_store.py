"""Secrets survive a round trip, and anything that isn't exactly what was written fails closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.engine.secret import SecretRef, VersionRef
from disco.store.store import Store
from disco.store.team.git import Git

VALUE = "correct horse battery staple"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "state")


def test_a_secret_is_read_back_by_another_process_as_it_was_written(place: Place) -> None:
    fields = {"crt": "line one\nline two\n", "key": "ключ ☃", "empty": ""}
    Store(place).put("kubernetes/ca", fields)
    assert Store(place).fields("kubernetes/ca") == fields
    assert Store(place).lookup(SecretRef("kubernetes/ca", "key")) == "ключ ☃"


def test_names_are_those_of_the_files(place: Place) -> None:
    store = Store(place)
    assert store.names() == set()
    store.put("chains/akash/node-0", {"json": "{}"})
    store.put("token", {"value": "x"})
    assert store.names() == {"chains/akash/node-0", "token"}
    assert store.has("token")
    assert not store.has("chains/akash")


def test_a_version_changes_with_the_value_only(place: Place) -> None:
    versions = []
    for value in (VALUE, VALUE, "another"):
        Store(place).put("db", {"value": value})
        versions.append(Store(place).version("db"))
    assert versions[0] == versions[1] != versions[2]
    assert Store(place).lookup(VersionRef("db")) == versions[2]


def test_no_value_stands_in_a_file(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    contents = [p.read_bytes() for p in place.root.rglob("*") if p.is_file()]
    contents += [c for _, _, c in Git(place.root / "store.git").everything()]
    assert len(contents) > 10
    assert not any(VALUE.encode() in c for c in contents)


def test_files_are_for_their_owner_only(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    assert place.root.stat().st_mode & 0o777 == 0o700
    assert place.identity.stat().st_mode & 0o777 == 0o600


def test_a_secret_that_is_replaced_has_only_the_new_fields(place: Place) -> None:
    store = Store(place)
    store.put("vault/root", {"token": "old", "more": "old"})
    store.put("vault/root", {"token": "new"})
    assert store.fields("vault/root") == Store(place).fields("vault/root") == {"token": "new"}


def test_a_forgotten_secret_is_gone_at_once_and_may_be_forgotten_again(place: Place) -> None:
    store = Store(place)
    store.put("vault/root", {"token": VALUE})
    store.forget("vault/root")
    store.forget("vault/root")
    assert not store.has("vault/root")
    with pytest.raises(DiscoError, match="no secret state/vault/root"):
        store.lookup(SecretRef("vault/root", "token"))


def test_a_missing_field_is_named_without_showing_the_others_values(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    with pytest.raises(DiscoError) as caught:
        Store(place).lookup(SecretRef("vault/root", "tokn"))
    assert "tokn" in caught.value.what
    assert "token" in caught.value.why
    assert VALUE not in str(caught.value)


def test_a_lost_key_is_never_replaced_while_secrets_exist(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    place.identity.unlink()
    with pytest.raises(DiscoError, match="there is no such key"):
        Store(place).put("vault/other", {"token": VALUE})
    assert not place.identity.exists()


def test_reading_makes_nothing(place: Place) -> None:
    store = Store(place)
    assert (store.names(), store.has("a"), store.kept("b"), store.has_kept("b")) == (
        set(),
        False,
        None,
        False,
    )
    with pytest.raises(DiscoError):
        store.lookup(SecretRef("a"))
    assert not place.root.exists()


@pytest.mark.parametrize(
    "name", ["", "../x", "/etc/x", "a//b", "a/../b", "A", "a b", ".a", "a/", "a.age/b", "a\n"]
)
def test_a_name_that_could_leave_its_folder_is_refused(place: Place, name: str) -> None:
    for ask in (Store(place).has, Store(place).kept):
        with pytest.raises(DiscoError, match="can't be the name"):
            ask(name)


def test_kept_files_come_back_byte_by_byte(place: Place) -> None:
    store = Store(place)
    store.keep("chains/akash/genesis.json", b"\x00{}\n")
    assert store.has_kept("chains/akash/genesis.json")
    assert Store(place).kept("chains/akash/genesis.json") == b"\x00{}\n"
    store.discard("chains/akash/genesis.json")
    assert store.kept("chains/akash/genesis.json") is None


def test_revealed_are_the_opened_values_without_public_fields(place: Place) -> None:
    Store(place).put("a", {"key": "private-a", "crt": "public-a"})
    Store(place).put("b", {"key": "private-b"})
    store = Store(place)
    assert store.revealed() == ()
    store.lookup(SecretRef("a", "crt"))
    assert store.revealed() == ("private-a",)
