"""People with keys, and repositories of theirs, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from disco.store.team import keys
from disco.store.team.git import Git
from disco.store.team.keys import Own
from disco.store.team.memory import Memory
from disco.store.team.repository import Repository, begin, join
from disco.store.team.roles import Role
from disco.store.team.team import Member, Team

SECRET = "dev/db/password"
VALUE = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """Somebody's keys and clone, in a folder of their own."""

    name: str
    folder: Path
    url: str = ""

    @property
    def key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def own(self) -> Own:
        if not self.key.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            keys.make(self.key, self.name)
        return Own([self.key])

    def member(self, role: Role) -> Member:
        return Member(role=role, keys=tuple(str(k) for k in self.own.public))

    def repository(self) -> Repository:
        """As another process would open it."""
        return self.clone("store")

    def clone(self, name: str) -> Repository:
        memory = Memory(self.folder / f"{name}.json")
        newest = Memory(self.folder / "newest.json")
        return Repository(self.folder / f"{name}.git", self.own, memory, self.url, newest)


@dataclass(frozen=True)
class People:
    """A team of ana (admin), ben (operator) and eve (reader), and mallory, who is not in it."""

    top: Path

    @property
    def url(self) -> str:
        return str(self.top / "remote.git")

    def person(self, name: str) -> Person:
        return Person(name, self.top / name, self.url)

    def remote(self) -> Git:
        return Git(Path(self.url))


ROLES = {"ben": Role.OPERATOR, "eve": Role.READER}


def founded(top: Path) -> People:
    """A store with one secret at a remote, in which all three have a clone."""
    people = People(top)
    people.remote().init()
    ana = people.person("ana").repository()
    begin(ana, "acme", "ana")
    ana.write(f"Set {SECRET}", {SECRET: {"value": VALUE}})
    others = {n: people.person(n).member(role) for n, role in ROLES.items()}
    grown(ana, others)
    for name in ROLES:
        join(people.person(name).repository(), ana.memory.known.root)
    return people


def grown(repository: Repository, members: dict[str, Member]) -> Team:
    team = repository.team()
    team = team.changed(members={**team.members, **members})
    repository.change_team(team, f"Add {', '.join(members)}")
    return team
