"""Doing the same again where that can help: bounded, with growing, jittered pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from disco.engine.errors import DiscoError, Retry

ATTEMPTS = 4
FIRST_PAUSE_S = 0.5
T = TypeVar("T")


async def tried(do: Callable[[], Awaitable[T]], before: Callable[[int, DiscoError], None]) -> T:
    """The result of `do`, tried again when its error says that this can help.

    before: told the number of the failed attempt and its error before each pause.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return await do()
        except DiscoError as error:
            if error.retry is not Retry.LIKELY:
                raise
            before(attempt, error)
        await asyncio.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.7, 1.3))
    return await do()
