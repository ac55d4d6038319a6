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
from disco.engine.journal import Journal
from disco.engine.tail import Tail

PAUSE_S = 0.2
REST = ("step", "action", "who", "what", "outcome", "error")


async def events(file: Path, follow: bool, tail: int, as_json: bool) -> int:
    """Print the records, and go on with new ones if asked. Returns the exit code."""
    _, place = located(file)
    reader = Tail(place.journal)
    records = reader.new() if follow else list(Journal(place.journal).read())
    for record in records[-tail:] if tail else records:
        _print(record, as_json)
    while follow:
        await asyncio.sleep(PAUSE_S)
        for record in reader.new():
            _print(record, as_json)
    return int(Exit.DONE)


def _print(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        speak.data_line(json.dumps(record, ensure_ascii=False))
        return
    at = time.strftime("%H:%M:%S", time.localtime(record["at"]))
    rest = "  ".join(str(record[k]) for k in REST if record.get(k))
    speak.data_line(veiled(f"{at}  {record.get('run', ''):8}  {record['event']:6}  {rest}"))
