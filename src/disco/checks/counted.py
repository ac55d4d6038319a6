"""Answers about several things of a kind: how many are as they should be, and which are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from disco.engine.check import Answer

NAMED = 3  # faults that fit into one line of evidence; the rest is in the details


def counted(faults: Mapping[str, str], things: str, seen: str = "") -> Answer:
    """`faults`: what was looked at -> what is wrong with it, or nothing. None at all is red.

    things: what the good ones are called: `nodes Ready`. seen: figures for when all is well.
    """
    wrong = {thing: fault for thing, fault in faults.items() if fault}
    share = f"{len(faults) - len(wrong)} of {len(faults)} {things}"
    if not faults:
        return Answer(False, f"{share}: there is nothing to look at")
    if not wrong:
        return Answer(True, f"{share}: {seen}" if seen else share)
    told = tuple(f"{thing}: {fault}" for thing, fault in wrong.items())
    more = f"; and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return Answer(False, f"{share}; {'; '.join(told[:NAMED])}{more}", told)


async def until_green(
    ask: Callable[[], Awaitable[Answer]], within_s: float, pause_s: float = 0.3
) -> Answer:
    """The first green answer, or the last one that began within this time."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + within_s
    while True:
        answer = await ask()
        if answer.ok or loop.time() + pause_s > ends:
            return answer
        await asyncio.sleep(pause_s)
