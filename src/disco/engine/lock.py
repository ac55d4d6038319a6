"""One writer at a time on this machine, with a fencing token checked before every action."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from disco.engine.errors import DiscoError
from disco.engine.journal import who
from disco.engine.place import write_atomically

STARTED = 19  # field of /proc/PID/stat after the name: ticks between boot and the process's start
CLOCK_S = 5.0  # this machine's clock may have been set a little since


@dataclass(frozen=True)
class Held:
    """The lock in our hands. `token` grows with every holder."""

    path: Path
    token: int

    def check(self) -> None:
        """Raise when somebody else has taken the lock since."""
        found = _holder(self.path).get("token")
        if found != self.token:
            raise DiscoError(
                "the lock was taken over by another run",
                where=str(self.path),
                why=f"fencing token is {found}, ours is {self.token}",
                fix="look at `disco history`, then plan again",
            )


@dataclass(frozen=True)
class Holder:
    """Who took the lock last.

    at:    Unix time; 0 when it is not known.
    alive: whether that process is still there, so that its run goes on.
    """

    who: str
    what: str
    pid: int
    at: float
    alive: bool


def last_holder(path: Path) -> Holder | None:
    """None when nobody ever took it. Raises PermissionError when this account may not know."""
    try:
        note = json.loads(path.read_text())
        pid, at = int(note["pid"]), float(note.get("at", 0))
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    alive = _is_the_same(pid, at)
    return Holder(str(note.get("who", "")), str(note.get("what", "")), pid, at, alive)


def _is_the_same(pid: int, at: float) -> bool:
    """Whether the process is there, and began before the lock was taken: numbers are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return False
    ticks = float(stat.rpartition(")")[2].split()[STARTED])
    began = time.time() - boot + ticks / os.sysconf("SC_CLK_TCK")
    return not at or began <= at + CLOCK_S


@contextmanager
def hold(path: Path, what: str) -> Iterator[Held]:
    """Hold the stack's lock for the time of a run.

    Raises DiscoError at once, naming the holder, when another run has it. The operating system
    releases the lock of a process that died.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(str(path) + ".file", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        other = _holder(path)
        raise DiscoError(
            "another run holds the stack's lock",
            where=str(path),
            why=f"{other.get('who', 'unknown')} runs `disco {other.get('what', '?')}` "
            f"(process {other.get('pid', '?')}) since {_ago(other.get('at'))}",
            fix="wait for it to end, or end that process; its lock goes with it",
        ) from None
    try:
        held = Held(path, _token(path) + 1)
        note = {
            "token": held.token,
            "who": who(),
            "what": what,
            "pid": os.getpid(),
            "at": time.time(),
        }
        write_atomically(path, json.dumps(note).encode() + b"\n")
        yield held
    finally:
        lock.release()


def _holder(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _ago(at: object) -> str:
    if not isinstance(at, (int, float)) or not math.isfinite(at):
        return "an unknown time"
    return f"{max(0, round(time.time() - at))} s"


def _token(path: Path) -> int:
    found = _holder(path).get("token")
    return found if isinstance(found, int) else 0
