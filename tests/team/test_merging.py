"""Two at once: what one does not lose, whoever is first, and who can read it after."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from forger import FILE_OF, Forger
from people import SECRET, VALUE, People, grown

from disco.engine.errors import DiscoError, NotThere, WrongUse
from disco.store.team.git import BRANCH, Git
from disco.store.team.history import Untrusted
from disco.store.team.layout import FILE, file_of, owed_of
from disco.store.team.replay import Conflict
from disco.store.team.repository import Repository
from disco.store.team.roles import Role
from disco.store.team.sealed import wrong_recipients
from disco.store.team.team import Team

MINE, THEIRS = {"value": "mine"}, {"value": "theirs"}


@pytest.fixture
def ana(people: People) -> Repository:
    return people.person("ana").repository()


@pytest.fixture
def ben(people: People) -> Repository:
    return people.person("ben").repository()


def offline(repository: Repository, change: Callable[[], object]) -> None:
    """A change while the remote is away; it is here, and that is told."""
    url, repository.url = repository.url, repository.url + ".away"
    with pytest.raises(DiscoError, match="the store's remote can't be used"):
        change()
    repository.url = url


def writes(repository: Repository, secret: str, fields: dict[str, str] | None) -> None:
    offline(repository, lambda: repository.write(f"Set {secret}", {secret: fields}))


def without(team: Team, name: str, **more: object) -> Team:
    return team.changed(members={n: m for n, m in team.members.items() if n != name}, **more)


def newest(people: People) -> Repository:
    """As ana has it after a sync; everything in it is right."""
    ana = people.person("ana").repository()
    ana.sync()
    assert ana.wrong() == {}
    assert ana.head() == people.remote().ref(BRANCH)
    assert no_empty_commits(ana)
    return ana


def no_empty_commits(repository: Repository) -> bool:
    changes = repository.git.changes(c.id for c in repository.log())
    return all(changes.values())


def test_a_version_outlives_whoever_it_is_sealed_for(people: People, ana: Repository) -> None:
    """Nothing starts anew because somebody left."""
    before = ana.content(SECRET).version
    ana.change_team(without(ana.team(), "ben"), "Take ben out")
    assert ana.content(SECRET).version == before
    ana.write("Set it", {SECRET: MINE})
    assert ana.content(SECRET).version != before


def test_different_secrets_meet_by_themselves(
    people: People, ana: Repository, ben: Repository
) -> None:
    ben.write("Set one", {"dev/db/one": THEIRS})
    ana.write("Set two", {"dev/db/two": MINE})
    ben.sync()
    for each in (ana, ben):
        assert each.fields("dev/db/one") == THEIRS
        assert each.fields("dev/db/two") == MINE
    assert ana.head() == ben.head()
    assert [(c.by, c.message) for c in newest(people).log()[:2]] == [
        ("ana", "Set two"),
        ("ben", "Set one"),
    ]


def test_offline_one_reads_and_writes_and_shares_it_later(people: People, ben: Repository) -> None:
    writes(ben, "dev/db/one", MINE)
    writes(ben, "dev/db/two", MINE)
    assert ben.fields("dev/db/one") == MINE
    assert ben.fields(SECRET) == {"value": VALUE}
    synced = ben.sync()
    assert (synced.pulled, synced.pushed) == (0, 2)
    assert newest(people).fields("dev/db/two") == MINE


def test_the_same_secret_is_a_conflict_that_names_both_and_loses_nothing(
    people: People, ana: Repository, ben: Repository
) -> None:
    ben.write("Set it", {SECRET: THEIRS})
    with pytest.raises(Conflict, match=f"changed here and there: {SECRET}") as caught:
        ana.write("Set it", {SECRET: MINE})
    assert caught.value.paths == (FILE_OF,)
    assert f"--mine {SECRET}" in caught.value.fix
    (line,) = caught.value.details
    assert f"{SECRET}: here by ana at " in line
    assert ", there by ben at " in line
    assert ana.fields(SECRET) == MINE
    with pytest.raises(Conflict):
        ana.sync()
    ben.sync()
    assert ben.fields(SECRET) == THEIRS


@pytest.mark.parametrize(("mine", "left"), [(True, MINE), (False, THEIRS)])
def test_one_chooses_and_the_other_value_stays_in_the_history(
    people: People, ana: Repository, ben: Repository, mine: bool, left: dict[str, str]
) -> None:
    ben.write("Set it", {SECRET: THEIRS})
    writes(ana, SECRET, MINE)
    writes(ana, "dev/db/other", MINE)
    ana.sync({FILE_OF: mine})
    ben.sync()
    assert ana.fields(SECRET) == ben.fields(SECRET) == left
    assert ben.fields("dev/db/other") == MINE
    blobs = [e.after for es in ben.git.changes(c.id for c in ben.log()).values() for e in es
             if e.path == FILE_OF]  # fmt: skip
    assert len(blobs) == (4 if mine else 3)  # set, sealed for ben and eve, theirs, and mine
    newest(people)


@pytest.mark.parametrize("mine", [True, False])
def test_removed_here_and_changed_there_is_a_conflict(
    people: People, ana: Repository, ben: Repository, mine: bool
) -> None:
    ben.write("Set it", {SECRET: THEIRS})
    writes(ana, SECRET, None)
    with pytest.raises(Conflict):
        ana.sync()
    ana.sync({FILE_OF: mine})
    ben.sync()
    assert (SECRET not in ben.secrets()) is mine


def test_the_same_value_on_both_sides_is_no_conflict(
    people: People, ana: Repository, ben: Repository
) -> None:
    """Two who both took a new password over from elsewhere."""
    ben.write("Set it", {SECRET: MINE})
    head = ben.head()
    ana.write("Set it", {SECRET: MINE})
    assert newest(people).head() == head
    ben.write("Remove it", {SECRET: None})
    writes(ana, SECRET, None)
    ana.sync()
    assert SECRET not in newest(people).secrets()


def test_what_was_pushed_before_a_kill_is_no_conflict_with_oneself(
    people: People, ana: Repository, ben: Repository
) -> None:
    """Killed after the push, before it was noted."""
    before = ana.memory.path.read_bytes()
    ana.write("Set it", {SECRET: {"value": "first"}})
    ana.memory.path.write_bytes(before)
    ben.write("Set another", {"dev/db/other": THEIRS})
    writes(ana, SECRET, {"value": "second"})
    ana.sync()
    assert newest(people).fields(SECRET) == {"value": "second"}


def test_what_is_there_already_makes_no_commit(people: People, ana: Repository) -> None:
    ana.write("Keep it", files={"kept/dev/genesis.json": b"{}"})
    head = ana.head()
    ana.write("Keep it", files={"kept/dev/genesis.json": b"{}"})
    ana.write("Forget it", {"dev/db/none": None}, {"kept/dev/none": None})
    assert ana.head() == head
    newest(people)


# --- a team that changes meanwhile


def add_mia(people: People, repository: Repository) -> None:
    grown(repository, {"mia": people.person("mia").member(Role.READER)})


def remove_eve(repository: Repository) -> None:
    repository.change_team(without(repository.team(), "eve"), "Remove eve")


def is_sealed_for(repository: Repository, secret: str, names: set[str], people: People) -> None:
    content = repository.file(file_of(secret))
    assert content
    keys = [k for n in sorted(names) for k in people.person(n).own.public]
    assert wrong_recipients(content, keys) == ""


@pytest.mark.parametrize("team_first", [True, False])
def test_a_secret_is_sealed_for_who_came_meanwhile(
    people: People, ana: Repository, ben: Repository, team_first: bool
) -> None:
    if team_first:
        writes(ben, "dev/db/new", MINE)
        add_mia(people, ana)
        ben.sync()
    else:
        offline(ana, lambda: add_mia(people, ana))
        ben.write("Set it", {"dev/db/new": MINE})
        ben.write("Set it", {SECRET: THEIRS})
        ana.sync()
    now = newest(people)
    is_sealed_for(now, "dev/db/new", {"ana", "ben", "eve", "mia"}, people)
    is_sealed_for(now, SECRET, {"ana", "ben", "eve", "mia"}, people)
    assert now.fields(SECRET) == ({"value": VALUE} if team_first else THEIRS)


@pytest.mark.parametrize("team_first", [True, False])
def test_a_secret_is_never_sealed_for_who_left_meanwhile(
    people: People, ana: Repository, ben: Repository, team_first: bool
) -> None:
    if team_first:
        writes(ben, "dev/db/new", MINE)
        remove_eve(ana)
        ben.sync()
    else:
        offline(ana, lambda: remove_eve(ana))
        ben.write("Set it", {"dev/db/new": MINE})
        ana.sync()
    now = newest(people)
    is_sealed_for(now, "dev/db/new", {"ana", "ben"}, people)
    is_sealed_for(now, SECRET, {"ana", "ben"}, people)
    eve = people.person("eve").own.public[0].stanza[1].encode()
    last = now.git.changes([c.id for c in now.log() if c.message == "Set it"])
    for entry in (e for entries in last.values() for e in entries):
        if team_first and entry.path.endswith(".age"):
            assert eve not in now.git.read(entry.after)


def test_what_was_written_before_a_leaving_is_owed_too(
    people: People, ana: Repository, ben: Repository
) -> None:
    """eve could read it at the remote, until it was sealed anew."""
    offline(ana, lambda: remove_eve(ana))
    ben.write("Set it", {"dev/db/new": MINE})
    ana.sync()
    why = "eve left the team and could read it"
    assert newest(people).owed() == {SECRET: why, "dev/db/new": why}


def test_what_was_removed_meanwhile_stays_removed(
    people: People, ana: Repository, ben: Repository
) -> None:
    offline(ana, lambda: remove_eve(ana))
    ben.write("Remove it", {SECRET: None})
    ana.sync()
    now = newest(people)
    assert (now.secrets(), now.owed()) == ([], {})


def test_an_admin_changes_the_team_beside_a_secret_that_others_alone_may_read(
    people: People, ana: Repository, ben: Repository
) -> None:
    ana.change_team(ana.team().changed(access={"ben/*": ("ben",)}), "Let ben have his own")
    ben.sync()
    offline(ana, lambda: add_mia(people, ana))
    ben.write("Set it", {"ben/own/key": MINE})
    ana.sync()
    now = newest(people)
    is_sealed_for(now, "ben/own/key", {"ben"}, people)
    is_sealed_for(now, SECRET, {"ana", "ben", "eve", "mia"}, people)


def test_two_changes_of_the_team_are_a_conflict_and_theirs_is_taken(
    people: People, ana: Repository, ben: Repository
) -> None:
    grown(ana, {"ben": people.person("ben").member(Role.ADMIN)})
    ben.sync()
    offline(ben, lambda: remove_eve(ben))
    writes(ben, "dev/db/new", MINE)
    add_mia(people, ana)
    with pytest.raises(Conflict, match=f"changed here and there: {FILE}") as caught:
        ben.sync()
    assert f"--theirs {FILE}" in caught.value.fix
    assert "--mine" not in caught.value.fix
    with pytest.raises(WrongUse, match="the team of the others is taken"):
        ben.sync({FILE: True})
    ben.sync({FILE: False})
    now = newest(people)
    assert set(now.team().members) == {"ana", "ben", "eve", "mia"}
    assert now.owed() == {}
    for secret in (SECRET, "dev/db/new"):
        is_sealed_for(now, secret, {"ana", "ben", "eve", "mia"}, people)


def test_what_one_who_was_removed_did_offline_is_not_taken(
    people: People, ana: Repository, ben: Repository
) -> None:
    writes(ben, "dev/db/new", MINE)
    ana.change_team(without(ana.team(), "ben"), "Remove ben")
    head = people.remote().ref(BRANCH)
    with pytest.raises(WrongUse, match="you are not in the team"):
        ben.sync()
    assert people.remote().ref(BRANCH) == head
    forger = Forger(people)
    forger.put(forger.commit("ben", {FILE_OF: b"x"}))
    with pytest.raises(Untrusted, match="not signed by a member"):
        ana.sync()


def test_one_who_only_reads_now_drops_what_was_done_offline(
    people: People, ana: Repository, ben: Repository
) -> None:
    writes(ben, "dev/db/new", MINE)
    grown(ana, {"ben": people.person("ben").member(Role.READER)})
    with pytest.raises(WrongUse, match="ben may read the store, not change it"):
        ben.sync()
    ben.sync({file_of("dev/db/new"): False})
    assert ben.head() == newest(people).head()
    with pytest.raises(NotThere):
        ben.fields("dev/db/new")


def test_a_new_value_is_not_owed_any_more(people: People, ana: Repository, ben: Repository) -> None:
    remove_eve(ana)
    ben.sync()
    assert list(ben.owed()) == [SECRET]
    ben.write("Set it", {SECRET: MINE})
    assert newest(people).owed() == {}


def test_what_is_owed_is_kept_for_each_of_two_whose_names_nest(
    people: People, ana: Repository
) -> None:
    ana.write("Set them", {"dev/db": MINE, "dev/db/more": MINE})
    remove_eve(ana)
    assert set(newest(people).owed()) == {"dev/db", "dev/db/more", SECRET}


@pytest.mark.parametrize("mark", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"why": {}}'])
def test_a_mark_that_is_none_is_one(people: People, ana: Repository, mark: bytes) -> None:
    forger = Forger(people)
    forger.put(forger.commit("ben", {owed_of(SECRET): mark}))
    ana.sync()
    assert set(ana.owed()) == {SECRET}


def test_a_file_never_takes_the_place_of_a_folder(people: People, ana: Repository) -> None:
    ana.write("Keep it", files={"kept/dev/a": b"a"})
    for path, other in (("kept/dev/a/b", "kept/dev/a"), ("kept/dev", "kept/dev/a")):
        with pytest.raises(WrongUse, match="file and folder") as caught:
            ana.write("Keep it", files={path: b"b"})
        assert other in caught.value.why
    assert newest(people).file("kept/dev/a") == b"a"


# --- the remote


def test_nothing_is_pushed_by_force(people: People, ana: Repository, ben: Repository) -> None:
    people.remote().run("config", "receive.denyNonFastForwards", "true")
    people.remote().run("config", "receive.denyDeletes", "true")
    ben.write("Set one", {"dev/db/one": THEIRS})
    writes(ana, "dev/db/two", MINE)
    ana.sync()
    ben.write("Set it", {SECRET: THEIRS})
    writes(ana, SECRET, MINE)
    ana.sync({FILE_OF: True})
    assert newest(people).fields(SECRET) == MINE


def test_who_is_second_at_the_push_goes_on_top(
    people: People, ana: Repository, ben: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ben pushes between ana's fetch and ana's push."""
    push = ana.git.push
    left = ["dev/db/one", "dev/db/two"]

    def pushed(url: str, commit: str, ref: str) -> None:
        if left:
            ben.write("Set it", {left.pop(): THEIRS})
        push(url, commit, ref)

    monkeypatch.setattr(ana.git, "push", pushed)
    ana.write("Set it", {"dev/db/three": MINE})
    assert {"dev/db/one", "dev/db/two", "dev/db/three"} < set(newest(people).secrets())


def test_another_clone_of_one_account_may_push_at_any_moment(
    people: People, ana: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the account saw last is newer than what this clone just fetched."""
    shutil.copytree(people.top / "ana" / "store.git", people.top / "ana" / "other.git")
    other = people.person("ana").repository()
    other.git.folder = people.top / "ana" / "other.git"
    other.memory.path = Path(shutil.copy(ana.memory.path, people.top / "ana" / "other.json"))
    fetch, left = ana.git.fetch, ["dev/db/other"]

    def fetched(*words: str) -> None:
        fetch(*words)
        if left:
            other.write("Set it", {left.pop(): THEIRS})

    monkeypatch.setattr(ana.git, "fetch", fetched)
    ana.write("Set it", {"dev/db/mine": MINE})
    assert {"dev/db/other", "dev/db/mine"} < set(newest(people).secrets())


def test_the_newest_that_an_account_saw_never_becomes_an_older_one(
    people: People, ana: Repository, ben: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another clone goes on between this one's push and its note of it."""
    push, left = ana.git.push, ["dev/db/other"]

    def pushed(*words: str) -> None:
        push(*words)
        if left:
            ben.write("Set it", {left.pop(): THEIRS})
            ana.newest.path.write_bytes(ben.newest.path.read_bytes())

    monkeypatch.setattr(ana.git, "push", pushed)
    ana.write("Set it", {"dev/db/mine": MINE})
    assert ana.newest.known.shared == ben.head() != ana.head()


def test_a_remote_that_takes_nothing_says_why_at_once(people: People, ana: Repository) -> None:
    hook = Path(people.url) / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho this branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(DiscoError, match="the store's remote can't be used") as caught:
        ana.write("Set it", {"dev/db/new": MINE})
    assert "this branch is protected" in caught.value.why
    hook.unlink()
    ana.sync()
    assert newest(people).fields("dev/db/new") == MINE


def test_who_has_much_to_put_on_top_does_it_at_once_before_always_being_second(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others push between each of his fetches and pushes; commit by commit he would be slower."""
    ana, ben = people.person("ana").repository(), people.person("ben").repository()
    for number in range(3):
        writes(ben, f"dev/mine/{number}", {"value": "x"})
    push, faster = ben.git.push, iter(range(6))

    def second(*words: str) -> None:
        for number in faster:
            ana.write(f"First {number}", {f"dev/theirs/{number}": {"value": "y"}})
            break
        push(*words)

    monkeypatch.setattr(ben.git, "push", second)
    ben.sync()
    ana.sync()
    last = ana.log()[0]
    assert last.by == "ben"
    assert last.message.split("\n") == [f"Set dev/mine/{n}" for n in range(3)]
    assert {f"dev/mine/{n}" for n in range(3)} <= set(ana.secrets())


def test_what_piles_up_is_packed_and_nothing_is_lost(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = people.person("ana").repository()
    before = {i for i, _, _ in ana.git.everything()}
    monkeypatch.setattr("disco.store.team.git.LOOSE", -1)
    (ana.git.folder / "objects" / "17").mkdir(exist_ok=True)
    for number in range(8):
        ana.write(f"Set {number}", {f"dev/many/{number}": {"value": str(number)}})
    said = ana.git.text("count-objects", "-v")
    assert int(said.split("packs: ")[1].split()[0]) >= 1
    assert before <= {i for i, _, _ in ana.git.everything()}
    again = people.person("ana").repository()
    assert [c.id for c in again.log()] == [c.id for c in ana.log()]
    assert again.fields("dev/many/7") == {"value": "7"}


def test_who_may_not_read_a_secret_any_more_knows_it_and_it_is_owed(
    people: People, ana: Repository
) -> None:
    team = ana.team().changed(access={"dev/*": ("ana", "ben")})
    sealed, owed = ana.change_team(team, "Keep dev from eve")
    assert (sealed, owed) == (1, [SECRET])
    assert newest(people).owed() == {SECRET: "eve could read it and may not any more"}
    assert ana.change_team(ana.team().changed(access={}), "Let all read it") == (1, [])


def test_what_is_kept_of_runs_is_owed_by_nobody(people: People, ana: Repository) -> None:
    ana.write("A run", {"dev/state/runs/1": {"json": "[]"}})
    remove_eve(ana)
    assert list(newest(people).owed()) == [SECRET]


def test_an_admin_gives_up_what_only_who_leaves_can_read_before_taking_him_out(
    people: People, ana: Repository, ben: Repository
) -> None:
    """Else one member could never be taken out."""
    ana.change_team(ana.team().changed(access={"dev/pay/*": ("ben",)}), "For ben alone")
    ben.sync()
    ben.write("Set it", {"dev/pay/card": MINE})
    ana.sync()
    gone = without(ana.team(), "ben", access={})
    with pytest.raises(WrongUse, match="ana may not change the secret dev/pay/card") as refused:
        ana.change_team(gone, "Take ben out")
    assert "only ben may read it" in refused.value.why
    assert "disco secrets forget pay/card" in refused.value.fix
    with pytest.raises(WrongUse, match="may not change"):
        ana.write("Set it", {"dev/pay/card": THEIRS})

    ana.write("Give it up", {"dev/pay/card": None})
    ana.change_team(gone, "Take ben out")
    assert "dev/pay/card" not in newest(people).secrets()
    eve = people.person("eve").repository()
    eve.sync()
    assert [c.by for c in eve.log()][:2] == ["ana", "ana"]
    assert eve.wrong() == {}


def test_a_remote_that_nobody_unlocks_is_told_in_bounded_time(
    people: People, ana: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that was killed at the remote left its lock on the branch."""
    monkeypatch.setattr("disco.store.team.repository.STUCK", 2)
    lock = people.remote().folder / f"{BRANCH}.lock"
    lock.touch()
    with pytest.raises(DiscoError, match="the remote takes nothing") as refused:
        ana.write("Set it", {SECRET: MINE})
    assert "3 attempts" in refused.value.why and ".lock" in refused.value.why
    lock.unlink()
    ana.sync()
    assert newest(people).fields(SECRET) == MINE


def test_a_value_that_was_set_and_removed_again_stays_in_the_history_of_one_who_comes_late(
    people: People, ana: Repository, ben: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disco.store.team.repository.AT_ONCE_AFTER", 0)
    writes(ana, "dev/db/new", MINE)
    writes(ana, "dev/db/new", None)
    ben.write("Set another", {"dev/db/another": THEIRS})
    ana.sync()
    said = [c.message.strip() for c in newest(people).log()]
    assert said.count("Set dev/db/new") == 2, said


@pytest.mark.parametrize("late", [False, True])
def test_what_was_set_and_removed_offline_stays_in_the_history_when_another_removed_it_too(
    people: People,
    ana: Repository,
    ben: Repository,
    monkeypatch: pytest.MonkeyPatch,
    late: bool,
) -> None:
    if late:
        monkeypatch.setattr("disco.store.team.repository.AT_ONCE_AFTER", 0)
    ben.write("Remove it", {SECRET: None})
    for message, fields in (("Set what nobody saw", MINE), ("Remove what nobody saw", None)):
        offline(ana, partial(ana.write, message, {SECRET: fields}))
    ana.sync()
    said = [c.message.strip() for c in newest(people).log()]
    assert {"Set what nobody saw", "Remove what nobody saw"} <= set(said), said
    assert SECRET not in newest(people).secrets()


@pytest.mark.parametrize("removes_first", [False, True])
def test_what_was_set_and_removed_again_is_told_whatever_else_is_given_up(
    people: People,
    ana: Repository,
    ben: Repository,
    monkeypatch: pytest.MonkeyPatch,
    removes_first: bool,
) -> None:
    """Mine are put on top at once, and while they are pushed another one changes the rest."""
    other = "dev/db/other"
    ben.write("Remove it", {SECRET: None})
    if removes_first:
        offline(ana, partial(ana.write, "Remove it, too", {SECRET: None}))
    for message, fields in (("Set what nobody saw", MINE), ("Remove what nobody saw", None)):
        offline(ana, partial(ana.write, message, {SECRET: fields}))
    writes(ana, other, MINE)
    push = Git.push

    def second(git: Git, *where: str) -> None:
        monkeypatch.setattr(Git, "push", push)
        ben.write("Be first", {other: THEIRS})
        push(git, *where)

    monkeypatch.setattr("disco.store.team.repository.AT_ONCE_AFTER", 0)
    monkeypatch.setattr(Git, "push", second)
    with pytest.raises(Conflict):
        ana.sync()
    ana.sync({file_of(other): False})
    said = [line for c in newest(people).log() for line in c.message.splitlines()]
    assert "Set what nobody saw" in said, said
    assert newest(people).fields(other) == THEIRS and SECRET not in newest(people).secrets()
