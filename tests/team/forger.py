"""Commits that DISCO would not make, put where a remote's owner could put them."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from people import SECRET, People, Person

from disco.store.team.git import BRANCH, ZERO, Git
from disco.store.team.history import commits
from disco.store.team.layout import FILE, SIGNATURE, file_of
from disco.store.team.repository import sign
from disco.store.team.roles import Role
from disco.store.team.team import Team

FILE_OF = file_of(SECRET)
Contents = Mapping[str, bytes | None]


@dataclass(frozen=True)
class Forger:
    """Whoever has the remote's disk: every object and ref is theirs to write."""

    people: People

    @property
    def git(self) -> Git:
        return self.people.remote()

    @property
    def head(self) -> str:
        return self.git.ref(BRANCH)

    def person(self, name: str) -> Person:
        return self.people.person(name)

    def put(self, commit: str) -> None:
        """What `git push --force` would do."""
        self.git.run("update-ref", BRANCH, commit)

    def tree(self, contents: Contents, on: str) -> str:
        blobs = {p: None if c is None else self.git.blob(c) for p, c in contents.items()}
        return self.git.with_changes(on, blobs)

    def commit(self, by: str, contents: Contents, on: str = "", says: str = "") -> str:
        """by: whose key signs. says: whose name it has as an author."""
        on = on or self.head
        return self.of_tree(by, self.tree(contents, on), [on], says)

    def of_tree(self, by: str, tree: str, parents: Iterable[str], says: str = "") -> str:
        person = self.person(by)
        _ = person.own.public, person.own  # makes the key of who has none yet
        return self.git.commit(tree, parents, "Change it\n", says or by, person.key)

    def unsigned(self, contents: Contents) -> str:
        words = ("commit-tree", self.tree(contents, self.head), "-p", self.head)
        who = {f"GIT_{r}_{p}": "ana" for r in ("AUTHOR", "COMMITTER") for p in ("NAME", "EMAIL")}
        return self.git.run(*words, stdin=b"Change it\n", environ=who).decode().strip()

    def with_signature(self, unsigned: str, armoured: bytes) -> str:
        """A commit with a signature that was made elsewhere."""
        content = self.git.run("cat-file", "commit", unsigned)
        head, _, message = content.partition(b"\n\n")
        lines = armoured.strip().split(b"\n")
        header = b"\ngpgsig " + b"\n ".join(lines)
        words = ("hash-object", "-t", "commit", "-w", "--stdin")
        return self.git.run(*words, stdin=head + header + b"\n\n" + message).decode().strip()

    def signature_of(self, commit: str) -> bytes:
        return commits(self.git, [commit])[0].signature

    def raw_tree(self, *entries: tuple[str, str, str]) -> str:
        """(mode, name, object): any names, in any order, as `mktree` would not write them."""
        content = b"".join(
            f"{mode} {name}\0".encode() + bytes.fromhex(i) for mode, name, i in entries
        )
        words = ("hash-object", "-t", "tree", "-w", "--stdin", "--literally")
        return self.git.run(*words, stdin=content).decode().strip()

    # --- the team

    def team(self) -> Team:
        return Team.read(self.git.read(self.git.tree(self.head)[FILE]), FILE)

    def with_mallory(self, version: int | None = None) -> Team:
        """The team, with one more who can read everything."""
        member = self.person("mallory").member(Role.OPERATOR)
        team = self.team()
        grown = team.changed(members={**team.members, "mallory": member})
        return grown if version is None else grown.model_copy(update={"version": version})

    def signed_team(self, by: str, team: Team) -> dict[str, bytes | None]:
        content = team.text()
        return {FILE: content, SIGNATURE: sign(content, self.person(by).key)}

    def now(self, path: str) -> bytes:
        return self.git.read(self.git.tree(self.head)[path])


def signed_in(namespace: str, key: Path, content: bytes) -> bytes:
    """An SSH signature of somebody who was made to sign for something else."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "content"
        file.write_bytes(content)
        words = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), str(file)]
        subprocess.run(words, check=True, capture_output=True)
        return file.with_name("content.sig").read_bytes()


def other_hash(armoured: bytes) -> bytes:
    """The same signature, saying that it is over another hash of the text."""
    lines = armoured.strip().split(b"\n")
    blob = base64.b64decode(b"".join(lines[1:-1])).replace(b"\0\0\0\6sha512", b"\0\0\0\3md5")
    return b"\n".join([lines[0], base64.b64encode(blob), lines[-1]])


__all__ = ["FILE_OF", "ZERO", "Contents", "Forger", "other_hash", "signed_in"]
