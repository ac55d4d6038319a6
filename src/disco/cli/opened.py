"""What this process has opened: its secrets are masked in all that is said, its folder is where
the report of a mistake goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from disco.store.store import Store

_stores: list[Store] = []


def opened(store: Store) -> None:
    """From here on what this store reveals is masked."""
    _stores.append(store)


def folder() -> Path | None:
    """The state folder of the stack that was opened last."""
    return _stores[-1].place.root if _stores else None


def veiled(text: str) -> str:
    """The text without the secrets that were opened: the last line of defence."""
    values = [value for store in _stores for value in store.revealed()]
    if not values:
        return text
    from disco.store.redact import redact

    return redact(text, values)
