"""Addresses are the ones that every Cosmos wallet shows for the same words."""

from __future__ import annotations

import pytest

from disco.chains import Account, address
from disco.engine.errors import DiscoError

ABANDON = " ".join(["abandon"] * 11 + ["about"])
ABANDON_24 = " ".join(["abandon"] * 23 + ["art"])


def test_the_first_address_of_the_test_sentence_of_bip39_is_the_known_one() -> None:
    assert address(ABANDON, "cosmos") == "cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4"


def test_the_prefix_changes_the_name_and_the_coin_type_changes_the_account() -> None:
    akash, cosmos = address(ABANDON, "akash"), address(ABANDON, "cosmos")
    assert akash.startswith("akash19rl4cm2hmr8afy4kldpxz3fka4jguq0a")
    other = address(ABANDON, "cosmos", slip44=529)
    assert other.split("1", 1)[1][:32] != cosmos.split("1", 1)[1][:32]


def test_sentences_of_24_words_have_addresses_too() -> None:
    assert address(ABANDON_24, "akash") != address(ABANDON, "akash")


@pytest.mark.parametrize("words", ["", "abandon", ABANDON + " about", ABANDON.replace("t", "x")])
def test_words_with_a_mistake_are_refused_and_not_shown(words: str) -> None:
    with pytest.raises(DiscoError, match="not a BIP 39 sentence") as caught:
        address(words, "cosmos")
    assert "abandon" not in str(caught.value)


def test_an_account_has_the_address_of_its_words() -> None:
    fields = Account("akash").make()
    assert fields["address"] == address(fields["words"], "akash")
