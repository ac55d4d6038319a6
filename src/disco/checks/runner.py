"""Asks checks side by side, each within its time; whatever goes wrong in one is a red answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from disco.engine.check import Answer, Check
from disco.engine.errors import DiscoError, Several


@dataclass(frozen=True)
class Asked:
    check: Check
    answer: Answer
    seconds: float


async def ask_all(checks: Sequence[Check], parallel: int) -> list[Asked]:
    """The answers, in the order of the checks."""
    slots = asyncio.Semaphore(parallel)

    async def one(check: Check) -> Asked:
        async with slots:
            return await ask(check)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(c)) for c in checks]
    return [t.result() for t in tasks]


async def ask_within(checks: Sequence[Check], seconds: float, parallel: int) -> list[Asked]:
    """The answers that came in time, in the order of the checks; the others are cut off."""
    if not checks:
        return []
    slots = asyncio.Semaphore(parallel)

    async def one(check: Check) -> Asked:
        async with slots:
            return await ask(check)

    tasks = [asyncio.create_task(one(c)) for c in checks]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds)
        return [t.result() for t in tasks if t in done]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(check: Check) -> Asked:
    """Ask one; its evidence is one line."""
    begun = time.monotonic()
    answer = await _answer(check)
    line = " ".join(answer.evidence.split())
    return Asked(check, replace(answer, evidence=line), time.monotonic() - begun)


async def _answer(check: Check) -> Answer:
    try:
        async with asyncio.timeout(check.within_s) as limit:
            return await check.ask()
    except TimeoutError as error:
        if limit.expired():
            return Answer(False, f"no answer within {check.within_s:.0f} s")
        return Answer(False, f"no answer in time: {error}")
    except (DiscoError, Several) as error:
        return Answer(False, str(error))
    except Exception as error:  # one check's mistake must not hide what the others saw
        return Answer(False, f"an answer of another shape than expected: {error!r}")
