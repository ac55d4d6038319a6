"""The journal as it is written, for browsers: server-sent events, many records in each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from disco.engine.tail import Tail

PAUSE_S = 0.1
SILENCE_S = 15.0  # after it a comment is sent: what is gone is noticed
FIRST = 200  # records of before, when a page is opened
TOGETHER = 500  # records in one message


def must_be_readable(journal: Path) -> None:
    """Raises OSError while there is still somebody to tell; a journal may not be there yet."""
    with suppress(FileNotFoundError), journal.open("rb"):
        pass


async def stream(
    journal: Path, veiled: Callable[[str], str], ends: Callable[[], bool]
) -> AsyncIterator[str]:
    """The last records and then every new one, until `ends`. Each message is a JSON list."""
    tail = Tail(journal)
    records = (await asyncio.to_thread(tail.new))[-FIRST:]
    said = 0.0
    while not ends():
        if not records and time.monotonic() - said > SILENCE_S:
            yield ": still here\n\n"
            said = time.monotonic()
        for i in range(0, len(records), TOGETHER):
            text = json.dumps(records[i : i + TOGETHER], ensure_ascii=False)
            yield f"data: {veiled(text)}\n\n"
            said = time.monotonic()
        await asyncio.sleep(PAUSE_S)
        records = await asyncio.to_thread(tail.new)
