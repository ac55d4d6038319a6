"""A verified repository: what is read was believed commit by commit, what is written is signed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from disco.engine.errors import DiscoError, NotThere, WrongUse
from disco.store.team import history, layout
from disco.store.team.git import BRANCH, FETCHED, ZERO, Git, Rejected
from disco.store.team.history import Commit, Untrusted
from disco.store.team.keys import Own
from disco.store.team.layout import FILE, NAMESPACE, SIGNATURE
from disco.store.team.memory import Memory
from disco.store.team.replay import Replay, mark, why_owed
from disco.store.team.roles import Role
from disco.store.team.sealed import Content, seal, unseal, wrong_recipients

if TYPE_CHECKING:
    from disco.store.team.team import Team

PATIENCE_S = 180.0  # while the others go on, each before me
STUCK = 20  # attempts while nobody does: something is wrong with the remote
AT_ONCE_AFTER = 4  # attempts: who has much to put on top would be second for ever
PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
KEYGEN_S = 60


@dataclass(frozen=True)
class Synced:
    """Commits that came and went. online: whether there is a remote at all."""

    pulled: int = 0
    pushed: int = 0
    online: bool = True


class _Tries:
    """Pushes that were rejected, each because somebody else was first, or so it looks."""

    def __init__(self) -> None:
        self.count = self.stuck = 0
        self.theirs = ""
        self.ends = time.monotonic() + PATIENCE_S

    def again(self, theirs: str, rejected: Rejected, url: str) -> None:
        """Wait a moment, each time a longer one. theirs: where the remote was before this push.
        Raises DiscoError when there were enough."""
        self.stuck = 0 if theirs != self.theirs else self.stuck + 1
        self.theirs, self.count = theirs, self.count + 1
        if self.stuck >= STUCK or time.monotonic() > self.ends:
            raise DiscoError(
                "the remote takes nothing" if self.stuck else "the others were always first",
                where=url,
                why=f"{self.count} attempts to push; the last one: {rejected}",
                fix="what was changed here is kept; try again: disco store sync",
            )
        pause = min(PAUSE_S * 2 ** min(self.count, 10), LONGEST_PAUSE_S)
        time.sleep(pause * random.uniform(0.5, 1.5))


class Repository:
    """url: of the remote; empty for a store of this machine alone.

    memory: of this clone. newest: of every clone that this account has of the same store.
    """

    def __init__(
        self, folder: Path, own: Own, memory: Memory, url: str = "", newest: Memory | None = None
    ) -> None:
        self.git, self.own, self.memory, self.url = Git(folder), own, memory, url
        self.newest = newest or memory
        self._team: tuple[str, Team] | None = None
        self._tree: tuple[str, dict[str, str]] | None = None

    # --- reading

    @property
    def is_there(self) -> bool:
        return self.memory.known.verified != ZERO

    def begin(self) -> None:
        """A team's store is there, or it was never joined."""
        if not self.is_there:
            raise WrongUse("there is no store here", fix="disco store join URL")

    def files(self) -> Iterable[str]:
        """Every path; secrets, too."""
        return self.tree()

    def head(self) -> str:
        """The newest commit here, verified. Raises Untrusted."""
        known, head = self.memory.known, self.git.ref(BRANCH)
        if head == known.verified and head != ZERO:
            return head
        if head == ZERO:
            raise Untrusted(
                "the store's history is gone",
                where=str(self.git.folder),
                why=f"{known.verified[:12]} was there before",
                fix="restore the folder from a backup, or join again: disco store join URL",
            )
        old = self.must_have(known.shared, head)
        if head != known.upcoming:  # else a replay that was killed after it had moved the branch
            self.must_have(known.verified, head)
        history.verified(self.git, old, head, known.root)
        self.memory.note(verified=head, **({} if self.url else {"shared": head}))
        return head

    def must_have(self, shared: str, head: str) -> str:
        """What was seen before is a part of what is there now."""
        if shared == ZERO:
            return ZERO
        if not self.git.is_ancestor(shared, head):
            raise Untrusted(
                "the store is older than what this machine has seen of it, or another one",
                where=self.url or str(self.git.folder),
                why=f"expected a history with the commit {shared[:12]}; found {head[:12]}, "
                "which does not have it",
                fix="ask who put it back: nothing is read from it, and nothing is written",
            )
        return shared

    def team(self) -> Team:
        head = self.head()
        if self._team is None or self._team[0] != head:
            self._team = (head, history.team_at(self.git, head))
        return self._team[1]

    def tree(self) -> dict[str, str]:
        """Path -> blob, of everything that is there now."""
        head = self.head()
        if self._tree is None or self._tree[0] != head:
            self._tree = (head, self.git.tree(head))
        return self._tree[1]

    def secrets(self) -> list[str]:
        """STACK/COMPONENT/NAME of each; nothing is opened."""
        found = (layout.secret_of(p) for p in self.tree())
        return sorted(s for s in found if s)

    def content(self, secret: str) -> Content:
        """Raises NotThere; DiscoError for one that can't be opened or was tampered with."""
        sealed = self._must_be_there(secret)
        try:
            return unseal(secret, sealed, self.own)
        except DiscoError:
            able = self.team().who_can_read(secret)
            if self.team().name_of(self.own.public) in able:
                raise
        raise WrongUse(
            f"the secret {secret} is not for you",
            where=", ".join(str(p) for p in self.own.files),
            why=f"{', '.join(able)} may read it",
        )

    def _opened(self, secret: str) -> Content | None:
        """None for what is not there or can't be opened: whatever is written is another value."""
        try:
            return self.content(secret) if layout.file_of(secret) in self.tree() else None
        except DiscoError:
            return None

    def fields(self, secret: str) -> dict[str, str]:
        """The same without its version."""
        return dict(self.content(secret).fields)

    def contents(self, secrets: Iterable[str]) -> dict[str, Content]:
        """Of those among them that I may read, by one process."""
        tree, team = self.tree(), self.team()
        me = team.name_of(self.own.public)
        wanted = [s for s in secrets if me in team.who_can_read(s)]
        blobs = [tree[layout.file_of(s)] for s in wanted]
        sealed = {i: c for i, _, c in self.git.read_all(blobs)}
        return {s: unseal(s, sealed[b], self.own) for s, b in zip(wanted, blobs, strict=True)}

    def _must_be_there(self, secret: str) -> bytes:
        content = self.file(layout.file_of(secret))
        if content is None:
            raise NotThere(
                f"there is no secret {secret}", fix="disco secrets list names those that are there"
            )
        return content

    def file(self, path: str) -> bytes | None:
        blob = self.tree().get(path)
        return None if blob is None else self.git.read(blob)

    def agreed(self, path: str, *, ask: bool) -> bytes | None:
        """A file as the remote has it, as far as is known; where there is none, as it is here.

        ask: the remote, now. Raises Conflict where both changed it; DiscoError where it is away.
        """
        if ask:
            self.sync()
        head, shared = self.head(), self.memory.known.shared
        if not self.url or head == shared:
            return self.file(path)
        blob = None if shared == ZERO else self.git.tree(shared).get(path)
        return None if blob is None else self.git.read(blob)

    def me(self) -> str:
        """My name in the team. Raises WrongUse for somebody who is not in it."""
        name = self.team().name_of(self.own.public)
        if name is None:
            raise WrongUse(
                "none of the keys here is a member's",
                where=", ".join(str(p) for p in self.own.files),
                fix="have an admin add one: disco team add NAME --key KEY",
            )
        return name

    # --- writing

    def write(
        self,
        message: str,
        secrets: Mapping[str, Content | Mapping[str, str] | None] | None = None,
        files: Mapping[str, bytes | None] | None = None,
        pays: bool = True,
    ) -> None:
        """One commit, here and, where there is a remote, there. None removes.

        A secret that gets another value has another version, and is not owed any more if this pays.
        Raises DiscoError when it is here, and could not be shared.
        """
        with self.git.writing():
            team = self.team()
            contents: dict[str, bytes | None] = dict(files or {})
            for secret, new in (secrets or {}).items():
                before, to = self._opened(secret), team.recipients(secret)
                if new is not None and not to:
                    raise WrongUse(f"nobody could read the secret {secret}", where=team.team)
                content = Content.of(new, before) if isinstance(new, Mapping) else new
                sealed = None if content is None else seal(secret, content, to)
                contents[layout.file_of(secret)] = sealed
                is_same = content and before and before.fields == content.fields
                if content is None or (pays and not is_same):
                    contents[layout.owed_of(secret)] = None
            self._commit(contents, message)
        if self.url:
            self.sync()

    def change_team(self, team: Team, message: str) -> tuple[int, list[str]]:
        """The team's next version, with every secret sealed for whom it names now: one commit, or
        none. Returns how many were sealed anew, and those that somebody has to change, because
        somebody could read them and may not any more. A share of a vault's key goes with its
        holder; for other keys, only its holder can seal it."""
        with self.git.writing():
            before = self.team()
            if before.members[self.me()].role is not Role.ADMIN:
                raise WrongUse("only an admin changes the team", where=self.me())
            changed = [s for s in self.secrets() if team.recipients(s) != before.recipients(s)]
            left = [s for s in changed if not team.who_can_read(s)]
            mine = [s for s in changed if layout.holder_of(s) in (None, self.me())]
            files = map(layout.file_of, mine)
            self._may_write(before, self.me(), dict.fromkeys(files, "sealed anew"))
            text = team.text()
            signature = sign(text, self._writer(before)[1])
            contents: dict[str, bytes | None] = {FILE: text, SIGNATURE: signature}
            for secret, content in self.contents(set(mine) - set(left)).items():
                contents[layout.file_of(secret)] = seal(secret, content, team.recipients(secret))
            contents |= dict.fromkeys(map(layout.file_of, left))
            owed = {s: why for s in changed if (why := why_owed(before, team, s))}
            contents |= {layout.owed_of(s): mark(why) for s, why in owed.items()}
            self._commit(contents, message)
        if self.url:
            self.sync()
        return len(set(mine) - set(left)), sorted(owed)

    def _signs_as(self, team: Team) -> tuple[str | None, Path | None]:
        name = team.name_of(self.own.public)
        return (name, self.own.signs_as(team.members[name].public)) if name else (None, None)

    def signs(self) -> tuple[str, Path]:
        """My name and the key that signs as it. Raises WrongUse for who may not change things."""
        return self._writer(self.team())

    def _writer(self, team: Team) -> tuple[str, Path]:
        name, key = self._signs_as(team)
        if name is None:
            raise WrongUse("you are not in the team", where=str(self.git.folder))
        if team.members[name].role is Role.READER or key is None:
            raise WrongUse(
                f"{name} may read the store, not change it",
                why="a reader's commit would be refused by everybody"
                if key
                else "no key here signs as that member",
                fix="have an admin change the role: disco team add NAME --role operator",
            )
        return name, key

    def _commit(self, contents: Mapping[str, bytes | None], message: str) -> str:
        """On what is here now, under the writers' lock."""
        head = self.head()
        written = {p: c for p, c in contents.items() if c is not None}
        blobs = dict(zip(written, self.git.blobs(list(written.values())), strict=True))
        now = self.tree()
        changes = {p: blobs.get(p) for p in contents if now.get(p) != blobs.get(p)}
        if not changes:
            return head
        commit = self._commit_blobs(head, changes, message)
        self._move(head, commit)
        return commit

    def _move(self, was: str, to: str) -> None:
        self.memory.note(upcoming=to)
        if not self.git.move(BRANCH, to, was):
            raise DiscoError("somebody else wrote to the store just now", fix="try again")
        self.memory.note(verified=to, **({} if self.url else {"shared": to}))

    def _commit_blobs(self, on: str, blobs: Mapping[str, str | None], message: str) -> str:
        """A commit of mine that changes these paths of another one."""
        team = history.team_at(self.git, on)
        name, key = self._writer(team)
        self._may_write(team, name, blobs)
        self._has_room(on, blobs)
        tree = self.git.with_changes(on, blobs)
        return self.git.commit(tree, [on], f"{message}\n", name, key)

    def _may_write(self, team: Team, name: str, blobs: Mapping[str, str | None]) -> None:
        """Who may read a secret may change it; an admin may give up any: remove it, that is."""
        is_admin = team.members[name].role is Role.ADMIN
        for path, blob in blobs.items():
            secret = layout.secret_of(path)
            if not secret or (blob is None and is_admin):
                continue
            if name not in (able := team.who_can_write(secret)):
                short = secret.partition("/")[2]
                may = "read" if able == team.who_can_read(secret) else "write"
                raise WrongUse(
                    f"{name} may not change the secret {secret}",
                    why=f"only {', '.join(able) or 'nobody'} may {may} it",
                    fix=f"ask one of them for its value; disco secrets forget {short} gives it up, "
                    "and it can be set again"
                    if is_admin
                    else "",
                )

    def _has_room(self, on: str, blobs: Mapping[str, str | None]) -> None:
        """git takes a file away, without a word, for a folder in its place."""
        added = [p for p, blob in blobs.items() if blob and not layout.secret_of(p)]
        if not any(p.startswith(layout.KEPT) for p in added):
            return
        left = [p for p in self.git.tree(on) if p not in blobs]
        if both := layout.nested([*left, *added]):
            raise WrongUse(
                f"{both[1]} can't be file and folder at once",
                why=f"there are to be {both[1]} and {both[0]}",
                fix="keep it under another name",
            )

    # --- the others

    def sync(self, choose: Mapping[str, bool] | None = None) -> Synced:
        """Take what the others did, and give them what was done here. Compare and swap: when
        somebody was first, mine is put on top of theirs.

        choose: of a path that both changed, True for mine and False for theirs.
        Raises Conflict, Untrusted; DiscoError when the remote can't be reached.
        """
        if not self.url:
            return Synced(online=False)
        with self.git.writing():
            pulled, tries = 0, _Tries()
            while True:
                seen = self.newest.known.shared  # before the fetch: other clones go on after it
                self.git.fetch(self.url, BRANCH, FETCHED)
                theirs = self.git.ref(FETCHED)
                at_once = tries.count >= AT_ONCE_AFTER
                pulled += self._take(theirs, seen, choose or {}, at_once)
                ours = self.head()
                if ours == theirs:
                    self.shared(ours)
                    return Synced(pulled)
                pushed = len(self.git.between(theirs, ours))
                try:
                    self.git.push(self.url, ours, BRANCH)
                except Rejected as rejected:
                    tries.again(theirs, rejected, self.url)
                    continue
                self.shared(ours)
                return Synced(pulled, pushed)

    def shared(self, head: str) -> None:
        """Remember that the remote has it."""
        self.memory.note(shared=head)
        if self.git.is_ancestor(self.newest.known.shared, head):
            self.newest.note(shared=head)

    def _take(self, theirs: str, seen: str, choose: Mapping[str, bool], at_once: bool) -> int:
        """Bring the branch here up to the remote's, what is only here on top. How many came.

        seen: what this account had seen of it before it was asked. at_once: mine as one commit.
        """
        known = self.memory.known
        if theirs == ZERO:
            if known.shared != ZERO:
                raise Untrusted(
                    "the remote is empty, and was not before",
                    where=self.url,
                    why=f"expected a history with {known.shared[:12]}",
                    fix="ask who removed it; this clone has all of it",
                )
            return 0
        if theirs == seen == known.shared == self.head():
            return 0
        self.must_have(seen, theirs)
        old = self.must_have(known.shared, theirs)
        came, _ = history.verified(self.git, old, theirs, known.root)
        ours = self.head()
        if self.git.is_ancestor(theirs, ours):
            return len(came)
        new = theirs
        if not self.git.is_ancestor(ours, theirs):
            new = self._replayed(ours, theirs, came, choose, at_once)
            history.verified(self.git, theirs, new, known.root) if new != theirs else None
        self._move(ours, new)
        self.memory.note(shared=theirs)
        return len(came)

    def _replayed(
        self,
        ours: str,
        theirs: str,
        came: list[Commit],
        choose: Mapping[str, bool],
        at_once: bool,
    ) -> str:
        """What is only here, commit by commit or all at once, on top of theirs."""
        new = set(self.git.between(ours, theirs))
        came = [c for c in came if c.id in new]
        replay = Replay(self.git, self.own, ours, theirs, came, choose, at_once)
        return replay.run(self._commit_blobs)

    # --- looking at all of it

    def log(self) -> list[Commit]:
        """Every commit, newest first, each with who signed it: the whole history is verified."""
        root = self.memory.known.root
        return history.verified(self.git, ZERO, self.head(), root)[0][::-1]

    def wrong(self) -> dict[str, str]:
        """Path -> what is wrong with it: sealed for others than the team says."""
        team, tree = self.team(), self.tree()
        secrets = self.secrets()
        contents = self.git.read_all(tree[layout.file_of(s)] for s in secrets)
        found = {}
        for secret, (_, _, content) in zip(secrets, contents, strict=True):
            if why := wrong_recipients(content, team.recipients(secret)):
                found[secret] = why
        return found

    def owed(self) -> dict[str, str]:
        """Secret -> why it has to be changed."""
        owed = {s: blob for p, blob in self.tree().items() if (s := layout.owing(p))}
        contents = self.git.read_all(owed.values())
        return {
            secret: _why(content) for secret, (_, _, content) in zip(owed, contents, strict=True)
        }


def _why(mark: bytes) -> str:
    """Any operator can write one, so that it may hold anything."""
    try:
        return str(json.loads(mark)["why"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "it is marked so"


def begin(repository: Repository, team: str, member: str) -> None:
    """Begin a store: its root commit, signed by its first admin, who is alone in it. A beginning
    that was cut off is begun again."""
    from disco.store.team.team import Member, Team

    keys = tuple(str(k) for k in repository.own.public)
    admin = Member(role=Role.ADMIN, keys=keys)
    first = Team(team=team, version=1, members={member: admin})
    key = repository.own.signs_as(admin.public)
    assert key is not None
    git, memory = repository.git, repository.memory
    git.init()
    with git.writing():
        if memory.known.verified != ZERO:
            raise WrongUse("there is a store already", where=str(git.folder))
        content = first.text()
        blobs = git.blobs([content, sign(content, key)])
        tree = git.with_changes(ZERO, dict(zip((FILE, SIGNATURE), blobs, strict=True)))
        root = git.commit(tree, [], f"Begin the store of {team}\n", member, key)
        memory.note(root=root)
        git.move(BRANCH, root, git.ref(BRANCH))
        memory.note(verified=root, **({} if repository.url else {"shared": root}))


def join(repository: Repository, root: str) -> None:
    """Take a team's store from its remote, if its history begins with this commit."""
    git = repository.git
    git.init()
    seen = repository.newest.known.shared
    git.fetch(repository.url, BRANCH, FETCHED)
    head = git.ref(FETCHED)
    if head == ZERO:
        raise WrongUse("there is no store yet", where=repository.url, fix="disco team init")
    history.verified(git, ZERO, head, root)
    repository.must_have(seen, head)
    repository.memory.note(root=root)
    repository.shared(head)
    git.move(BRANCH, head, git.ref(BRANCH))
    repository.memory.note(verified=head)


def sign(content: bytes, key: Path) -> bytes:
    """An SSH signature over content, by ssh-keygen: it knows agents and hardware keys."""
    with TemporaryDirectory(prefix="disco-sign-") as folder:
        file = Path(folder) / FILE
        file.write_bytes(content)
        words = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(file)]
        done = subprocess.run(words, capture_output=True, timeout=KEYGEN_S)
        if done.returncode != 0:
            raise DiscoError(
                "the key did not sign",
                where=str(key),
                why=done.stderr.decode(errors="replace")[-300:],
            )
        return file.with_name(f"{FILE}.sig").read_bytes()
