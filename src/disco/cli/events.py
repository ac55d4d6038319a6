"""`disco events`: the journal as it is written, line by line."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from disco.cli import speak
from disco.cli.opened import veiled
from disco.cli.wiring import located
from disco.engine.errors import Exit

PAUSE_S = 0.2
REST = ("step", "action", "who", "what", "outcome", "error")


async def events(file: Path, follow: bool, tail: int, as_json: bool) -> int:
    """Print the records, and go on with new ones if asked. Returns the exit code."""
    _, place = located(file)
    reader = Tail(place.journal)
    records = reader.new()
    for record in records[-tail:] if tail else records:
        _print(record, as_json)
    while follow:
        await asyncio.sleep(PAUSE_S)
        for record in reader.new():
            _print(record, as_json)
    return int(Exit.DONE)


class Tail:
    """The whole lines of a file that were not read yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[dict[str, Any]]:
        """What was added since; a line that is not finished is left for the next time."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._read:  # another file in its place
                    self._read = 0
                file.seek(self._read)
                content = file.read()
        except FileNotFoundError:
            self._read = 0
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return [r for line in whole.splitlines() if (r := _record(line))]


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None  # cut off by a crash
    return found if isinstance(found, dict) and "event" in found else None


def _print(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        speak.data_line(json.dumps(record, ensure_ascii=False))
        return
    at = time.strftime("%H:%M:%S", time.localtime(record["at"]))
    rest = "  ".join(str(record[k]) for k in REST if record.get(k))
    speak.data_line(veiled(f"{at}  {record.get('run', ''):8}  {record['event']:6}  {rest}"))
