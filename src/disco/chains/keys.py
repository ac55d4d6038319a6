"""Accounts of Cosmos chains from 24 words: addresses are known before a chain's program runs.

Sources: BIP 32 (derivation), BIP 39 (words to seed), BIP 44 (path), BIP 173 (bech32), and
Cosmos SDK ADR 028: the address of a secp256k1 key is RIPEMD-160 of SHA-256 of its 33 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import bech32
import coincurve
import mnemonic

from disco.engine.errors import DiscoError
from disco.store.generate import Generator, Mnemonic

HARDENED = 1 << 31
COSMOS_SLIP44 = 118


@dataclass(frozen=True)
class Account(Generator):
    """A wallet of one chain: 24 words in `words`, its first address in `address`."""

    prefix: str
    slip44: int = COSMOS_SLIP44

    def describe(self) -> str:
        return f"24 words of a wallet ({self.prefix}1…)"

    def make(self) -> dict[str, str]:
        words = Mnemonic().make()["words"]
        return {"words": words, "address": address(words, self.prefix, self.slip44)}


def address(words: str, prefix: str, slip44: int = COSMOS_SLIP44) -> str:
    """The bech32 address of the account at m/44'/slip44'/0'/0/0 of a BIP 39 sentence."""
    if not mnemonic.Mnemonic("english").check(words):
        raise DiscoError(
            "a wallet's words are not a BIP 39 sentence",
            why="a word is unknown, or the checksum doesn't fit",
            fix="compare the words with where they were written down",
        )
    path = (44 | HARDENED, slip44 | HARDENED, HARDENED, 0, 0)
    public = _private_key(mnemonic.Mnemonic.to_seed(words), path).public_key.format(compressed=True)
    digest = hashlib.new("ripemd160", hashlib.sha256(public).digest()).digest()
    data = bech32.convertbits(digest, 8, 5)
    if data is None:
        raise AssertionError("20 bytes always convert to groups of 5 bits")
    return bech32.bech32_encode(prefix, data)


def _private_key(seed: bytes, path: tuple[int, ...]) -> coincurve.PrivateKey:
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    key, chain_code = coincurve.PrivateKey(digest[:32]), digest[32:]
    for index in path:
        key, chain_code = _child(key, chain_code, index)
    return key


def _child(
    key: coincurve.PrivateKey, chain_code: bytes, index: int
) -> tuple[coincurve.PrivateKey, bytes]:
    """BIP 32's CKDpriv; a key out of range (chance 1 in 2^127) is a ValueError of coincurve."""
    parent = b"\0" + key.secret if index & HARDENED else key.public_key.format(compressed=True)
    digest = hmac.digest(chain_code, parent + index.to_bytes(4, "big"), "sha512")
    return key.add(digest[:32]), digest[32:]
