"""My commits that nobody else has, put on top of what the others did meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from disco.engine.errors import DiscoError, WrongUse
from disco.store.team import history, layout
from disco.store.team.git import ZERO, Entry, Git
from disco.store.team.history import Commit
from disco.store.team.keys import Own
from disco.store.team.layout import FILE, SIGNATURE
from disco.store.team.sealed import Content, seal, unseal

if TYPE_CHECKING:
    from disco.store.team.team import Team

MakeCommit = Callable[[str, Mapping[str, str | None], str], str]
TEAM_FILES = (FILE, SIGNATURE)
TAKE_TEAM = f"disco store sync --theirs {FILE}, and change the team again"


@dataclass(eq=False)
class Conflict(DiscoError):
    """Both changed the same thing. paths: of the files."""

    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replay:
    """ours, theirs: heads that went apart. came: their commits that are new here, verified.

    choose: path -> True for mine, False for theirs. at_once: mine as one commit, which is soonest
    done; not where one of them changes the team.
    """

    git: Git
    own: Own
    ours: str
    theirs: str
    came: list[Commit]
    choose: Mapping[str, bool]
    at_once: bool = False

    def run(self, make: MakeCommit) -> str:
        """The head that has both. make: a signed commit of mine, on one, of changed paths.

        Raises Conflict, naming every path that both changed and nobody chose for.
        """
        base = self.git.text("merge-base", self.ours, self.theirs)
        mine = history.commits(self.git, self.git.between(base, self.ours))
        changes = self.git.changes(c.id for c in mine)
        both = self._both(mine, changes)
        same = self._same(both)
        if FILE in both and self.choose.get(FILE) and FILE not in same:
            raise WrongUse(
                "the team of the others is taken",
                why="a change of the team stands on the version before it",
                fix=TAKE_TEAM,
            )
        open_ = [(p, c) for p, (_, c) in both.items() if p not in same and p not in self.choose]
        if open_:
            raise self._conflict(open_)
        times = _times(changes)
        # Of a secret that I changed several times there is more to tell than how it is now.
        once = (p for p in same if times[p] == 1 or not layout.secret_of(p))
        head, chosen = self.theirs, {**self.choose, **dict.fromkeys(once, False)}
        apart = not self.at_once or any(_changes_team(c) for c in changes.values())
        if not apart and (together := self._all(mine, changes, chosen, make)):
            return together
        for commit in mine:
            head = self._one(commit, changes[commit.id], head, chosen, make)
        return head

    def _all(
        self,
        mine: list[Commit],
        changes: dict[str, list[Entry]],
        chosen: Mapping[str, bool],
        make: MakeCommit,
    ) -> str | None:
        """All of my commits as one, which says of each what it said. None where one takes another
        back: the one would hold nothing of either, and be gone with the rest that it tells of."""
        blobs: dict[str, str | None] = {}
        for commit in mine:
            blobs |= self._of_secrets(commit, changes[commit.id], self.theirs, chosen)
        times = _times(changes)
        if any(blob is None and times[path] > 1 for path, blob in blobs.items()):
            return None
        now = self.git.tree(self.theirs)
        blobs = {p: b for p, b in blobs.items() if now.get(p) != b}
        told = [line for c in mine for line in c.message.splitlines()]
        message = "\n".join(dict.fromkeys(told))
        return make(self.theirs, blobs, message) if blobs else None

    def _theirs(self) -> set[str]:
        """The paths that they changed, without secrets that were only sealed for another team."""
        changes = self.git.changes(c.id for c in self.came)
        return {
            entry.path
            for entries in changes.values()
            for entry in entries
            if not (_changes_team(entries) and layout.secret_of(entry.path))
        }

    def _both(
        self, mine: list[Commit], changes: dict[str, list[Entry]]
    ) -> dict[str, tuple[Entry, Commit]]:
        """Paths that both changed, each with my last change of it."""
        theirs = self._theirs()
        last: dict[str, tuple[Entry, Commit]] = {}
        for commit in mine:
            entries = changes[commit.id]
            for entry in entries:
                if not (_changes_team(entries) and layout.secret_of(entry.path)):
                    last[entry.path] = (entry, commit)
        counts = (p for p in sorted(last) if p != SIGNATURE and not p.startswith(layout.OWED))
        return {p: last[p] for p in counts if p in theirs}

    def _same(self, both: Mapping[str, tuple[Entry, Commit]]) -> set[str]:
        """Those of them that are the same now, here and there."""
        there = self.git.tree(self.theirs)
        return {p for p, (e, _) in both.items() if self._is_same(p, there.get(p), _blob(e))}

    def _is_same(self, path: str, one: str | None, other: str | None) -> bool:
        secret = layout.secret_of(path)
        if one == other or not (secret and one and other):
            return one == other
        try:
            return self._content(secret, one).fields == self._content(secret, other).fields
        except DiscoError:
            return False

    def _conflict(self, conflicts: list[tuple[str, Commit]]) -> Conflict:
        by = self.git.changes(c.id for c in self.came)
        me = history.team_at(self.git, self.ours).name_of(self.own.public)
        told = []
        for path, commit in conflicts:
            other = next(
                (c for c in reversed(self.came) if any(e.path == path for e in by[c.id])), None
            )
            name = layout.secret_of(path) or path
            their = f"{other.by} at {other.at:%Y-%m-%d %H:%M:%S} UTC" if other else "somebody"
            told.append(
                f"{name}: here by {me} at {commit.at:%Y-%m-%d %H:%M:%S} UTC, there by {their}"
            )
        first = layout.secret_of(conflicts[0][0]) or conflicts[0][0]
        return Conflict(
            f"changed here and there: {first}"
            + (f" and {len(conflicts) - 1} more" if len(conflicts) > 1 else ""),
            where=str(self.git.folder),
            fix=TAKE_TEAM
            if first == FILE
            else f"choose one: disco store sync --mine {first}, or --theirs {first}",
            details=tuple(told),
            paths=tuple(p for p, _ in conflicts),
        )

    def _one(
        self,
        commit: Commit,
        changes: list[Entry],
        head: str,
        chosen: Mapping[str, bool],
        make: MakeCommit,
    ) -> str:
        """One of my commits on a new head; the head itself when nothing of it is left."""
        now = self.git.tree(head)
        if not _changes_team(changes):
            blobs = self._of_secrets(commit, changes, head, chosen)
        elif chosen.get(FILE) is False:
            return head
        else:
            blobs = self._of_team(commit, changes, head, now)
        blobs = {p: b for p, b in blobs.items() if now.get(p) != b}
        return make(head, blobs, commit.message) if blobs else head

    def _of_secrets(
        self, commit: Commit, changes: list[Entry], head: str, chosen: Mapping[str, bool]
    ) -> dict[str, str | None]:
        """What it changed, each secret sealed for who may read it now."""
        blobs = {e.path: _blob(e) for e in changes if chosen.get(e.path, True)}
        before, team = (history.team_at(self.git, c) for c in (commit.parent, head))
        for path, blob in blobs.items():
            secret = layout.secret_of(path)
            if secret and blob and team.recipients(secret) != before.recipients(secret):
                blobs[path] = self._for_them(secret, blob, team)
        return blobs

    def _of_team(
        self, commit: Commit, changes: list[Entry], head: str, now: Mapping[str, str]
    ) -> dict[str, str | None]:
        """The team as it changed, and what is there now sealed for it: a secret that they removed
        stays removed, and one that they wrote is owed when somebody leaves who could read it."""
        before, team = (history.team_at(self.git, c) for c in (head, commit.id))
        blobs = {e.path: _blob(e) for e in changes if not layout.secret_of(e.path)}
        secrets = {s: now[p] for p in now if (s := layout.secret_of(p))}
        marks = {layout.owed_of(s) for s in secrets}
        blobs = {p: b for p, b in blobs.items() if not p.startswith(layout.OWED) or p in marks}
        for secret, blob in secrets.items():
            if team.recipients(secret) == before.recipients(secret):
                continue
            blobs[layout.file_of(secret)] = self._for_them(secret, blob, team)
            if why := why_owed(before, team, secret):
                blobs.setdefault(layout.owed_of(secret), self.git.blob(mark(why)))
        return blobs

    def _content(self, secret: str, blob: str) -> Content:
        return unseal(secret, self.git.read(blob), self.own)

    def _for_them(self, secret: str, blob: str, team: Team) -> str | None:
        """The secret for who may read it now. Somebody's share of a vault's key goes with its
        holder, and is otherwise left as it is: only its holder can open it."""
        if not team.who_can_read(secret):
            return None
        holder = layout.holder_of(secret)
        if holder is not None and holder != team.name_of(self.own.public):
            return blob
        return self._resealed(secret, blob, team)

    def _resealed(self, secret: str, blob: str, team: Team) -> str:
        content = self._content(secret, blob)
        return self.git.blob(seal(secret, content, team.recipients(secret)))


def _times(changes: Mapping[str, list[Entry]]) -> Counter[str]:
    """How many of these commits change a path."""
    return Counter(e.path for entries in changes.values() for e in entries)


def why_owed(before: Team, after: Team, secret: str) -> str:
    """Why a secret has to be changed when the team does: who knows it, and may not any more. Empty
    for what nobody has to change: what DISCO keeps of runs."""
    lost = set(before.who_can_read(secret)) - set(after.who_can_read(secret))
    if not lost or layout.is_state(secret):
        return ""
    left = sorted(lost - after.members.keys())
    out = sorted(lost & after.members.keys())
    told = [f"{', '.join(left)} left the team and could read it"] if left else []
    told += [f"{', '.join(out)} could read it and may not any more"] if out else []
    return "; ".join(told)


def mark(why: str) -> bytes:
    return json.dumps({"why": why}).encode() + b"\n"


def _changes_team(changes: list[Entry]) -> bool:
    return any(e.path in TEAM_FILES for e in changes)


def _blob(entry: Entry) -> str | None:
    """What a change leaves at its path; None where it removes it."""
    return None if entry.after == ZERO else entry.after
