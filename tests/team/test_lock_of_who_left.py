"""Whose lock counts: of members who may change things, and of nobody who may not any more."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from people import People, founded, grown

from disco.store.team.history import Untrusted
from disco.store.team.remote_lock import TAKEN, Note, TeamLock
from disco.store.team.roles import Role


@pytest.fixture
def people(tmp_path: Path) -> People:
    return founded(tmp_path)


def lock_of(people: People, name: str) -> TeamLock:
    repository = people.person(name).repository()
    repository.sync()
    return TeamLock(repository, "dev")


def without(people: People, name: str, role: Role | None = None) -> None:
    """A member leaves, or has another role from now on."""
    ana = people.person("ana").repository()
    ana.sync()
    if role:
        grown(ana, {name: ana.team().members[name].model_copy(update={"role": role})})
        return
    team = ana.team()
    rest = {n: m for n, m in team.members.items() if n != name}
    ana.change_team(team.changed(members=rest), f"Remove {name}")


def pushed(people: People, name: str, token: int) -> None:
    """Somebody says that they have the lock, whoever they are."""
    at = lock_of(people, "ana")
    git, ref = people.person("ana").repository().git, "refs/disco/lock/dev"
    on = at._fetch()
    note = {k: v for k, v in asdict(Note(TAKEN, name, "x", 1, 0.0, token)).items() if k not in
            ("by", "commit")}  # fmt: skip
    person = people.person(name)
    assert person.own.public
    tree = git.run("mktree").decode().strip()
    text = f"taken\n\n{json.dumps(note)}\n"
    commit = git.commit(tree, [on] if int(on, 16) else [], text, name, person.key)
    git.push(people.url, commit, ref)


@pytest.mark.parametrize("role", [None, Role.READER])
def test_who_had_it_last_and_may_not_any_more_stops_nobody(
    people: People, role: Role | None
) -> None:
    with lock_of(people, "ben").hold("up") as held:
        token = held.token
    without(people, "ben", role)
    lock = lock_of(people, "ana")
    last = lock.last_holder()
    assert last is not None and not last.alive
    with lock.hold("apply") as mine:
        assert mine.token == token + 1
    assert [note.act for note in lock.acts()][:2] == ["released", "taken"]


def test_who_left_while_they_had_it_holds_it_no_more(people: People) -> None:
    with lock_of(people, "ben").hold("up"):
        without(people, "ben")
        with lock_of(people, "ana").hold("apply") as mine:
            assert mine.token == 2


def test_a_lock_of_somebody_who_never_might_is_refused(people: People) -> None:
    with lock_of(people, "ana").hold("up"):
        pass
    for stranger in ("mallory", "eve"):
        pushed(people, stranger, 7)
        with (
            pytest.raises(Untrusted, match="no member who may change things signed it"),
            lock_of(people, "ana").hold("apply"),
        ):
            pass
