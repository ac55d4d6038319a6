"""A secret value never passes through `redact`, in any of the forms that programs print."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disco.store.redact import MASK, redact

PEM = "-----BEGIN KEY-----\nMHcCAQEEIIm5sFYt1Kx0\nqwertyuiopasdfghjkl\n-----END KEY-----\n"

values = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40).filter(
    lambda v: len(v.strip()) >= 6 and not set(v.strip()) <= set(MASK)
)


@given(before=st.text(max_size=20), value=values, after=st.text(max_size=20))
def test_no_value_is_left_in_a_text(before: str, value: str, after: str) -> None:
    assert value.strip() not in redact(f"{before}{value}{after}", [value]).replace(MASK, "\0")


def test_a_value_inside_another_does_not_leave_a_rest() -> None:
    assert redact("token=abcdef123456!", ["abcdef", "abcdef123456"]) == f"token={MASK}!"


def test_base64_of_a_value_is_masked_too() -> None:
    shown = base64.b64encode(b"correct horse\n").decode()
    assert "Y29y" not in redact(f'{{"password": "{shown}"}}', ["correct horse\n"])


@given(before=st.binary(max_size=5), value=values, after=st.binary(max_size=5))
def test_a_value_inside_of_what_is_encoded_is_masked(
    before: bytes, value: str, after: bytes
) -> None:
    raw = before + value.encode() + after
    for shown in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        assert MASK in redact(shown.decode(), [value])


@pytest.mark.parametrize("value", ["correct horse", 'a "quoted" horse', "line one\nline two"])
def test_a_value_in_hex_or_in_json_is_masked(value: str) -> None:
    for text in (value.encode().hex(), value.encode().hex().upper(), json.dumps(value)[1:-1]):
        assert redact(f"<{text}>", [value]) == f"<{MASK}>"


def test_single_lines_of_a_key_are_masked_but_not_its_armour() -> None:
    text = redact("bad line: qwertyuiopasdfghjkl in -----BEGIN KEY-----", [PEM])
    assert text == f"bad line: {MASK} in -----BEGIN KEY-----"


def test_short_values_and_other_text_stay() -> None:
    assert redact("a node is up", ["up", "a", "", "\n"]) == "a node is up"
