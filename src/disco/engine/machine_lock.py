"""The lock of a stack whose state is on this machine: a file that the operating system locks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from disco.engine.errors import DiscoError
from disco.engine.journal import who
from disco.engine.lock import Held, Holder, LockLost
from disco.engine.place import write_atomically

BOOT = Path("/proc/sys/kernel/random/boot_id")
NOTED_WITHIN_S = 0.5  # the note comes right after the lock
STARTED = 19  # field of /proc/PID/stat after the name: ticks between boot and the process's start


class MachineLock:
    """A `Lock` for the processes of one machine.

    path: of the note, which tells who holds it; the locked file is beside it.

    The operating system releases the lock of a process that died. A note that was removed or spoilt
    by hand begins its tokens at 1 again; so `check` compares all of the note.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self, what: str) -> Iterator[Held]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(str(self._path) + ".file", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise self._refused() from None
        try:
            yield self._take(what)
        finally:
            lock.release()

    def last_holder(self) -> Holder | None:
        try:
            note = json.loads(self._path.read_text())
            pid, at = int(note["pid"]), float(note.get("at", 0))
        except PermissionError:
            raise
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
        alive = _is_there(pid, note.get("began"))
        said, what = str(note.get("who", "")), str(note.get("what", ""))
        return Holder(said, what, pid, at, alive, _token(note))

    def _take(self, what: str) -> Held:
        token, pid = _token(_note(self._path)) + 1, os.getpid()
        note = {"token": token, "who": who(), "what": what, "pid": pid, "at": time.time()}
        content = json.dumps({**note, "began": _began(pid)}).encode() + b"\n"
        write_atomically(self._path, content)
        return _HeldHere(self._path, token, content)

    def _refused(self) -> DiscoError:
        self._wait_for_its_note()
        other = _note(self._path)
        return DiscoError(
            "another run holds the stack's lock",
            where=str(self._path),
            why=f"{other.get('who', 'unknown')} runs `disco {other.get('what', '?')}` "
            f"(process {other.get('pid', '?')}) since {_ago(other.get('at'))}",
            fix="wait for it to end, or end that process; its lock goes with it",
        )

    def _wait_for_its_note(self) -> None:
        """Who has just taken the lock may not have said so yet."""
        until = time.monotonic() + NOTED_WITHIN_S
        while time.monotonic() < until:
            holder = self.last_holder()
            if holder and holder.alive:
                return
            time.sleep(NOTED_WITHIN_S / 50)


@dataclass(frozen=True)
class _HeldHere:
    """note: as it is in the file while the lock is ours."""

    path: Path
    token: int
    note: bytes

    async def check(self) -> None:
        try:
            if self.path.read_bytes() == self.note:
                return
        except OSError:  # no note is not ours either
            pass
        raise LockLost(
            "the lock was taken over by another run",
            where=str(self.path),
            why=f"fencing token is {_note(self.path).get('token')}, ours is {self.token}",
            fix="look at `disco history`, then plan again",
        )


def _note(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _token(note: dict[str, Any]) -> int:
    found = note.get("token")
    return found if isinstance(found, int) else 0


def _is_there(pid: int, began: object) -> bool:
    """Whether it is the process that took the lock: numbers are used again, and clocks are set.

    began: from its note; one that doesn't say so is known by its number alone.
    """
    found = _began(pid)
    return bool(found) and began in (None, found)


def _began(pid: int) -> str:
    """When a process started: the boot, and ticks since then. Empty when it is not there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return f"{BOOT.read_text().strip()}:{stat.rpartition(')')[2].split()[STARTED]}"
    except (OSError, ValueError):
        return ""


def _ago(at: object) -> str:
    try:
        return f"{max(0, round(time.time() - float(str(at))))} s"
    except (ValueError, OverflowError):
        return "an unknown time"
