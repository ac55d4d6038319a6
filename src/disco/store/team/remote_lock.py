"""A stack's lock where all of the team see it: a git ref at the remote, moved forward only.

Each taking, release and breaking is a signed commit on top of the one before it, so a push is the
compare-and-swap, the ref's history tells who had the lock when, and nothing is ever forced. Nobody
sees a holder die: what he held stays held until a member breaks it, which is such a commit too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import stamina

from disco.engine.errors import DiscoError, Retry
from disco.engine.journal import who
from disco.engine.lock import Held, Holder, Lock, LockLost
from disco.store.team import history
from disco.store.team.git import ZERO, Rejected, is_helped
from disco.store.team.history import Commit, Untrusted
from disco.store.team.repository import Repository
from disco.store.team.roles import Role

ATTEMPTS = 3
TAKEN, RELEASED, BROKEN = "taken", "released", "broken"


@dataclass(frozen=True)
class Note:
    """One act on the lock. by: the member who signed it; what, pid, token: the holder's."""

    act: str
    who: str
    what: str
    pid: int
    at: float
    token: int
    by: str = ""
    commit: str = ZERO

    @property
    def is_held(self) -> bool:
        return self.act == TAKEN


class TeamLock:
    """A `Lock` for all the machines of a team, of one stack."""

    def __init__(self, repository: Repository, stack: str) -> None:
        self._repository = repository
        # Keybase's helper compares nothing but branches before it overwrites.
        self._ref = f"refs/{'heads/disco-' if is_helped(repository.url) else 'disco/'}lock/{stack}"
        self._stack = stack

    @contextmanager
    def hold(self, what: str) -> Iterator[Held]:
        before = self._newest()
        if before and before.is_held:
            raise self._refused(before)
        token = before.token + 1 if before else 1
        note = Note(TAKEN, who(), what, os.getpid(), time.time(), token)
        try:
            ours = self._append(note, before)
        except Rejected:
            raise self._refused(self._newest()) from None
        held = _HeldByTeam(self, ours)
        try:
            yield held
        finally:
            with contextlib.suppress(Rejected):  # broken meanwhile: there is nothing to release
                self._append(replace(ours, act=RELEASED, at=time.time()), ours)

    def last_holder(self) -> Holder | None:
        note = self._newest()
        if note is None:
            return None
        return Holder(note.who, note.what, note.pid, note.at, note.is_held, note.token)

    def break_it(self) -> Note | None:
        """Take the lock from who holds it, deliberately: his next `check` raises. The note that was
        broken, or None when nobody held it. Raises DiscoError when somebody moved it just now."""
        note = self._newest()
        if note is None or not note.is_held:
            return None
        try:
            self._append(replace(note, act=BROKEN, at=time.time()), note)
        except Rejected:
            raise DiscoError("the lock was moved just now", fix="look again") from None
        return note

    def acts(self) -> list[Note]:
        """Everything that was done to it, newest first; each verified to be a member's."""
        return self._verified(self._fetch())[::-1]

    def at_remote(self) -> str:
        """The commit that the remote's ref is at."""
        return self._repository.git.remote_ref(self._repository.url, self._ref)

    def _newest(self) -> Note | None:
        acts = self._verified(self._fetch())
        return acts[-1] if acts else None

    def _fetch(self) -> str:
        git, url = self._repository.git, self._repository.url
        with git.writing():
            for attempt in stamina.retry_context(on=_may_help, attempts=ATTEMPTS, wait_max=2.0):
                with attempt:
                    git.fetch(url, self._ref, self._ref)
        return git.ref(self._ref)

    def _verified(self, head: str) -> list[Note]:
        """Oldest first. Who left the team holds it no more. Raises Untrusted for a newest one that
        nobody has signed who may change things, or might once."""
        if head == ZERO:
            return []
        git, team = self._repository.git, self._repository.team()
        found: list[Note] = []
        for commit in history.commits(git, git.between(ZERO, head)):
            before = found[-1] if found else None
            by = history.signer(commit.signed, commit.signature, history.GIT_NAMESPACE, team)
            may = by is not None and team.members[by].role is not Role.READER
            is_of_old = commit.id == head and not may
            if is_of_old:
                by = history.once_signed(git, self._repository.head(), commit)
                if by is None:
                    raise self._untrusted(commit, "no member who may change things signed it")
            note = self._parsed(commit, by or "")
            if is_of_old:
                note = replace(note, act=RELEASED)
            if note.token < (before.token if before else 0):
                raise self._untrusted(commit, "its token is smaller than the one before")
            found.append(note)
        return found

    def _parsed(self, commit: Commit, by: str) -> Note:
        try:
            return Note(**json.loads(commit.message.partition("\n\n")[2]), by=by, commit=commit.id)
        except (ValueError, TypeError, RecursionError):
            raise self._untrusted(commit, "it can't be read") from None

    def _untrusted(self, commit: Commit, why: str) -> Untrusted:
        return Untrusted(
            f"the lock of {self._stack} is not to be believed",
            where=f"{self._repository.url} {self._ref}",
            why=f"commit {commit.id[:12]}: {why}",
            fix="find out who pushed it; nothing is changed until it is gone",
        )

    def _append(self, note: Note, on: Note | None) -> Note:
        """One more act, here and there. Raises Rejected when somebody was first."""
        repository, git = self._repository, self._repository.git
        content = {k: v for k, v in asdict(note).items() if k not in ("by", "commit")}
        subject = f"{note.act}: disco {note.what} by {note.who}"
        name, key = repository.signs()
        tree = git.run("mktree").decode().strip()
        parents = [on.commit] if on else []
        commit = git.commit(tree, parents, f"{subject}\n\n{json.dumps(content)}\n", name, key)
        for attempt in stamina.retry_context(on=_may_help, attempts=ATTEMPTS, wait_max=2.0):
            with attempt:
                git.push(repository.url, commit, self._ref)
        return replace(note, by=name, commit=commit)

    def _refused(self, note: Note | None) -> DiscoError:
        told = "somebody took it just now"
        if note:
            since = datetime.fromtimestamp(min(max(note.at, 0), 1 << 34), UTC)
            told = f"{note.who} runs `disco {note.what}` (process {note.pid}) since "
            told += f"{since:%Y-%m-%d %H:%M:%S} UTC by that machine's clock"
        return DiscoError(
            "another run holds the stack's lock",
            where=f"{self._repository.url} {self._ref}",
            why=told,
            fix="wait for it to end; if it is dead for sure: disco store lock --break",
        )


@dataclass(frozen=True)
class Both:
    """A lock within a lock: `here` keeps the processes of this machine off each other, `team` the
    machines. A machine whose process dies frees `here` alone."""

    here: Lock
    team: TeamLock

    @contextmanager
    def hold(self, what: str) -> Iterator[Held]:
        with self.here.hold(what) as inner, self.team.hold(what) as outer:
            yield _BothHeld(inner, outer)

    def last_holder(self) -> Holder | None:
        """Of the team; where the remote does not answer, who had it on this machine."""
        try:
            return self.team.last_holder()
        except DiscoError as error:
            if error.retry is Retry.LIKELY:
                return self.here.last_holder()
            raise


@dataclass(frozen=True)
class _BothHeld:
    here: Held
    team: Held

    @property
    def token(self) -> int:
        return self.team.token

    async def check(self) -> None:
        await self.here.check()
        await self.team.check()


def _may_help(error: Exception) -> bool:
    return isinstance(error, DiscoError) and error.retry is not Retry.NEVER


class _HeldByTeam:
    """note: the newest commit of the ref while the lock is ours."""

    def __init__(self, lock: TeamLock, note: Note) -> None:
        self._lock, self._note = lock, note
        self._asking: asyncio.Task[str] | None = None
        self._lost = False

    @property
    def token(self) -> int:
        return self._note.token

    async def check(self) -> None:
        if not self._lost and await self._asked() == self._note.commit:
            return
        self._lost = True
        raise LockLost(
            "the lock was taken over by another run, or broken",
            where=self._lock._stack,
            why=f"ours was token {self.token}",
            fix="look at `disco store lock` and `disco history`, then plan again",
        )

    async def _asked(self) -> str:
        """Where the ref is. Who asks while a question waits to begin gets its answer; who asks
        while it is under way needs the next one, since this one may be older than what he did."""
        waiting = self._asking
        if waiting is None or waiting.done():
            waiting = self._asking = asyncio.create_task(self._ask())
            return await asyncio.shield(waiting)
        with contextlib.suppress(DiscoError):
            await asyncio.shield(waiting)
        return await self._asked()

    async def _ask(self) -> str:
        try:
            async for attempt in stamina.retry_context(
                on=_may_help, attempts=ATTEMPTS, wait_max=2.0
            ):
                with attempt:
                    return await asyncio.to_thread(self._lock.at_remote)
        except DiscoError as error:
            error.retry = Retry.NEVER
            raise
        raise AssertionError("a retry ends with an answer or an error")
