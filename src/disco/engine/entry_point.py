"""What other packages bring, found by entry points; an error names the package that it is of."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from disco.engine.errors import WrongUse


def found(group: str) -> list[EntryPoint]:
    """The entry points of a group, in the same order on every machine."""
    return list(_found(group, tuple(sys.path)))


@cache
def _found(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Asked once for each search path: it reads what every installed package says of itself."""
    return tuple(sorted(entry_points(group=group), key=lambda e: (e.name, e.value)))


def load(entry: EntryPoint) -> Any:
    """What an entry point names. Raises WrongUse when importing it fails, however it does."""
    try:
        return entry.load()
    except (Exception, SystemExit) as error:
        raise refused(entry, "can't be loaded", f"{type(error).__name__}: {error}") from error


def refused(entry: EntryPoint, what: str, why: str, fix: str = "") -> WrongUse:
    """An error about the package behind an entry point."""
    name = entry.dist.name if entry.dist else entry.module
    mend = fix or f"mend that package, or: pip uninstall {name}"
    return WrongUse(f"{entry.name} of the package {package(entry)} {what}", entry.value, why, mend)


def package(entry: EntryPoint) -> str:
    """Its name and version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module
