"""Each check of the store is green for a good one, and red when what it asks about is broken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from forger import Forger
from people import SECRET, VALUE, People

from disco.engine.check import Answer
from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.store.checks import checks
from disco.store.store import Store
from disco.store.team.layout import file_of
from disco.store.team.repository import Repository
from disco.store.team.sealed import Content, seal


def asked(repository: Repository, name: str) -> Answer:
    found = {c.id: c for c in checks(Store(Place(Path("/nowhere/dev")), repository))}
    return asyncio.run(_ask(found[f"store/{name}"].ask()))  # type: ignore[arg-type]


async def _ask(question: object) -> Answer:
    return await question  # type: ignore[misc, no-any-return]


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("history", "3 commits signed, by ana"),
        ("recipients", "1 of 1 secrets sealed for whom the team says"),
        ("owed", "none is known to somebody who left"),
        ("shared", "is at"),
    ],
)
def test_a_good_store_is_green(people: People, name: str, evidence: str) -> None:
    answer = asked(people.person("ana").repository(), name)
    assert answer.ok and evidence in answer.evidence


def test_a_commit_of_nobodys_is_red(people: People) -> None:
    ana, forger = people.person("ana").repository(), Forger(people)
    forged = forger.commit("mallory", {file_of(SECRET): b"x"})
    ana.git.fetch(ana.url, forged, "refs/heads/main")
    with pytest.raises(DiscoError, match="refused"):
        asked(people.person("ana").repository(), "history")


def test_a_secret_sealed_for_one_too_few_is_red(people: People) -> None:
    ana = people.person("ana").repository()
    only_me = seal(SECRET, Content.of({"value": "x"}), ana.own.public)
    ana.write("Seal it for me alone", files={file_of(SECRET): only_me})
    answer = asked(ana, "recipients")
    assert not answer.ok and SECRET in answer.evidence and "not sealed for" in answer.details[0]


def test_a_secret_that_who_left_could_read_is_red_until_it_is_changed(people: People) -> None:
    ana = people.person("ana").repository()
    members = {n: m for n, m in ana.team().members.items() if n != "eve"}
    assert ana.change_team(ana.team().changed(members=members), "Remove eve") == (1, [SECRET])
    answer = asked(ana, "owed")
    assert not answer.ok and SECRET in answer.evidence and "eve left" in answer.details[0]
    ana.write("Set the same", {SECRET: {"value": VALUE}})
    assert not asked(ana, "owed").ok
    ana.write("Change it", {SECRET: {"value": "new"}})
    assert asked(ana, "owed").ok


def test_what_the_others_do_not_have_is_red(people: People) -> None:
    ana = people.person("ana").repository()
    url, ana.url = ana.url, ""
    ana.write("Offline", {"dev/a/b": {"value": "x"}})
    ana.memory.note(shared=ana.git.text("rev-parse", "refs/heads/main~1"))
    ana.url = url
    answer = asked(ana, "shared")
    assert not answer.ok and answer.evidence.startswith("1 commits are only here")


def test_a_stack_without_a_store_is_asked_nothing(tmp_path: Path) -> None:
    assert list(checks(Store(Place(tmp_path / "dev")))) == []
