"""My commits that nobody else has, put on top of what the others did meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from disco.engine.errors import DiscoError
from disco.store.team import history, layout
from disco.store.team.git import ZERO, Entry, Git
from disco.store.team.history import Commit
from disco.store.team.keys import Own
from disco.store.team.sealed import seal, unseal
from disco.store.team.team import FILE, SIGNATURE, Team

MakeCommit = Callable[[str, Mapping[str, str | None], str], str]
TEAM_FILES = (FILE, SIGNATURE)


@dataclass(eq=False)
class Conflict(DiscoError):
    """Both changed the same thing. paths: of the files."""

    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replay:
    """ours, theirs: heads that went apart. came: their commits that are new here, verified.

    choose: path -> True for mine, False for theirs.
    """

    git: Git
    own: Own
    ours: str
    theirs: str
    came: list[Commit]
    choose: Mapping[str, bool]

    def run(self, make: MakeCommit) -> str:
        """The head that has both. make: a signed commit of mine, on one, of changed paths.

        Raises Conflict, naming every path that both changed and nobody chose for.
        """
        base = self.git.text("merge-base", self.ours, self.theirs)
        mine = history.commits(self.git, self.git.between(base, self.ours))
        changes = self.git.changes(c.id for c in mine)
        theirs = self._theirs()
        if conflicts := list(self._conflicts(mine, changes, theirs)):
            raise self._conflict(conflicts)
        head = self.theirs
        for commit in mine:
            head = self._one(commit, changes[commit.id], head, theirs, make)
        return head

    def _theirs(self) -> set[str]:
        """The paths that they changed, without secrets that were only sealed for another team."""
        changes = self.git.changes(c.id for c in self.came)
        return {
            entry.path
            for entries in changes.values()
            for entry in entries
            if not (_changes_team(entries) and layout.secret_of(entry.path))
        }

    def _conflicts(
        self, mine: list[Commit], changes: dict[str, list[Entry]], theirs: set[str]
    ) -> Iterator[tuple[str, Commit]]:
        """Paths that both changed, to something else, with my last commit that did."""
        there = self.git.tree(self.theirs)
        last: dict[str, tuple[Entry, Commit]] = {}
        for commit in mine:
            entries = changes[commit.id]
            for entry in entries:
                if not (_changes_team(entries) and layout.secret_of(entry.path)):
                    last[entry.path] = (entry, commit)
        for path, (entry, commit) in sorted(last.items()):
            is_open = path in theirs and path not in self.choose
            counts = path != SIGNATURE and not path.startswith(layout.OWED)
            if is_open and counts and there.get(path) != _blob(entry):
                yield path, commit

    def _conflict(self, conflicts: list[tuple[str, Commit]]) -> Conflict:
        by = self.git.changes(c.id for c in self.came)
        told = []
        for path, commit in conflicts:
            other = next(
                (c for c in reversed(self.came) if any(e.path == path for e in by[c.id])), None
            )
            name = layout.secret_of(path) or path
            their = f"{other.by} at {other.at:%Y-%m-%d %H:%M:%S} UTC" if other else "somebody"
            told.append(f"{name}: here at {commit.at:%Y-%m-%d %H:%M:%S} UTC, there by {their}")
        first = layout.secret_of(conflicts[0][0]) or conflicts[0][0]
        return Conflict(
            f"changed here and there: {first}"
            + (f" and {len(conflicts) - 1} more" if len(conflicts) > 1 else ""),
            where=str(self.git.folder),
            fix=f"choose one: disco store sync --mine {first}, or --theirs {first}",
            details=tuple(told),
            paths=tuple(p for p, _ in conflicts),
        )

    def _one(
        self, commit: Commit, changes: list[Entry], head: str, theirs: set[str], make: MakeCommit
    ) -> str:
        """One of my commits on a new head; the head itself when nothing of it is left."""
        now = self.git.tree(head)
        blobs = {e.path: _blob(e) for e in changes if self.choose.get(e.path, True)}
        before = history.team_at(self.git, commit.parent)
        if _changes_team(changes):
            if self.choose.get(FILE) is False:
                return head
            team = history.team_at(self.git, commit.id)
            blobs.update({p: now[p] for p in theirs if layout.secret_of(p) and p in now})
        else:
            team = history.team_at(self.git, head)
        for path, blob in blobs.items():
            secret = layout.secret_of(path)
            if secret and blob:
                same = team.recipients(secret) == before.recipients(secret) and path not in theirs
                blobs[path] = blob if same else self._resealed(secret, blob, team)
        blobs = {p: b for p, b in blobs.items() if now.get(p) != b}
        return make(head, blobs, commit.message) if blobs else head

    def _resealed(self, secret: str, blob: str, team: Team) -> str:
        fields = unseal(secret, self.git.read(blob), self.own)
        return self.git.blob(seal(secret, fields, team.recipients(secret)))


def _changes_team(changes: list[Entry]) -> bool:
    return any(e.path in TEAM_FILES for e in changes)


def _blob(entry: Entry) -> str | None:
    """What a change leaves at its path; None where it removes it."""
    return None if entry.after == ZERO else entry.after
