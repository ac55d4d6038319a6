"""Secrets survive a round trip, and anything that isn't exactly what was written fails closed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.engine.secret import SecretRef
from disco.store import Store, identity

VALUE = "correct horse battery staple"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "state")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, bytes]:
    """A place with one secret, and the bytes of its file."""
    place = Place(tmp_path_factory.mktemp("sealed"))
    Store(place).put("vault/root", {"token": VALUE})
    return place, (place.secrets / "vault/root.age").read_bytes()


def test_a_secret_is_read_back_by_another_process_as_it_was_written(place: Place) -> None:
    fields = {"crt": "line one\nline two\n", "key": "ключ ☃", "empty": ""}
    Store(place).put("kubernetes/ca", fields)
    assert Store(place).fields("kubernetes/ca") == fields
    assert Store(place).lookup(SecretRef("kubernetes/ca", "key")) == "ключ ☃"


def test_names_are_those_of_the_files_and_leftovers_are_not_secrets(place: Place) -> None:
    store = Store(place)
    assert store.names() == set()
    store.put("chains/akash/node-0", {"json": "{}"})
    store.put("token", {"value": "x"})
    (place.secrets / ".token.age.123.tmp").write_bytes(b"half")
    assert store.names() == {"chains/akash/node-0", "token"}
    assert store.has("token")
    assert not store.has("chains/akash")


def test_no_value_stands_in_a_file(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    contents = [p.read_bytes() for p in place.root.rglob("*") if p.is_file()]
    assert len(contents) == 2
    assert not any(VALUE.encode() in c for c in contents)


def test_files_are_for_their_owner_only(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    for path in (place.identity, place.secrets / "vault/root.age"):
        assert path.stat().st_mode & 0o777 == 0o600


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
    with pytest.raises(DiscoError, match="no secret vault/root"):
        store.lookup(SecretRef("vault/root", "token"))


def test_a_missing_field_is_named_without_showing_the_others_values(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    with pytest.raises(DiscoError) as caught:
        Store(place).lookup(SecretRef("vault/root", "tokn"))
    assert "tokn" in caught.value.what
    assert "token" in caught.value.why
    assert VALUE not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_changed_bit_anywhere_in_a_file_fails_closed(
    sealed: tuple[Place, bytes], where: float, bit: int
) -> None:
    place, content = sealed
    changed = bytearray(content)
    changed[int(where * len(content))] ^= 1 << bit
    _is_refused(place, bytes(changed))


@settings(max_examples=150, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_short_fails_closed(sealed: tuple[Place, bytes], share: float) -> None:
    place, content = sealed
    _is_refused(place, content[: int(share * len(content))])


@settings(max_examples=50, deadline=None)
@given(tail=st.binary(min_size=1, max_size=64))
def test_a_file_that_grew_fails_closed(sealed: tuple[Place, bytes], tail: bytes) -> None:
    place, content = sealed
    _is_refused(place, content + tail)


def test_a_secret_sealed_for_another_identity_is_refused(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "other")
    Store(other).put("vault/root", {"token": VALUE})
    Store(place).put("mine", {"token": VALUE})
    _is_refused(place, (other.secrets / "vault/root.age").read_bytes())


@pytest.mark.parametrize("plain", [b"no json", b"[1]", b'{"a": 1}', b"\xff", b'"text"'])
def test_content_that_is_not_named_fields_is_refused(place: Place, plain: bytes) -> None:
    key = identity.load_or_make(place.identity, place.secrets)
    _is_refused(place, key.seal(plain))


def _is_refused(place: Place, content: bytes) -> None:
    path = place.secrets / "vault/root.age"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(DiscoError) as caught:
        Store(place).lookup(SecretRef("vault/root", "token"))
    assert caught.value.where == str(path)
    assert "backup" in caught.value.fix
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_an_identity_that_others_can_read_is_refused(place: Place, mode: int) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    place.identity.chmod(mode)
    with pytest.raises(DiscoError, match="open to other users") as caught:
        Store(place).lookup(SecretRef("vault/root", "token"))
    assert f"chmod 600 {place.identity}" in caught.value.fix
    with pytest.raises(DiscoError, match="open to other users"):
        Store(place).put("vault/other", {"token": VALUE})


@pytest.mark.parametrize("content", ["", "nonsense", "AGE-SECRET-KEY-1QQQ", "a\nb\n"])
def test_a_broken_identity_is_refused_and_not_shown(place: Place, content: str) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    place.identity.write_text(content)
    with pytest.raises(DiscoError, match="can't be read") as caught:
        Store(place).lookup(SecretRef("vault/root", "token"))
    assert "AGE-SECRET" not in str(caught.value)


def test_a_lost_identity_is_never_replaced_while_secrets_exist(place: Place) -> None:
    Store(place).put("vault/root", {"token": VALUE})
    place.identity.unlink()
    with pytest.raises(DiscoError, match="is missing"):
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


def test_the_first_writer_of_an_identity_wins(place: Place) -> None:
    identity._write_once(place.identity, b"first")
    identity._write_once(place.identity, b"second")
    assert place.identity.read_bytes() == b"first"
    assert [p.name for p in place.root.iterdir()] == ["identity.txt"]


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
