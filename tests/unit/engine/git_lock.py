"""A lock in a git ref, for tests only: it shows that the contract is enough for a store far away.

The ref points to a blob with the note; it is moved by compare-and-swap. Nobody sees a holder die.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.engine.errors import DiscoError
from disco.engine.journal import who
from disco.engine.lock import Held, Holder, LockLost

REF = "refs/disco/lock"
NEVER_YET = ""
Note = dict[str, Any]


class GitLock:
    """A `Lock` in the bare repository `store`."""

    def __init__(self, store: Path) -> None:
        self._store = store

    @contextmanager
    def hold(self, what: str) -> Iterator[Held]:
        before, note = self._read()
        if note.get("held"):
            raise _refused(note)
        ours = {"token": note.get("token", 0) + 1, "who": who(), "what": what, "held": True}
        ours |= {"pid": os.getpid(), "at": time.time()}
        blob = self._swap(before, ours)
        if not blob:
            raise _refused(self._read()[1])
        try:
            yield HeldInGit(self, blob, ours["token"])
        finally:
            self._swap(blob, {**ours, "held": False})

    def last_holder(self) -> Holder | None:
        ref, n = self._read()
        if ref == NEVER_YET:
            return None
        return Holder(n["who"], n["what"], n["pid"], n["at"], n["held"], n["token"])

    def break_it(self) -> None:
        """What a person does who knows that the holder is dead, or wants it to end."""
        ref, note = self._read()
        assert self._swap(ref, {**note, "held": False, "broken_by": who()})

    def ref(self) -> str:
        return self._git("for-each-ref", "--format=%(objectname)", REF).strip()

    def _read(self) -> tuple[str, Note]:
        ref = self.ref()
        return ref, json.loads(self._git("cat-file", "blob", ref)) if ref else {}

    def _swap(self, old: str, note: Note) -> str:
        """The new blob, or nothing where the ref is not at `old` any more."""
        blob = self._git("hash-object", "-w", "--stdin", given=json.dumps(note)).strip()
        try:
            self._git("update-ref", REF, blob, old or "0" * len(blob))
        except DiscoError:
            if self.ref() == old:
                raise
            return ""
        return blob

    def _git(self, *words: str, given: str = "") -> str:
        argv = ["git", "--git-dir", str(self._store), *words]
        done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise DiscoError("the lock's store can't be asked", str(self._store), done.stderr)
        return done.stdout


@dataclass(frozen=True)
class HeldInGit:
    lock: GitLock
    blob: str
    token: int

    async def check(self) -> None:
        if await asyncio.to_thread(self.lock.ref) != self.blob:
            raise LockLost("the lock was taken over by another run", where=REF)


def _refused(n: Note) -> DiscoError:
    why = f"{n['who']} runs `disco {n['what']}` (process {n['pid']}), token {n['token']}"
    return DiscoError("another run holds the stack's lock", REF, why, "wait, or break it")
