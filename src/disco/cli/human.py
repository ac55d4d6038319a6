"""Sizes and times as people say them."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(names: Sequence[str], most: int = 8) -> str:
    """`h1, h2, h3`; of many only the first: `h1, h2, h3 and 997 more`."""
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def size(size_bytes: float) -> str:
    """`1.2 GB`, with units of a thousand as disks have them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            break
        size_bytes /= 1000
    return (
        f"{size_bytes:.0f} {unit}"
        if size_bytes >= 10 or unit == "bytes"
        else (f"{size_bytes:.1f} {unit}")
    )


def span(seconds: float) -> str:
    """`8 s`, `4 min`, `1.5 h`: as exact as an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """Time that has gone by: `34 s`, `2 min 05 s`, `1 h 07 min`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
