"""Nothing changes the world but through the gate: recorded before and after, retried at need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_components import Touch

from disco.engine.action import Action
from disco.engine.errors import DiscoError, Retry
from disco.engine.gate import Executor, Gate, Report
from disco.engine.journal import Journal
from disco.engine.retry import ATTEMPTS, FIRST_PAUSE_S
from sim import in_virtual_time

ACTION = Touch("a")
Check = Callable[[], Awaitable[None]]


async def held() -> None:
    """The lock is ours."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def carry_out(
    journal: Journal,
    do: Callable[[], None],
    check: Check = held,
    report: Report = lambda note, share: None,
    passed: Callable[[float], None] = lambda seconds: None,
) -> None:
    """One action through a gate, in virtual time."""

    async def executor(action: Action, report: Report) -> None:
        do()

    gate = Gate({"touch": executor}, journal, "r1", check)
    in_virtual_time(gate.carry_out("part/step", ACTION, report), passed)


def failing(times: int, retry: Retry) -> tuple[Callable[[], None], list[int]]:
    calls: list[int] = []

    def do() -> None:
        calls.append(1)
        if len(calls) <= times:
            raise DiscoError("it went wrong", retry=retry)

    return do, calls


def recorded(journal: Journal) -> list[str]:
    return [r["event"] for r in journal.read()]


def test_the_intent_is_on_the_disk_before_anything_is_done(journal: Journal) -> None:
    seen: list[list[str]] = []
    carry_out(journal, lambda: seen.append(recorded(journal)))

    assert seen == [["intent"]]
    assert recorded(journal) == ["intent", "done"]
    intent = next(journal.read())
    assert intent["action"] == "touch a" and intent["step"] == "part/step"
    assert intent["run"] == "r1" and ACTION.digest.startswith(intent["digest"])


def test_a_failure_is_recorded_with_its_reason(journal: Journal) -> None:
    do, _ = failing(1, Retry.NEVER)
    with pytest.raises(DiscoError):
        carry_out(journal, do)

    assert recorded(journal) == ["intent", "failed"]
    assert list(journal.read())[1]["error"] == "it went wrong"


@pytest.mark.parametrize("retry", [Retry.NEVER, Retry.MAYBE])
def test_what_would_fail_again_is_not_tried_again(journal: Journal, retry: Retry) -> None:
    do, calls = failing(1, retry)
    with pytest.raises(DiscoError):
        carry_out(journal, do)

    assert len(calls) == 1


def test_what_likely_passes_is_tried_again_and_the_person_is_told(journal: Journal) -> None:
    do, calls = failing(2, Retry.LIKELY)
    notes: list[str] = []
    carry_out(journal, do, report=lambda note, share: notes.append(note))

    assert len(calls) == 3
    assert recorded(journal) == ["intent", "done"]
    assert [n[:14] for n in notes] == ["trying again (", "trying again ("]
    assert all("it went wrong" in n for n in notes)


def test_trying_again_has_an_end_and_its_pauses_grow(journal: Journal) -> None:
    do, calls = failing(99, Retry.LIKELY)
    pauses: list[float] = []
    with pytest.raises(DiscoError):
        carry_out(journal, do, passed=pauses.append)

    assert len(calls) == ATTEMPTS
    assert recorded(journal) == ["intent", "failed"]
    assert len(pauses) == ATTEMPTS - 1
    for number, pause_s in enumerate(pauses):
        assert 0.69 <= pause_s / (FIRST_PAUSE_S * 2**number) <= 1.31


def test_an_error_that_nobody_foresaw_is_recorded_and_not_tried_again(journal: Journal) -> None:
    calls: list[int] = []

    def do() -> None:
        calls.append(1)
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        carry_out(journal, do)
    assert (len(calls), recorded(journal)) == (1, ["intent", "failed"])


def test_who_lost_the_lock_does_nothing_and_records_no_intent(journal: Journal) -> None:
    done: list[int] = []

    async def check() -> None:
        raise DiscoError("the lock was taken over")

    with pytest.raises(DiscoError, match="taken over"):
        carry_out(journal, lambda: done.append(1), check)
    assert (done, recorded(journal)) == ([], [])


def test_who_loses_the_lock_between_two_attempts_does_not_try_again(journal: Journal) -> None:
    do, calls = failing(99, Retry.LIKELY)

    async def check() -> None:
        if calls:
            raise DiscoError("the lock was taken over")

    with pytest.raises(DiscoError, match="taken over"):
        carry_out(journal, do, check)
    assert len(calls) == 1
    assert recorded(journal) == ["intent", "failed"]


def test_a_kind_that_nobody_carries_out_is_refused_before_its_intent(journal: Journal) -> None:
    executors: dict[str, Executor] = {}
    gate = Gate(executors, journal, "r1", held)

    def report(note: str, share: float | None) -> None:
        pytest.fail(note)

    work: Any = gate.carry_out("s", ACTION, report)
    with pytest.raises(LookupError, match="touch"):
        in_virtual_time(work)
    assert recorded(journal) == []


def test_what_is_cancelled_has_an_intent_and_no_outcome(journal: Journal) -> None:

    async def work() -> None:
        async def forever(action: Action, report: Report) -> None:
            await asyncio.sleep(1000)

        gate = Gate({"touch": forever}, journal, "r1", held)
        task = asyncio.create_task(gate.carry_out("s", ACTION, lambda note, share: None))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_virtual_time(work())
    assert recorded(journal) == ["intent"]
    assert [u.action for u in journal.unfinished()] == ["touch a"]
