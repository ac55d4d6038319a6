"""What was meant and what came of it: appended and fsynced before and after every action.

Records of steps that run side by side share one fsync, and none waits for the event loop. One JSON
object a line. A line that was cut off by a crash, or spoilt by hand, is recognised and left out;
the next line starts on a line of its own.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.engine.errors import DiscoError

ERROR_CHARACTERS = 2000  # kept of what a program said
_TEXTS = ("event", "run", "step", "action", "who", "what", "outcome", "error", "plan", "version")
_ABOUT_ACTIONS = ("intent", "done", "failed")
_OF_ACTIONS = ("step", "action")
_END_OF_TIME = 253_402_300_800  # the year 10000, in seconds: no calendar goes on from there


@dataclass(frozen=True)
class Unfinished:
    """An action that was begun and has no outcome in the journal."""

    run: str
    step: str
    action: str
    at: float


class Journal:
    """Append-only record of runs. `write` and `record` return when the line is on the disk.

    veil: takes secrets out of what a program said when it failed.
    """

    def __init__(self, path: Path, veil: Callable[[str], str] = str) -> None:
        self._path, self._veil = path, veil
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._appending = threading.Lock()

    def write(self, event: str, **fields: Any) -> None:
        """Raises DiscoError when the disk did not take all of it."""
        self._put(self._line(event, fields))

    async def record(self, event: str, **fields: Any) -> None:
        """`write` for many at a time: what comes while the disk is busy goes there together.

        Lines stand in the order of the calls. Raises DiscoError to everybody whose line may not be
        on the disk.
        """
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._line(event, fields), on_disk))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())
        await on_disk

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting, []
                await self._write_together(together)
        finally:
            self._writer = None

    async def _write_together(self, together: list[tuple[bytes, asyncio.Future[None]]]) -> None:
        """Tell everybody how it went; who was cancelled in the meantime does not listen."""
        failed: Exception | None = None
        try:
            await asyncio.to_thread(self._put, b"".join(line for line, _ in together))
        except Exception as error:
            failed = error
        for _, on_disk in together:
            if on_disk.done():
                continue
            if failed:
                on_disk.set_exception(failed)
            else:
                on_disk.set_result(None)

    def _line(self, event: str, fields: dict[str, Any]) -> bytes:
        if "error" in fields:
            fields["error"] = self._veil(fields["error"])[:ERROR_CHARACTERS]
        line = json.dumps({"at": round(time.time(), 3), "event": event, **fields}, sort_keys=True)
        return line.encode() + b"\n"

    def _put(self, lines: bytes) -> None:
        try:
            with self._appending:
                self._append(lines)
        except OSError as error:
            raise DiscoError(
                "the journal can't be written",
                where=str(self._path),
                why=error.strerror or str(error),
                fix="free some space, or mend the folder's rights; then run again",
            ) from None

    def _append(self, lines: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(handle).st_size
            cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            left = (b"\n" if cut else b"") + lines
            while left:  # a disk that is nearly full takes a part without an error
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole record, oldest first."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in content.splitlines():
            if record := record_of(line):
                yield record

    def applied(self) -> dict[str, str]:
        """What was last done to each thing: identity of the action -> the beginning of its digest.

        What is no longer so although this has not changed was changed by somebody else.
        """
        meant: dict[str, str] = {}
        found: dict[str, str] = {}
        for r in self.read():
            action = r.get("action", "")
            if r["event"] == "intent":
                meant[action] = r.get("digest", "")
            elif r["event"] == "done" and action in meant:
                found[action] = meant[action]
        return found

    def unfinished(self) -> list[Unfinished]:
        """Intents of the last run that have no outcome."""
        begun: dict[tuple[str, str], Unfinished] = {}
        for r in self.read():
            if r["event"] == "run":
                begun.clear()
            elif r["event"] == "intent":
                begun[r["step"], r["action"]] = Unfinished(
                    r.get("run", ""), r["step"], r["action"], r["at"]
                )
            elif r["event"] in ("done", "failed"):
                begun.pop((r.get("step", ""), r.get("action", "")), None)
        return list(begun.values())


def record_of(line: bytes) -> dict[str, Any] | None:
    """The record in a line, or None where it is not whole."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _is_whole(record) else None


def _is_whole(record: dict[str, Any]) -> bool:
    needed = {"event", *(_OF_ACTIONS if record.get("event") in _ABOUT_ACTIONS else ())}
    texts = (record.get(name, "" if name not in needed else None) for name in _TEXTS)
    at, steps = record.get("at"), record.get("steps", 0)
    if not isinstance(at, (int, float)) or not 0 <= at < _END_OF_TIME:
        return False
    return isinstance(steps, int) and all(isinstance(text, str) for text in texts)


def who() -> str:
    """The person at the keyboard, as far as the system knows: user@host."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
