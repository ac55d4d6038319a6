"""A kept line as `disco logs` prints it, from whatever store it comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line with where it is from; without a label it is a figure that a query made."""

    label: str
    time: str
    text: str


def in_order(lines: Iterable[Line]) -> list[Line]:
    """The oldest first. Lines that came twice, since a collector was killed, are there once."""
    return sorted(dict.fromkeys(lines), key=lambda line: line.time)


def as_journalctl(time: str, host: str, who: str, pid: str, message: str) -> str:
    """As `journalctl --output=short-iso` has it, in UTC. time: RFC 3339."""
    return f"{time[:19]}+0000 {host} {who}{f'[{pid}]' if pid else ''}: {message}"
