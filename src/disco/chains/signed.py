"""How far a validator's key has signed: what no signer of it may ever be behind.

CometBFT keeps it in priv_validator_state.json (privval/file.go), tmkms in its state file
(src/chain/state.rs). They count steps from 1 and from 0.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from disco.engine.errors import DiscoError

PROPOSAL = 32  # SignedMsgType; votes are 1 and 2
TYPE, HEIGHT, ROUND, BLOCK = range(1, 5)  # fields of CanonicalVote and CanonicalProposal
VARINT, FIXED64, BYTES = 0, 1, 2  # wire types of protobuf


@dataclass(frozen=True, order=True)
class Signed:
    """The last thing that was signed, in the order in which things are. block: what it was for,
    as tmkms writes it in JSON; `null` for no block, or where nobody knows."""

    height: int = 0
    round: int = 0
    step: int = 0
    block: str = "null"

    def __str__(self) -> str:
        return f"{self.height}/{self.round}/{self.step}"

    @property
    def place(self) -> tuple[int, int, int]:
        return (self.height, self.round, self.step)

    def behind(self, other: Signed) -> bool:
        return self.place < other.place


def furthest(*known: Signed) -> Signed:
    """The one that all of them are not beyond."""
    return max(known, key=lambda s: s.place)


def of_home(
    height: int, round: int, step: int, sign_bytes: str, laid: Signed | None = None
) -> Signed:
    """From the fields of a validator's own priv_validator_state.json.

    sign_bytes: what was signed, in hex; it names the block. Where that can't be told, all of this
    step counts as signed: nothing more in it is, not even the same again. laid: what the lease
    says; a state without sign_bytes at that place was laid from it, and nothing signed since.
    """
    if height == 0:
        return Signed()
    counted = max(step - 1, 0)
    if laid and not sign_bytes and (height, round, counted) == laid.place:
        return laid
    block = _block(sign_bytes, height, round)
    if block is None:
        return Signed(height, round, counted + 1)
    return Signed(height, round, counted, block)


def _block(sign_bytes: str, height: int, round: int) -> str | None:
    """What a vote or a proposal is for; None where it is not told, or was for something else."""
    try:
        fields = dict(_fields(_delimited(bytes.fromhex(sign_bytes))))
        if (fields[HEIGHT], fields.get(ROUND, 0)) != (height, round):
            return None
        # a proposal has one more field before the block
        block = fields.get(BLOCK + 1 if fields[TYPE] == PROPOSAL else BLOCK)
        return "null" if block is None else _block_json(block)
    except (KeyError, IndexError, ValueError, TypeError, struct.error):
        return None


def _block_json(message: Any) -> str:
    block = dict(_fields(message))
    parts = dict(_fields(block[2]))
    found = {
        "hash": block[1].hex().upper(),
        "parts": {"total": parts[1], "hash": parts[2].hex().upper()},
    }
    return json.dumps(found, separators=(",", ":"))


def _delimited(message: bytes) -> bytes:
    length, at = _varint(message, 0)
    if at + length != len(message):
        raise ValueError("the message is cut off")
    return message[at:]


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif kind == FIXED64:
            yield key >> 3, struct.unpack_from("<q", message, at)[0]
            at += 8
        elif kind == BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field is cut off")
            yield key >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError(f"nothing that is signed has fields of wire type {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def told(message: str) -> dict[str, str]:
    """`NAME=VALUE …` in a line, as a pod's first container says it when it ends."""
    pairs = (word.partition("=") for word in message.split())
    return {name: value for name, _, value in pairs if name}


def number(fields: dict[str, str], name: str, where: str) -> int:
    """Raises DiscoError for what is none: nothing is concluded from half a message."""
    if not fields.get(name, "").isdigit():
        raise DiscoError(
            f"{where} does not say its {name}",
            where=where,
            why=f"it says: {' '.join(f'{k}={v}' for k, v in fields.items())[:200]}",
            fix="look at the log of its first container: kubectl logs POD -c home",
        )
    return int(fields[name])
