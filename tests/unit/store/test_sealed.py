"""A secret's file: what isn't exactly what was sealed, where it was sealed, fails closed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import SECRET, VALUE, Person

from disco.engine.errors import DiscoError
from disco.store.team.keys import Own, PublicKey
from disco.store.team.sealed import Content, seal, unseal, wrong_recipients
from thorough import examples


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    return Person("ana", tmp_path_factory.mktemp("ana")).own


@pytest.fixture(scope="module")
def content(own: Own) -> bytes:
    return seal(SECRET, Content.of({"value": VALUE}), own.public)


def refused(content: bytes, own: Own, secret: str = SECRET) -> str:
    with pytest.raises(DiscoError, match=f"the secret {secret} is refused") as caught:
        unseal(secret, content, own)
    assert VALUE not in str(caught.value)
    return caught.value.why


def test_it_is_opened_as_it_was_sealed(own: Own) -> None:
    fields = {"crt": "line one\nline two\n", "key": "ключ ☃", "empty": ""}
    assert unseal("a/b", seal("a/b", Content.of(fields), own.public), own).fields == fields


def test_a_version_is_sealed_with_it_and_tells_that_the_value_is_another() -> None:
    first = Content.of({"value": VALUE})
    assert Content.of({"value": VALUE}, first) is first
    other = Content.of({"value": "another"}, first)
    assert re.fullmatch("[0-9a-f]{16}", first.version)
    assert other.version != first.version != Content.of({"value": VALUE}).version
    assert VALUE not in repr(first)


def test_what_was_sealed_without_a_version_is_read(own: Own) -> None:
    plain = json.dumps({"path": SECRET, "fields": {"value": VALUE}}).encode()
    sealed = pyrage.encrypt(plain, [k.recipient() for k in own.public])
    assert unseal(SECRET, sealed, own) == Content({"value": VALUE}, "")


@settings(max_examples=examples(150), deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_changed_bit_anywhere_is_refused(
    own: Own, content: bytes, where: float, bit: int
) -> None:
    changed = bytearray(content)
    changed[int(where * len(content))] ^= 1 << bit
    refused(bytes(changed), own)


@settings(max_examples=examples(150), deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_what_was_cut_short_is_refused(own: Own, content: bytes, share: float) -> None:
    refused(content[: int(share * len(content))], own)


@settings(max_examples=examples(50), deadline=None)
@given(tail=st.binary(min_size=1, max_size=64))
def test_what_grew_is_refused(own: Own, content: bytes, tail: bytes) -> None:
    refused(content + tail, own)


def test_what_was_moved_to_another_name_is_refused(own: Own, content: bytes) -> None:
    assert refused(content, own, "dev/db/other") == (
        f"it was sealed as {SECRET}, and was moved here"
    )


def test_what_is_for_somebody_else_is_refused(tmp_path: Path, own: Own) -> None:
    other = Person("ben", tmp_path).own
    refused(seal(SECRET, Content.of({"value": VALUE}), other.public), own)


@pytest.mark.parametrize(
    "plain",
    [b"no json", b"[1]", b'{"a": 1}', b"\xff", b'"text"', b'{"path": "dev/db/password"}',
     b'{"path": "dev/db/password", "fields": {"a": 1}}', b"[" * 50_000],
)  # fmt: skip
def test_what_holds_no_named_fields_is_refused(own: Own, plain: bytes) -> None:
    sealed = pyrage.encrypt(plain, [k.recipient() for k in own.public])
    assert refused(sealed, own) == "it does not hold named fields"


def test_its_header_tells_whom_it_is_for(tmp_path: Path, own: Own, content: bytes) -> None:
    ben = Person("ben", tmp_path).own
    age = PublicKey.parse(str(pyrage.x25519.Identity.generate().to_public()))
    assert wrong_recipients(content, own.public) == ""
    assert "not sealed for the ssh-ed25519 key" in wrong_recipients(
        content, [*own.public, *ben.public]
    )
    both = seal(SECRET, Content.of({"value": VALUE}), [*own.public, *ben.public, age])
    assert wrong_recipients(both, [*own.public, *ben.public, age]) == ""
    assert "also sealed for the ssh-ed25519 key" in wrong_recipients(both, [*own.public, age])
    assert "also sealed for 1 age key(s)" in wrong_recipients(both, [*own.public, *ben.public])
    assert wrong_recipients(b"nonsense", own.public) == "it is no age file"
