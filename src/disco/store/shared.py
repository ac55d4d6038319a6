"""What a team's machines tell each other of a stack beside its secrets: what was declared, and the
runs. It is kept in the store, sealed like a secret; a store of this machine alone needs none of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from disco.engine.errors import DiscoError, Retry
from disco.engine.place import write_atomically
from disco.store.store import Store
from disco.store.team.layout import DECLARED, FIELD, RUNS
from disco.store.team.repository import Repository

KEPT_RUNS = 100
ID = "id"  # kept, not sealed

Record = dict[str, Any]


def repository(store: Store) -> Repository | None:
    """The team's, or None for a store of this machine alone."""
    shelf = store.shelf
    return shelf if isinstance(shelf, Repository) and shelf.url else None


def refreshed(store: Store) -> str:
    """Take what the others did, if their remote answers. What to tell when it does not: this
    machine goes on from what it has seen. Raises what is not to be believed, and conflicts."""
    team = repository(store)
    if team is None or not team.is_there:
        return ""
    try:
        team.sync()
    except DiscoError as error:
        if error.retry is Retry.LIKELY:
            said = f"; {error.why.splitlines()[0][:200]}" if error.why else ""
            where = f"{error.where}{said}"
            return f"the team's store can't be reached ({where}): as it was seen last"
        raise
    return ""


def take(store: Store) -> None:
    """Before a run, under the lock: the store and what was declared, as the others left them."""
    team = repository(store)
    if team is None:
        return
    team.sync()
    take_id(store)
    path = store.place.declared
    if DECLARED in store.names():
        write_atomically(path, store.fields(DECLARED)[FIELD].encode())
    elif path.exists():
        path.unlink()


def take_id(store: Store, makes: bool = True) -> None:
    """Know the servers of the stack as its own: they are marked by who made it first.

    makes: the mark, where nobody did.
    """
    known = store.kept(ID)
    if known is None:
        if makes:
            store.keep(ID, f"{store.place.id}\n".encode())
    elif known.decode(errors="replace").strip() != store.place.id:
        write_atomically(store.place.shared_id, known)


def give_declared(store: Store) -> None:
    """What is declared from here on, before anything is changed; and what is left, after."""
    if repository(store) is None:
        return
    try:
        content = store.place.declared.read_text()
    except FileNotFoundError:
        store.forget(DECLARED)
        return
    if not store.has(DECLARED) or store.fields(DECLARED)[FIELD] != content:
        store.put(DECLARED, {FIELD: content})


def give_run(store: Store, run: str, records: Iterable[Record]) -> None:
    """The journal of a run that ended here; the oldest ones make room."""
    team = repository(store)
    if team is None:
        return
    mine = [r for r in records if r.get("run") == run]
    at = f"{int(mine[0].get('at', 0)) if mine else 0:012d}"
    name = f"{RUNS}/{at}-{run}"
    old = sorted(n for n in store.names() if n.startswith(f"{RUNS}/"))
    prefix = f"{store.stack}/"
    told = {f"{prefix}{name}": {FIELD: json.dumps(mine)}}
    gone = dict.fromkeys((f"{prefix}{n}" for n in old[:-KEPT_RUNS]), None)
    team.write(f"Tell of run {run}", secrets={**told, **gone})


def runs(store: Store) -> list[Record]:
    """The records of runs of every machine, oldest run first."""
    team = repository(store)
    if team is None or not team.is_there:
        return []
    prefix = f"{store.stack}/{RUNS}/"
    names = [s for s in team.secrets() if s.startswith(prefix)]
    found: list[Record] = []
    for content in team.contents(names).values():
        found += json.loads(content.fields[FIELD])
    return found
