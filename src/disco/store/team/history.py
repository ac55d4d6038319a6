"""Which commits are to be believed: each one by the team as it was just before it.

The chain begins at a root commit that every clone was told, and never branches. A commit is signed
by a member of the team in its parent, and changes only what that member may change.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from disco.engine.errors import DiscoError
from disco.stack.problem import StackProblems
from disco.store.team import layout
from disco.store.team.git import ZERO, Entry, Git
from disco.store.team.layout import FILE, NAMESPACE, SIGNATURE
from disco.store.team.roles import Role

if TYPE_CHECKING:
    from disco.store.team.team import Team

SIGNATURE_HEADER = b"gpgsig "
GIT_NAMESPACE = "git"
FILE_MODES = ("100644", "100755", "000000")
TEAM_FILES = (FILE, SIGNATURE)
BEGINS, ENDS = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
FIND_OUT = "find out who pushed it; nothing of the store is used until it is gone"
MAGIC = b"SSHSIG\0\0\0\1"


@dataclass(eq=False)
class Untrusted(DiscoError):
    """Something in the store that nobody who may do it has signed, or an older state of it."""


@dataclass(frozen=True)
class Commit:
    """signed: what its signature is over. by: who signed it; empty until it was verified."""

    id: str
    parents: tuple[str, ...]
    at: datetime
    message: str
    signature: bytes
    signed: bytes
    by: str = ""

    @property
    def parent(self) -> str:
        return self.parents[0] if self.parents else ZERO


def commits(git: Git, ids: Iterable[str]) -> list[Commit]:
    return [_parse(i, content) for i, _, content in git.read_all(ids)]


def _parse(name: str, content: bytes) -> Commit:
    head, _, message = content.partition(b"\n\n")
    parents, signature, kept, at = [], [], [], 0
    inside = False
    for line in head.split(b"\n"):
        if inside and line.startswith(b" "):
            signature.append(line[1:])
            continue
        inside = line.startswith(SIGNATURE_HEADER)
        if inside:
            signature.append(line.removeprefix(SIGNATURE_HEADER))
            continue
        kept.append(line)
        if line.startswith(b"parent "):
            parents.append(line.split()[1].decode())
        elif line.startswith(b"committer "):
            at = int(line.rsplit(b" ", 2)[1])
    signed = b"\n".join(kept) + b"\n\n" + message
    text = message.decode(errors="replace").strip()
    when = datetime.fromtimestamp(min(max(at, 0), 1 << 34), UTC)
    return Commit(name, tuple(parents), when, text, b"\n".join(signature), signed)


def team_at(git: Git, commit: str) -> Team:
    """As that commit has it. Raises Untrusted where it can't be read."""
    blob = git.tree(commit).get(FILE)
    if blob is None:
        raise Untrusted(f"the commit {commit[:12]} has no {FILE}", where=str(git.folder))
    return _team(git.read(blob), commit)


def _team(content: bytes, commit: str) -> Team:
    from disco.store.team.team import Team  # a moment; what was verified before needs none

    try:
        return Team.read(content, f"{FILE} in {commit[:12]}")
    except StackProblems as error:
        what, why = f"{FILE} in the commit {commit[:12]} can't be read", str(error)
        raise Untrusted(what, where=FILE, why=why, fix=FIND_OUT) from None


def verified(git: Git, old: str, new: str, root: str) -> tuple[list[Commit], Team]:
    """The commits after `old`, which was verified before, up to `new`, and the team at its end.

    old: ZERO for the whole history. Raises Untrusted at the first that can't be believed.
    """
    ids = git.between(old, new)
    found = commits(git, ids)
    changes = git.changes(ids)
    team = None if old == ZERO else team_at(git, old)
    before, believed = old, []
    for commit in found:
        if commit.parents != (() if before == ZERO else (before,)):
            raise _untrusted(
                commit, "it does not follow the commit before it", f"one parent, {before[:12]}",
                ", ".join(p[:12] for p in commit.parents) or "none",
                fix="a history that branches is not taken: whoever merged should rebase instead",
            )  # fmt: skip
        if before == ZERO and commit.id != root:
            raise _untrusted(
                commit, "the history begins with another commit than this store's", root, commit.id
            )
        team, by = _believed(git, commit, changes[commit.id], team)
        believed.append(replace(commit, by=by))
        before = commit.id
    if before != new or team is None:
        raise Untrusted(
            "the history does not lead from what was verified before to what is there now",
            where=str(git.folder),
            why=f"from {old[:12]}, to {new[:12]}",
        )
    return believed, team


def _believed(
    git: Git, commit: Commit, changes: list[Entry], before: Team | None
) -> tuple[Team, str]:
    """The team after a commit, and who signed it."""
    after = before
    touched = {e.path: e for e in changes}
    if any(path in touched for path in TEAM_FILES) or before is None:
        after = _next_team(git, commit, touched, before)
    assert after is not None
    judge = before or after
    by = signer(commit.signed, commit.signature, GIT_NAMESPACE, judge)
    if by is None:
        raise _untrusted(
            commit, "it is not signed by a member", f"one of {', '.join(sorted(judge.members))}",
            "another key's signature, or of another text" if commit.signature else "no signature",
        )  # fmt: skip
    role = judge.members[by].role
    if role is Role.READER:
        changed = changes[0].path if changes else "nothing"
        raise _untrusted(commit, f"{by} changes {changed}", "an operator or admin", "a reader")
    for entry in changes:
        _may(commit, by, judge, entry)
    if after is not before and role is not Role.ADMIN:
        raise _untrusted(commit, f"{by} changes the team", "an admin", f"{by} is {role}")
    return after, by


def _may(commit: Commit, by: str, team: Team, entry: Entry) -> None:
    if not layout.is_path(entry.path):
        raise _untrusted(
            commit, f"{entry.path[:80]!r} can't be the name of a file",
            "lower-case letters, digits and . _ -", by,
        )  # fmt: skip
    if entry.mode not in FILE_MODES:
        raise _untrusted(
            commit, f"{entry.path} is no plain file", "mode 100644", f"mode {entry.mode}"
        )
    secret = layout.secret_of(entry.path)
    gives_up = entry.after == ZERO and team.members[by].role is Role.ADMIN
    if secret and not gives_up and by not in (able := team.who_can_write(secret)):
        raise _untrusted(
            commit, f"{by} changes the secret {secret}", f"one of {', '.join(able)}", by
        )


def _next_team(git: Git, commit: Commit, touched: dict[str, Entry], before: Team | None) -> Team:
    """team.yaml after a commit that changed it or its signature; both have to fit."""
    missing = [f for f in TEAM_FILES if f not in touched or touched[f].after == ZERO]
    if missing:
        raise _untrusted(
            commit, f"{FILE} and {SIGNATURE} change together only", "both", f"not {missing[0]}"
        )
    content = git.read(touched[FILE].after)
    team = _team(content, commit.id)
    wanted = before.version + 1 if before else 1
    if team.version != wanted:
        raise _untrusted(
            commit, f"{FILE} is not the next version", f"version {wanted}", f"{team.version}"
        )
    judge = before or team
    by = signer(content, git.read(touched[SIGNATURE].after), NAMESPACE, judge)
    if by is None or judge.members[by].role is not Role.ADMIN:
        admins = [n for n, m in judge.members.items() if m.role is Role.ADMIN]
        found = f"{by}, {judge.members[by].role}" if by else "a signature by another key, or none"
        raise _untrusted(
            commit, f"{FILE} is not signed by an admin", f"one of {', '.join(admins)}", found
        )
    return team


def signer(content: bytes, signature: bytes, namespace: str, team: Team) -> str | None:
    """The member whose key made an SSH signature over content, or None."""
    from asyncssh import validate_sshsig  # takes a moment; most commands verify nothing new

    blob = _key_in(signature)
    name = team.signers().get(blob) if blob else None
    if name is None:
        return None
    keys = "".join(
        f'{name} namespaces="{namespace}" {k}\n' for k in team.members[name].public if k.signs
    )
    try:
        good = validate_sshsig(content, signature, name, keys.encode())
    except ValueError:
        good = False
    return name if good else None


def once_signed(git: Git, head: str, commit: Commit) -> str | None:
    """Who signed a commit as one who might change things, at whatever time of a verified history up
    to `head`; None for somebody who never might."""
    for version in git.text("rev-list", head, "--", FILE).split():
        team = team_at(git, version)
        by = signer(commit.signed, commit.signature, GIT_NAMESPACE, team)
        if by is not None and team.members[by].role is not Role.READER:
            return by
    return None


def _key_in(signature: bytes) -> bytes | None:
    """The public key that an armoured SSH signature says it was made with (PROTOCOL.sshsig)."""
    lines = signature.strip().split(b"\n")
    if lines[0] != BEGINS or lines[-1] != ENDS:
        return None
    try:
        blob = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error:
        return None
    if not blob.startswith(MAGIC):
        return None
    start = len(MAGIC) + 4
    return blob[start : start + int.from_bytes(blob[len(MAGIC) : start], "big")]


def _untrusted(commit: Commit, what: str, expected: str, found: str, fix: str = "") -> Untrusted:
    return Untrusted(
        f"the commit {commit.id[:12]} is refused: {what}",
        where=f"{commit.at:%Y-%m-%d %H:%M:%S} UTC, {commit.message.splitlines()[0][:80]!r}"
        if commit.message
        else commit.id,
        why=f"expected {expected}; found {found}",
        fix=fix or FIND_OUT,
    )
