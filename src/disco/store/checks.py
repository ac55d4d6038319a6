"""Is the store to be believed, for whom it should be, and is nothing known to who left?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from disco.engine.check import Answer, Check
from disco.store.store import Store
from disco.store.team.repository import Repository

NAMED = 5
LONG_S = 120.0
SHARED = "store/shared"


def checks(store: Store) -> Iterator[Check]:
    """None for a stack that has no store yet."""
    shelf = store.shelf
    if not isinstance(shelf, Repository) or not shelf.is_there:
        return
    yield _check(
        "store/history",
        "Is every commit of the store signed by a member who may do what it does?",
        "disco team verify; whatever it names was pushed by somebody who may not",
        lambda: _history(shelf),
    )
    yield _check(
        "store/recipients",
        "Is every secret sealed for whom the team says, and nobody else?",
        "whoever may read it sets it anew: disco secrets set NAME",
        lambda: _recipients(shelf),
    )
    yield _check(
        "store/owed",
        "Is every secret changed that somebody who left could read?",
        "disco secrets list --owed names them; disco apply makes those anew that it can; for the "
        "others, disco secrets rotate NAME, or disco secrets accept NAME --because TEXT",
        lambda: _owed(shelf),
    )
    if shelf.url:
        yield _check(
            SHARED,
            "Do the others have what was done here?",
            "disco store sync",
            lambda: _shared(shelf),
        )


def _check(name: str, question: str, fix: str, look: Callable[[], Answer]) -> Check:
    async def ask() -> Answer:
        return await asyncio.to_thread(look)

    return Check(name, question, fix, ask, LONG_S)


def _history(repository: Repository) -> Answer:
    commits = repository.log()
    signers = sorted({c.by for c in commits})
    return Answer(True, f"{len(commits)} commits signed, by {', '.join(signers)}")


def _recipients(repository: Repository) -> Answer:
    wrong, every = repository.wrong(), len(repository.secrets())
    details = tuple(f"{s}: {why}" for s, why in wrong.items())
    if wrong:
        return Answer(False, f"{len(wrong)} of {every} are not: {_named(wrong)}", details)
    return Answer(True, f"{every} of {every} secrets sealed for whom the team says")


def _owed(repository: Repository) -> Answer:
    owed = repository.owed()
    if owed:
        details = tuple(f"{s}: {why}" for s, why in owed.items())
        return Answer(False, f"{len(owed)} to be changed: {_named(owed)}", details)
    return Answer(True, "none is known to somebody who left")


def unshared(store: Store) -> list[str]:
    """The commits of a team's store that are only here, as far as is known here."""
    shelf = store.shelf
    assert isinstance(shelf, Repository)
    return _waiting(shelf)


def _waiting(repository: Repository) -> list[str]:
    return repository.git.between(repository.memory.known.shared, repository.head())


def _shared(repository: Repository) -> Answer:
    waiting, there = _waiting(repository), repository.url
    if waiting:
        return Answer(False, f"{len(waiting)} commits are only here; remote {there}")
    return Answer(True, f"{repository.head()[:12]} is at {there}")


def _named(secrets: dict[str, str]) -> str:
    names = sorted(secrets)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
