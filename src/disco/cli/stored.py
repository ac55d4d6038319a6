"""A stack's store, for commands that need nothing else of the stack but its name."""

from __future__ import annotations

import os
from pathlib import Path

from disco.cli import speak
from disco.cli.opened import opened
from disco.engine.errors import WrongUse
from disco.engine.place import Place
from disco.stack.name import stack_name
from disco.store import shared
from disco.store.store import Store
from disco.store.team.history import Commit
from disco.store.team.repository import Repository


def place_of(file: Path) -> Place:
    return Place.of(file, stack_name(file, os.environ))


def store_of(file: Path) -> Store:
    """As the others left it, if they can be asked."""
    store = Store(place_of(file))
    opened(store)
    refresh(store)
    return store


def refresh(store: Store) -> None:
    if away := shared.refreshed(store):
        speak.talk(away, "yellow")


def repository_of(file: Path) -> Repository:
    """The team's, or the stack's own. Raises WrongUse where there is none yet."""
    store = store_of(file)
    shelf = store.shelf
    if not isinstance(shelf, Repository) or not shelf.is_there:
        raise WrongUse(
            "the stack has no store yet",
            where=str(store.place.root),
            fix="disco team init makes one for a team; disco up one for this machine alone",
        )
    return shelf


def said(commit: Commit) -> str:
    """Its message in one line."""
    return "; ".join(commit.message.splitlines())


def commit_data(commit: Commit) -> dict[str, str]:
    at = commit.at.isoformat()
    return {"at": at, "by": commit.by, "what": commit.message, "commit": commit.id}
