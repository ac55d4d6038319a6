"""Questions that cost something: each is asked once at a time, within a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from disco.engine.errors import DiscoError

WITHIN_S = 120.0
FRESH_S = 1.0


@dataclass(frozen=True)
class Answer:
    """at: Unix time of the answer. seconds: what it took."""

    at: float
    seconds: float
    data: Any


class Asking:
    """Who asks while the same is being asked waits for that answer; who asks right after it gets
    it as well: no number of open pages asks a stack more often.

    within_s: seconds until no answer is an error. fresh_s: seconds that an answer is good for.
    """

    def __init__(self, within_s: float = WITHIN_S, fresh_s: float = FRESH_S) -> None:
        self._within_s, self._fresh_s = within_s, fresh_s
        self._asked: dict[str, asyncio.Task[Answer]] = {}

    async def ask(self, what: str, question: Callable[[], Awaitable[Any]]) -> Answer:
        """Raises what the question raises, and DiscoError when it takes too long."""
        task = self._asked.get(what)
        if task is None or self._is_old(task):
            task = asyncio.create_task(self._answer(what, question))
            task.add_done_callback(_taken_note_of)
            self._asked[what] = task
        return await asyncio.shield(task)

    def _is_old(self, task: asyncio.Task[Answer]) -> bool:
        if not task.done():
            return False
        failed = task.cancelled() or task.exception() is not None
        return failed or time.time() - task.result().at > self._fresh_s

    async def _answer(self, what: str, question: Callable[[], Awaitable[Any]]) -> Answer:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._within_s) as limit:
                data = await question()
        except TimeoutError:
            if not limit.expired():
                raise
            raise DiscoError(
                f"{what}: no answer in time",
                why=f"{self._within_s:.0f} s were not enough",
                fix=f"disco {what} takes the time that it needs",
            ) from None
        return Answer(round(time.time(), 3), round(time.monotonic() - begun, 3), data)


def _taken_note_of(task: asyncio.Task[Answer]) -> None:
    """Whoever asked may have left: an error that nobody waits for is no news."""
    if not task.cancelled():
        task.exception()
