"""The last line of defence before a text is shown: secret values in it are masked."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

MASK = "[secret]"
SHORTEST = 6  # shorter values occur in ordinary words
SHORTEST_LINE = 16


def redact(text: str, values: Iterable[str]) -> str:
    """The text with every value masked, also in base64, and line by line where it has lines."""
    found = {form for value in values for form in _forms(value) if form in text}
    for form in sorted(found, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _forms(value: str) -> Iterator[str]:
    """What a value may look like in a program's output."""
    bare = value.strip()
    if len(bare) < SHORTEST:
        return
    yield bare
    for raw in {value, bare}:
        yield base64.b64encode(raw.encode()).decode().rstrip("=")
    for line in bare.splitlines():
        if len(line) >= SHORTEST_LINE and not line.startswith("-----"):
            yield line
