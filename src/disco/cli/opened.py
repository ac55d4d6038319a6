"""What this process has opened: its secrets are masked in all that is said, its folder is where
the report of a mistake goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from disco.store.store import Store

_stores: list[Store] = []
_kept: set[str] = set()


def opened(store: Store) -> None:
    """From here on what this store reveals is masked."""
    _stores.append(store)


def done_with(store: Store) -> None:
    """For a process that opens many: the store may go, and what it revealed stays masked."""
    _kept.update(store.revealed())
    _stores.remove(store)


def folder() -> Path | None:
    """The state folder of the stack that was opened last."""
    return _stores[-1].place.root if _stores else None


def veiled(text: str) -> str:
    """The text without the secrets that were opened: the last line of defence."""
    return without(text, values())


def values() -> list[str]:
    """Every secret value that was opened."""
    return [*_kept, *(value for store in _stores for value in store.revealed())]


def without(text: str, secrets: Sequence[str]) -> str:
    """`veiled` for many texts: `secrets` is what `values` gave for all of them."""
    if not secrets:
        return text
    from disco.store.redact import redact

    return redact(text, secrets)
