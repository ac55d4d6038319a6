"""Checks are asked side by side, within their time, and share what they look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from disco.checks.counted import counted, until_green
from disco.checks.runner import ask, ask_all
from disco.checks.shared import Once, Shared
from disco.engine.check import Answer, Check
from disco.engine.errors import DiscoError, Several


def check(ask: Callable[[], Awaitable[Answer]], within_s: float = 5.0, id: str = "a/b") -> Check:
    return Check(id, "Is it so?", "mend it", ask, within_s)


async def green() -> Answer:
    return Answer(True, "seen")


def raising(error: Exception) -> Check:
    async def it() -> Answer:
        raise error

    return check(it)


async def test_answers_come_in_the_order_of_the_checks_whoever_is_first() -> None:
    async def slow() -> Answer:
        await asyncio.sleep(0.02)
        return Answer(True, "slow")

    asked = await ask_all([check(slow, id="a/slow"), check(green, id="a/fast")], parallel=2)
    assert [a.check.id for a in asked] == ["a/slow", "a/fast"]
    assert asked[0].seconds > asked[1].seconds


async def test_no_more_run_at_a_time_than_allowed() -> None:
    running, most = 0, 0

    async def it() -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return Answer(True, "")

    await ask_all([check(it) for _ in range(9)], parallel=3)
    assert most == 3


async def test_a_check_that_hangs_is_red_when_its_time_is_over() -> None:
    async def hang() -> Answer:
        await asyncio.sleep(60)
        return Answer(True, "")

    asked = await ask(check(hang, within_s=0.02))
    assert not asked.answer.ok
    assert asked.answer.evidence == "no answer within 0 s"


async def test_a_timeout_inside_of_a_check_is_told_apart_from_its_own() -> None:
    asked = await ask(raising(TimeoutError("the socket")))
    assert asked.answer == Answer(False, "no answer in time: the socket")


@pytest.mark.parametrize(
    "error",
    [
        DiscoError("it is away", where="h1"),
        Several([DiscoError("it is away"), DiscoError("h1 too")]),
        KeyError("it is away, h1"),
        RuntimeError("it is away: h1"),
    ],
)
async def test_whatever_goes_wrong_is_a_red_answer_that_tells_it(error: Exception) -> None:
    answers = await ask_all([raising(error), check(green)], parallel=2)
    assert [a.answer.ok for a in answers] == [False, True]
    assert "it is away" in answers[0].answer.evidence
    assert "h1" in answers[0].answer.evidence


async def test_evidence_is_one_line() -> None:
    async def it() -> Answer:
        return Answer(True, "one\n  two\tthree")

    assert (await ask(check(it))).answer.evidence == "one two three"


def test_nothing_to_look_at_is_red() -> None:
    answer = counted({}, "nodes Ready")
    assert answer == Answer(False, "0 of 0 nodes Ready: there is nothing to look at")


def test_all_well_shows_the_figures() -> None:
    assert counted({"h1": "", "h2": ""}, "nodes Ready", "h1, h2") == Answer(
        True, "2 of 2 nodes Ready: h1, h2"
    )


def test_the_first_faults_are_named_and_all_are_in_the_details() -> None:
    faults = {f"h{i}": "down" for i in range(5)} | {"h9": ""}
    answer = counted(faults, "nodes Ready", "figures")
    assert answer.evidence == "1 of 6 nodes Ready; h0: down; h1: down; h2: down; and 2 more"
    assert len(answer.details) == 5
    assert not answer.ok


async def test_waiting_ends_with_the_first_green_answer() -> None:
    answers = iter([Answer(False, "1"), Answer(True, "2"), Answer(True, "3")])

    async def it() -> Answer:
        return next(answers)

    assert await until_green(it, 5.0, 0.001) == Answer(True, "2")


async def test_waiting_without_time_asks_once() -> None:
    answers = iter([Answer(False, "1"), Answer(True, "2")])

    async def it() -> Answer:
        return next(answers)

    assert await until_green(it, 0.0) == Answer(False, "1")


async def test_a_shared_question_is_asked_once_also_when_it_fails() -> None:
    asked = 0

    async def it() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise DiscoError("away")

    once = Once(it)
    found = await asyncio.gather(*(once() for _ in range(5)), return_exceptions=True)
    assert asked == 1
    assert [str(f) for f in found] == ["away"] * 5


async def test_a_shared_question_that_was_cut_off_is_asked_again() -> None:
    asked = 0

    async def it() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60 if asked == 1 else 0)
        return asked

    once = Once(it)
    first = asyncio.create_task(once())
    await asyncio.sleep(0)
    second = asyncio.create_task(once())
    first.cancel()
    assert await second == 2
    assert await once() == 2


class Thing:
    """Something that is set up and taken down, and takes its time for both."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @asynccontextmanager
    async def made(self) -> AsyncIterator[str]:
        self.events.append("up")
        try:
            await asyncio.sleep(0.01)
            yield "thing"
        finally:
            await asyncio.sleep(0.01)
            self.events.append("down")


async def test_what_is_shared_is_set_up_once_and_taken_down_after_the_last_user() -> None:
    thing = Thing()
    shared = Shared(thing.made)

    async def use(seconds: float) -> None:
        async with shared.use() as value:
            thing.events.append(value)
            await asyncio.sleep(seconds)

    await asyncio.gather(use(0.01), use(0.03), use(0.02))
    assert thing.events == ["up", "thing", "thing", "thing", "down"]
    await use(0)
    assert thing.events[5:] == ["up", "thing", "down"]


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.015, 0.035])
async def test_a_user_that_is_cut_off_waits_for_the_taking_down(after_s: float) -> None:
    """While it is set up, while it is used, and while it is taken down already."""
    thing = Thing()
    shared = Shared(thing.made)

    async def use() -> None:
        async with shared.use():
            await asyncio.sleep(0.02)

    task = asyncio.create_task(use())
    await asyncio.sleep(after_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert thing.events == ["up", "down"]


async def test_a_setting_up_that_fails_is_told_to_every_user() -> None:
    @asynccontextmanager
    async def made() -> AsyncIterator[str]:
        raise DiscoError("no room")
        yield ""

    shared = Shared(made)

    async def use() -> None:
        async with shared.use():
            raise AssertionError("never reached")

    found = await asyncio.gather(use(), use(), return_exceptions=True)
    assert [str(f) for f in found] == ["no room", "no room"]
