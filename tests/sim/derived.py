"""What is computed of one object of the API, kept for as long as that object is the one there.

Nobody changes a workload in place: who applies it puts another in its place, and a world that is
put back has others. It is asked for at every point of every run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]
MANY = 4096  # objects; those of worlds that are gone are dropped with the others


def of_object(work: Callable[[Json], T]) -> Callable[[Json], T]:
    """The same function, which works once for each object."""
    kept: dict[int, tuple[Json, T]] = {}  # who holds the object, so that its id is no other's

    def known(thing: Json) -> T:
        found = kept.get(id(thing))
        if found is None:
            if len(kept) >= MANY:
                kept.clear()
            found = kept[id(thing)] = (thing, work(thing))
        return found[1]

    return known
