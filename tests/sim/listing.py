"""Which files a folder of the simulated store holds, looked up once until one of them changes.

Steps ask what there is far more often than something is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_known: dict[Path, tuple[str, ...]] = {}


def files_below(top: Path) -> tuple[str, ...]:
    """Their paths below it, sorted; none where it is not there."""
    if top not in _known:
        _known[top] = tuple(sorted(_below(str(top), ""))) if top.is_dir() else ()
    return _known[top]


def changed(top: Path) -> None:
    """Something was written there or taken away."""
    _known.pop(top, None)


def put_back(folder: Path) -> None:
    """The folder, with all that is in it, is another one now."""
    for top in [t for t in _known if t.is_relative_to(folder)]:
        del _known[top]


def _below(folder: str, name: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _below(entry.path, f"{name}{entry.name}/")
            elif not entry.name.startswith("."):
                yield name + entry.name
