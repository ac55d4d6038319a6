"""A team's store whose DISCO is killed at any point: it is as before or as after, nothing readable.

Points are the calls of git and the notes of what was seen. At each, a child that changes the store
is killed before it or in the midst of it, with everything that it started. `STORE_KILLS=1` takes
every point, a higher number each so many.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killer import Killer
from people import SECRET, People, founded

from disco.engine.errors import DiscoError
from disco.store.team.git import BRANCH
from disco.store.team.repository import Repository

EVERY = int(os.environ.get("STORE_KILLS", "6"))
OLD, NEW, MORE = "plain text of before", "plain text of after", "plain text of more"
WHERE = ("before", "amid")
Record = Callable[[str, Any], None]


# --- what a child does


def write(ana: Repository) -> None:
    ana.write(f"Set {SECRET}", {SECRET: {"value": NEW}})


def write_many(ana: Repository) -> None:
    secrets = {SECRET: {"value": NEW}, "dev/db/more": {"value": MORE}}
    ana.write("Set many", secrets, {"kept/dev/genesis.json": b"{}"})


def change_team(ana: Repository) -> None:
    team = ana.team()
    members = {n: m for n, m in team.members.items() if n != "eve"}
    ana.change_team(team.changed(members=members), "Remove eve")


def sync(ana: Repository) -> None:
    """It has commits of its own, and the remote has others; see `prepared`."""
    ana.sync()


CHANGES: dict[str, Callable[[Repository], None]] = {
    "write": write,
    "write many": write_many,
    "change the team": change_team,
    "sync": sync,
}


@pytest.fixture(scope="module")
def prepared() -> Iterator[dict[str, People]]:
    """By change: the store that it begins with."""
    shared = Path("/dev/shm")
    top = Path(tempfile.mkdtemp(prefix="disco-killed-", dir=shared if shared.is_dir() else None))
    first = founded(top / "first")
    ana = first.person("ana").repository()
    ana.write("Set it", {SECRET: {"value": OLD}})
    shutil.copytree(first.top, top / "apart")
    apart = People(top / "apart")
    apart.person("ben").repository().write("Set one", {"dev/db/theirs": {"value": OLD}})
    ana = apart.person("ana").repository()
    ana.url += ".away"
    for value in (MORE, NEW):
        with pytest.raises(DiscoError, match="the store's remote can't be used"):
            ana.write("Set it", {SECRET: {"value": value}})
    yield {name: apart if name == "sync" else first for name in CHANGES}
    shutil.rmtree(top)


def copied(people: People) -> People:
    to = Path(tempfile.mkdtemp(dir=people.top.parent)) / "top"
    shutil.copytree(people.top, to)
    (to / "tmp").mkdir()
    return People(to)


def in_a_child(people: People, name: str, killer: Killer) -> tuple[int, list[str]]:
    """How it ended, and the points that it came to."""
    told = people.top / "points"
    child = os.fork()
    if child == 0:
        os.setsid()
        tempfile.tempdir = str(people.top / "tmp")
        killer.watch()
        try:
            CHANGES[name](people.person("ana").repository())
            told.write_text("\n".join(killer.seen))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return status, told.read_text().splitlines() if told.exists() else []


def nothing_is_readable(people: People) -> None:
    """No value in any file, nor in what git has packed, nor in a folder for temporary files."""
    contents = [p.read_bytes() for p in people.top.rglob("*") if p.is_file()]
    for person in ("ana", "ben"):
        contents += [c for _, _, c in people.person(person).repository().git.everything()]
    contents += [c for _, _, c in people.remote().everything()]
    for value in (OLD, NEW, MORE):
        assert not any(value.encode() in c for c in contents), value


def release_remote(people: People) -> None:
    """The remote's git was killed too, which stands for the death of another machine."""
    for lock in Path(people.url).rglob("*.lock"):
        lock.unlink()


def is_old_or_new(people: People, name: str) -> str:
    ana = people.person("ana").repository()
    log = ana.log()
    assert log[0].id == ana.head()
    assert ana.wrong() == {}
    value, secrets = ana.fields(SECRET)["value"], set(ana.secrets())
    if name == "change the team":
        left = "eve" not in ana.team().members
        assert (ana.owed() != {}) is left
        return "new" if left else "old"
    if name == "sync":
        assert value == NEW
        return "new" if "dev/db/theirs" in secrets else "old"
    assert value in (OLD, NEW)
    if name == "write many":
        assert ("dev/db/more" in secrets) is (value == NEW)
        assert (ana.file("kept/dev/genesis.json") is not None) is (value == NEW)
    return "new" if value == NEW else "old"


def goes_on(people: People, name: str) -> None:
    """The next change goes through, everybody gets it, and nothing was lost."""
    ana, ben = (people.person(n).repository() for n in ("ana", "ben"))
    ana.write("Set after", {"dev/db/after": {"value": OLD}})
    ben.sync()
    assert ana.head() == ben.head() == people.remote().ref(BRANCH)
    assert ben.wrong() == {}
    assert ben.fields("dev/db/after") == {"value": OLD}
    assert ben.fields(SECRET) == ana.fields(SECRET)
    assert name != "sync" or {"dev/db/theirs", SECRET} <= set(ben.secrets())
    assert all(ben.git.changes(c.id for c in ben.log()).values())
    left = [p.name for p in ana.git.folder.rglob("*.lock")] + list(ana.git.folder.glob("index.*"))
    assert left in ([], ["disco.lock"])


@pytest.mark.parametrize("name", CHANGES)
def test_a_kill_leaves_the_old_or_the_new(
    prepared: dict[str, People], name: str, record_property: Record
) -> None:
    whole = copied(prepared[name])
    status, points = in_a_child(whole, name, Killer())
    assert status == 0
    assert is_old_or_new(whole, name) == "new"
    assert len(points) > 15
    chance = random.Random(name)
    moments = [(at, where) for at in range(1, len(points) + 1) for where in WHERE]
    outcomes = []
    for at, where in moments[chance.randrange(EVERY) :: EVERY]:
        people = copied(prepared[name])
        killer = Killer(at, where == "amid", chance.uniform(0, 0.012))
        status, _ = in_a_child(people, name, killer)
        label = f"{name}, killed {where} {points[at - 1]} ({at} of {len(points)})"
        try:
            assert where == "amid" or os.WTERMSIG(status) == signal.SIGKILL
            release_remote(people)
            outcomes.append(is_old_or_new(people, name))
            goes_on(people, name)
            nothing_is_readable(people)
        except Exception as error:
            raise AssertionError(label) from error
        shutil.rmtree(people.top.parent)
    shutil.rmtree(whole.top.parent)
    record_property("crash:kills of a store", len(outcomes))
    print(f"{name}: {len(points)} points, {len(outcomes)} kills, "
          f"{outcomes.count('old')} old, {outcomes.count('new')} new")  # fmt: skip
    assert {"old", "new"} == set(outcomes)


def test_what_a_killed_git_left_in_the_way_is_removed(prepared: dict[str, People]) -> None:
    people = copied(prepared["write"])
    folder = people.person("ana").repository().git.folder
    (folder / "refs/remotes/origin").mkdir(parents=True, exist_ok=True)
    for path in (
        "refs/heads/main.lock",
        "refs/remotes/origin/main.lock",
        "packed-refs.lock",
        "HEAD.lock",
        "config.lock",
        "index.123.456",
        "index.123.456.lock",
    ):
        (folder / path).write_bytes(b"")
    assert people.person("ana").repository().fields(SECRET) == {"value": OLD}
    goes_on(people, "write")
    shutil.rmtree(people.top.parent)
