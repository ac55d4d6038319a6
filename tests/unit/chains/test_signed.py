"""What a validator had signed is read from its own file as its signer writes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disco.chains.signed import Signed, furthest, of_home

HASH, PARTS = b"some hash00000000000000000000000", b"parts_hash0000000000000000000000"
HEAD = bytes.fromhex("08011121a1070000000000190200000000000000")  # prevote, height, round
TAIL = bytes.fromhex("2a0608a0eff4a806320d") + b"test_chain_id"  # time, chain
# A prevote at 500001/2, as tmkms's own test of the encoding has it (src/privval.rs).
VOTE = b"".join(
    (b"\x77", HEAD, b"\x22\x4a\x0a\x20", HASH, b"\x12\x26\x08\xc0\x84\x3d\x12\x20", PARTS, TAIL)
)
NIL = bytes([len(HEAD + TAIL)]) + HEAD + TAIL
BLOCK = {
    "hash": HASH.hex().upper(),
    "parts": {"total": 1000000, "hash": PARTS.hex().upper()},
}
states = st.builds(Signed, st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.just("null"))


def test_a_vote_names_its_block() -> None:
    found = of_home(500001, 2, 2, VOTE.hex())
    assert found.place == (500001, 2, 1)
    assert json.loads(found.block) == BLOCK


def test_a_vote_for_no_block_is_told_from_one_that_is_unknown() -> None:
    assert of_home(500001, 2, 2, NIL.hex()) == Signed(500001, 2, 1, "null")


@pytest.mark.parametrize("sign_bytes", ["", "zz", "00", VOTE.hex()[:-2], VOTE.hex()[2:], "ff" * 40])
def test_of_what_can_not_be_told_nothing_more_is_signed_in_this_step(sign_bytes: str) -> None:
    """A signer that took `no block` for it would sign a second one."""
    assert of_home(500001, 2, 2, sign_bytes) == Signed(500001, 2, 2, "null")


@pytest.mark.parametrize("place", [(500002, 2), (500001, 1)])
def test_a_vote_for_something_else_tells_nothing(place: tuple[int, int]) -> None:
    assert of_home(*place, 3, VOTE.hex()) == Signed(*place, 3)


def test_a_home_that_never_signed_begins_at_nothing() -> None:
    assert of_home(0, 0, 0, "") == Signed()


@given(st.binary(max_size=200))
def test_whatever_is_there_never_makes_it_less(message: bytes) -> None:
    found = of_home(500001, 2, 2, message.hex())
    assert found.place >= (500001, 2, 1)
    assert found.place == (500001, 2, 1) or found.block == "null"


@given(st.lists(states, min_size=1))
def test_the_furthest_is_behind_none(known: list[Signed]) -> None:
    assert not any(furthest(*known).behind(s) for s in known)
