"""Ten operators at one store, each a process of its own that goes offline and dies now and then.

`OPERATIONS=500` is the full number for each; `OPERATORS_SEED=2` gives others. Every write has a
value of its own, which its commit's message names, so that the history says what must be where.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killer import Killer
from people import People, Person, grown

from disco.engine.errors import DiscoError, NotThere, Retry
from disco.store.team.git import BRANCH
from disco.store.team.layout import file_of, secret_of
from disco.store.team.replay import Conflict
from disco.store.team.repository import Repository, begin, join
from disco.store.team.roles import Role

OPERATIONS = int(os.environ.get("OPERATIONS", "12"))
SEED = int(os.environ.get("OPERATORS_SEED", "1"))
NAMES = tuple(f"op{n}" for n in range(10))
SECRETS = tuple(f"stack-{n % 3}/part/secret-{n}" for n in range(12))
WEIGHTS = {"set": 40, "read": 15, "list": 5, "remove": 8, "sync": 12, "away": 10, "die": 10}
OPERATION_S = 3600
SECOND, SECONDS = "the others were always first", 20  # how often one who gave up tries again
MESSAGE = re.compile(r"(Set|Remove) (\S+) as (\S+)")


@dataclass(frozen=True)
class Log:
    """What an operator did, outside of the store: a line of JSON each."""

    path: Path

    def add(self, kind: str, **more: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"kind": kind, **more}) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@dataclass
class Operator:
    person: Person
    log: Log
    away: int = 0  # operations for which the remote is still out of reach

    def repository(self) -> Repository:
        repository = self.person.repository()
        if self.away:
            repository.url += ".away"
        return repository

    def go_on(self, until: int) -> None:
        """From where the process before this one died."""
        killer = Killer(group=False)
        killer.watch()
        for number in range(sum(x["kind"] == "begin" for x in self.log.lines()), until):
            chance = random.Random(f"{SEED} {self.person.name} {number}")
            kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            self.log.add("begin", what=kind, number=number)
            signal.alarm(OPERATION_S)
            if kind == "away":
                self.away = chance.randint(1, 6)
                continue
            if kind == "die":
                killer.at = len(killer.seen) + chance.randint(1, 45)
                killer.amid, killer.after_s = chance.random() < 0.5, chance.uniform(0, 0.02)
                kind = chance.choice(("set", "set", "sync"))
            self.one(kind, f"{self.person.name}-{number}", chance)
            self.away = max(self.away - 1, 0)

    def one(self, kind: str, name: str, chance: random.Random) -> None:
        store, secret = self.repository(), chance.choice(SECRETS)
        if kind == "set":
            self.write(store, f"Set {secret} as {name}", secret, {"value": name}, chance)
        elif kind == "remove" and secret in store.secrets():
            self.write(store, f"Remove {secret} as {name}", secret, None, chance)
        elif kind == "read":
            with suppress(NotThere):
                assert re.fullmatch(r"op\d-\d+", store.fields(secret)["value"])
        elif kind == "list":
            assert set(store.secrets()) <= set(SECRETS)
        elif kind == "sync":
            self.sync(store, chance)

    def write(
        self,
        store: Repository,
        message: str,
        secret: str,
        fields: dict[str, str] | None,
        chance: random.Random,
    ) -> None:
        try:
            store.write(message, {secret: fields})
        except Conflict:
            self.log.add("written", message=message, secret=secret)
            self.sync(store, chance)
        except DiscoError as error:
            if not self.is_away(error) and SECOND not in error.what:
                raise
            self.log.add("written", message=message, secret=secret)
            if SECOND in error.what:
                self.log.add("second")
                self.sync(store, chance)
        else:
            self.log.add("written", message=message, secret=secret)
            self.log.add("shared")

    def is_away(self, error: DiscoError) -> bool:
        return bool(self.away) and error.retry is Retry.LIKELY

    def sync(self, store: Repository, chance: random.Random) -> None:
        """Until all conflicts are decided, each by chance."""
        chosen: dict[str, bool] = {}
        seconds = 0
        while True:
            try:
                store.sync(chosen)
                self.log.add("shared")
                return
            except Conflict as conflict:
                assert not set(conflict.paths) & set(chosen)
                for path in conflict.paths:
                    chosen[path] = chance.random() < 0.5
                    self.log.add("chosen", secret=secret_of(path), mine=chosen[path])
            except DiscoError as error:
                if SECOND in error.what and seconds < SECONDS:  # does what its fix says
                    self.log.add("second")
                    seconds += 1
                    continue
                if not self.is_away(error):
                    raise
                return


def lives(operator: Operator, until: int) -> int:
    """A process that begins another one for as long as they are killed. Its process number."""
    keeper = os.fork()
    if keeper:
        return keeper
    try:
        while True:
            worker = os.fork()
            if worker == 0:
                operator.go_on(until)
                os._exit(0)
            _, status = os.waitpid(worker, 0)
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                os._exit(0 if status == 0 else 1)
            operator.log.add("killed")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


@pytest.fixture
def people() -> Iterator[People]:
    """All of them in one team, with a clone each; the first is its admin."""
    memory = Path("/dev/shm")
    top = Path(tempfile.mkdtemp(prefix="disco-team-", dir=memory if memory.is_dir() else None))
    people = People(top)
    people.remote().init()
    people.remote().run("config", "receive.denyNonFastForwards", "true")
    first = people.person(NAMES[0]).repository()
    begin(first, "ten", NAMES[0])
    grown(first, {n: people.person(n).member(Role.OPERATOR) for n in NAMES[1:]})
    for name in NAMES[1:]:
        join(people.person(name).repository(), first.memory.known.root)
    yield people
    shutil.rmtree(top)


def must_be_there(log: Log) -> set[str]:
    """Messages of the writes that were acknowledged, and not given up for another's by choice
    before they were shared. A removal may be another's, too: then there is no commit for it."""
    kept: dict[str, list[str]] = {}
    found: set[str] = set()
    for line in log.lines():
        if line["kind"] == "written" and line["message"].startswith("Set"):
            kept.setdefault(line["secret"], []).append(line["message"])
        elif line["kind"] == "chosen" and not line["mine"]:
            kept.pop(line["secret"], None)
        elif line["kind"] == "shared":
            found.update(m for messages in kept.values() for m in messages)
            kept.clear()
    for messages in kept.values():
        found.update(messages)
    return found


def story(log: Log, message: str) -> list[dict[str, Any]]:
    """What its operator did just before it and after it."""
    lines = log.lines()
    at = next(i for i, line in enumerate(lines) if line.get("message") == message)
    return lines[max(at - 10, 0) : at + 30]


def given_up_before_shared(logs: dict[str, Log], history: set[str]) -> int:
    written = [x["message"] for log in logs.values() for x in log.lines() if x["kind"] == "written"]
    return sum(m not in history for m in written)


def test_ten_operators_lose_nothing(people: People) -> None:
    began = time.monotonic()
    logs = {n: Log(people.top / f"{n}.log") for n in NAMES}
    operators = {n: Operator(people.person(n), logs[n]) for n in NAMES}
    keepers = {n: lives(o, OPERATIONS) for n, o in operators.items()}
    failed = {n: os.waitpid(k, 0)[1] for n, k in keepers.items()}
    assert not any(failed.values()), failed
    for _ in range(2):
        for name, operator in operators.items():
            operator.away = 0
            operator.sync(operator.repository(), random.Random(name))
    clones = {n: people.person(n).repository() for n in NAMES}
    assert {c.head() for c in clones.values()} == {people.remote().ref(BRANCH)}
    history = clones[NAMES[0]].log()
    for name, clone in clones.items():
        assert [c.id for c in clone.log()] == [c.id for c in history], name
        assert clone.wrong() == {}
    messages = Counter(line for c in history for line in c.message.splitlines())
    assert max(messages.values()) == 1, "a write was put into the history twice"
    for name, log in logs.items():
        lost = must_be_there(log) - set(messages)
        assert not lost, [story(log, message) for message in lost]
        mine = [line for c in history if c.by == name for line in c.message.splitlines()]
        assert all(f" as {name}-" in line for line in mine if MESSAGE.fullmatch(line))
    agree_with_the_last_commit(clones[NAMES[1]])
    tell(logs, set(messages), time.monotonic() - began)


def agree_with_the_last_commit(clone: Repository) -> None:
    last: dict[str, str | None] = dict.fromkeys(SECRETS)
    for commit in reversed(clone.log()):
        acts = [m.groups() for x in commit.message.splitlines() if (m := MESSAGE.fullmatch(x))]
        if not acts:
            continue
        for what, secret, value in acts:
            last[secret] = value if what == "Set" else None
        changed = {e.path for e in clone.git.changes([commit.id])[commit.id]}
        assert changed and changed <= {file_of(secret) for _, secret, _ in acts}
    there = {s: v for s, v in last.items() if v is not None}
    assert {s: clone.fields(s)["value"] for s in clone.secrets()} == there


def tell(logs: dict[str, Log], messages: set[str], took_s: float) -> None:
    lines = [line for log in logs.values() for line in log.lines()]
    counts = Counter(line["kind"] for line in lines)
    print(
        f"ten operators: {counts['begin']} operations, {counts['killed']} kills, "
        f"{counts['written']} acknowledged writes, {counts['chosen']} conflicts, "
        f"{counts['second']} pushes that were second for three minutes, "
        f"{len(messages)} commits, {given_up_before_shared(logs, messages)} given up by choice, "
        f"{took_s:.0f} s"
    )
