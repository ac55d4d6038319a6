"""What each kind of lock is tested with: how to make one, to break one, and to hold one elsewhere.

Run as a program, it holds a lock of a kind until its input ends, and checks it for each line.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from people import People, Person

import keybase_helper
from disco.engine.errors import DiscoError
from disco.engine.lock import Held, Lock
from disco.engine.machine_lock import MachineLock
from disco.store.team.remote_lock import TeamLock
from disco.store.team.repository import begin, join

READY = "ready"


@dataclass(frozen=True)
class Kind:
    """make: the lock whose things are in a folder. break_it: so that another can take it.

    outlives: whether it stays held when its holder dies.
    """

    make: Callable[[Path], Lock]
    break_it: Callable[[Path], None]
    outlives: bool


def _team(folder: Path, one: Person | None = None) -> TeamLock:
    """Of a team of one; every process has a clone of its own."""
    one = one or People(folder).person("ana")
    if not one.folder.exists():
        People(folder).remote().init()
        begin(one.repository(), "acme", "ana")
        one.repository().sync()
        return TeamLock(one.repository(), "dev")
    clone = Person("ana", one.folder, one.url).clone(str(os.getpid()))
    if not clone.is_there:
        join(clone, one.repository().memory.known.root)
    return TeamLock(clone, "dev")


def _keybase(folder: Path) -> TeamLock:
    """At a remote that is reached by a helper, which compares nothing but branches."""
    programs = folder / "bin"
    if not programs.exists():
        keybase_helper.install(programs)
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    url = keybase_helper.url_of(People(folder).remote().folder)
    return _team(folder, Person("ana", folder / "ana", url))


def broken(lock: TeamLock) -> None:
    assert lock.break_it()


KINDS = {
    "machine": Kind(
        lambda folder: MachineLock(folder / "lock"),
        lambda folder: (folder / "lock.file").unlink(),
        outlives=False,
    ),
    "team": Kind(_team, lambda folder: broken(_team(folder)), outlives=True),
    "keybase": Kind(_keybase, lambda folder: broken(_keybase(folder)), outlives=True),
}


class Other:
    """Another process that takes the lock when it is told to. clock_s: how wrong its clock is."""

    def __init__(self, kind: str, folder: Path, what: str, clock_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, kind, str(folder), what, str(clock_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.hears() == READY

    def says(self, line: str = "") -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hears(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def takes(self) -> str:
        """The token, or why not."""
        self.says()
        return self.hears()

    def ends(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)
            raise


@contextmanager
def another(kind: str, folder: Path, what: str = "up", clock_s: float = 0.0) -> Iterator[Other]:
    other = Other(kind, folder, what, clock_s)
    try:
        yield other
    finally:
        other.ends()


def _main(kind: str, folder: str, what: str, clock_s: str) -> None:
    right = time.time
    time.time = lambda: right() + float(clock_s)
    lock = KINDS[kind].make(Path(folder))
    print(READY, flush=True)
    sys.stdin.readline()
    try:
        with lock.hold(what) as held:
            print(held.token, flush=True)
            for _ in sys.stdin:
                print(_checked(held), flush=True)
    except DiscoError as error:
        print(error, flush=True)


def _checked(held: Held) -> str:
    try:
        asyncio.run(held.check())
    except DiscoError as error:
        return error.what
    return "ours"


if __name__ == "__main__":
    _main(*sys.argv[1:])
