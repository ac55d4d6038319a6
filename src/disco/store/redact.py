"""The last line of defence before a text is shown: secret values in it are masked."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache

MASK = "[secret]"
# Of a secret, these may be seen by all.
PUBLIC_FIELDS = frozenset({"address", "crt", "id", "pub", "pub_key", "public", "recipient"})
SHORTEST = 6  # shorter values occur in ordinary words
SHORTEST_LINE = 16
URL_SAFE = str.maketrans("+/", "-_")


def redact(text: str, values: Iterable[str]) -> str:
    """The text with every value masked, also in base64 and hex, and each of its lines."""
    found = {form for value in values for form in _forms(value) if form in text}
    for form in sorted(found, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


@lru_cache(maxsize=4096)
def _forms(value: str) -> tuple[str, ...]:
    """What a value may look like in a program's output. Kept: it is asked for line by line."""
    bare = value.strip()
    if len(bare) < SHORTEST:
        return ()
    lines = [x for x in bare.splitlines() if len(x) >= SHORTEST_LINE and not x.startswith("-----")]
    return tuple(form for text in {value, bare, *lines} for form in _written(text))


def _written(text: str) -> Iterator[str]:
    """As it is, in JSON, in hex, in base64."""
    raw = text.encode()
    yield from (text, json.dumps(text)[1:-1], raw.hex(), raw.hex().upper())
    yield base64.b64encode(raw).decode().rstrip("=")
    yield from _inside_base64(raw)


def _inside_base64(raw: bytes) -> Iterator[str]:
    """The characters that are the same whatever stands before and after it in what is encoded."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        partly_other = (before + len(raw)) % 3 != 0
        sure = encoded[(0, 2, 3)[before] : len(encoded) - partly_other]
        yield from (sure, sure.translate(URL_SAFE))
