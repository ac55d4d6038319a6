"""Every kind of lock keeps the contract: real processes, real files, a real git store."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from lock_contract import KINDS, Other, another

from disco.engine.errors import DiscoError, Retry
from disco.engine.lock import LockLost

HOUR_S = 3600.0


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", os.environ["PATH"])  # one of them puts a program into it
    return str(request.param)


def killed(other: Other) -> None:
    other.process.send_signal(signal.SIGKILL)
    other.process.wait(30)


def test_of_processes_that_contend_one_wins_and_the_others_are_told_who(
    kind: str, tmp_path: Path
) -> None:
    KINDS[kind].make(tmp_path)
    with ExitStack() as stack:
        others = [stack.enter_context(another(kind, tmp_path, f"up-{i}")) for i in range(3)]
        for other in others:
            other.says()
        said = {other: other.hears() for other in others}
        (winner,) = [other for other in others if said[other] == "1"]
        what = f"`disco up-{others.index(winner)}` (process {winner.process.pid})"
        for other in others:
            assert other is winner or ("another run holds" in said[other] and what in said[other])


def test_nobody_held_what_was_never_taken(kind: str, tmp_path: Path) -> None:
    assert KINDS[kind].make(tmp_path).last_holder() is None


def test_the_holder_is_told_while_he_has_it(kind: str, tmp_path: Path) -> None:
    lock = KINDS[kind].make(tmp_path)
    with lock.hold("down --layer akash") as held:
        holder = lock.last_holder()
    assert holder is not None
    assert (holder.what, holder.pid, holder.token) == ("down --layer akash", os.getpid(), 1)
    assert holder.alive and "@" in holder.who and held.token == 1


def test_the_lock_of_a_killed_holder_is_free_or_stays_until_it_is_broken(
    kind: str, tmp_path: Path
) -> None:
    lock = KINDS[kind].make(tmp_path)
    with another(kind, tmp_path) as other:
        assert other.takes() == "1"
        killed(other)
    if KINDS[kind].outlives:
        with pytest.raises(DiscoError, match=f"process {other.process.pid}"), lock.hold("up"):
            pytest.fail("a dead holder's lock was taken without a word")
        KINDS[kind].break_it(tmp_path)
    holder = lock.last_holder()
    assert holder is not None and not holder.alive
    with lock.hold("up") as held:
        assert held.token == 2


def test_a_holder_that_was_taken_for_dead_finds_that_it_lost_the_lock(
    kind: str, tmp_path: Path
) -> None:
    lock = KINDS[kind].make(tmp_path)
    with another(kind, tmp_path) as other:
        assert (other.takes(), other.takes()) == ("1", "ours")
        other.process.send_signal(signal.SIGSTOP)
        KINDS[kind].break_it(tmp_path)
        with lock.hold("up"):
            other.process.send_signal(signal.SIGCONT)
            assert "taken over" in other.takes()
        assert "taken over" in other.takes()


async def test_releasing_a_lost_lock_does_not_release_it_for_its_new_holder(
    kind: str, tmp_path: Path
) -> None:
    lock = KINDS[kind].make(tmp_path)
    with another(kind, tmp_path) as other:
        assert other.takes() == "1"
        KINDS[kind].break_it(tmp_path)
        with lock.hold("up") as held:
            other.ends()
            await held.check()
            with pytest.raises(DiscoError, match="another run holds"), lock.hold("up"):
                pytest.fail("both have it")
            await held.check()


async def test_what_a_check_raises_is_not_tried_again(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    lock = KINDS[kind].make(folder)
    with lock.hold("up") as held:
        await held.check()
        folder.rename(tmp_path / "away")
        with pytest.raises(DiscoError) as caught:
            await held.check()
        assert caught.value.retry is Retry.NEVER
        (tmp_path / "away").rename(folder)
        await held.check()
        KINDS[kind].break_it(folder)
        with lock.hold("down"):
            with pytest.raises(LockLost) as lost:
                await held.check()
            assert lost.value.retry is Retry.NEVER


def test_tokens_grow_with_every_holder_however_it_ends(kind: str, tmp_path: Path) -> None:
    lock, tokens = KINDS[kind].make(tmp_path), []
    for turn in range(20):
        if turn % 8 == 7:
            with another(kind, tmp_path) as other:
                tokens.append(int(other.takes()))
                killed(other)
            if KINDS[kind].outlives:
                KINDS[kind].break_it(tmp_path)
            continue
        with suppress(ValueError), lock.hold("up") as held:
            tokens.append(held.token)
            if turn % 3 == 0:
                raise ValueError
    assert tokens == list(range(1, 21))


@pytest.mark.parametrize("clock_s", [-HOUR_S, HOUR_S])
async def test_a_clock_that_is_an_hour_wrong_changes_nothing(
    kind: str, tmp_path: Path, clock_s: float
) -> None:
    lock = KINDS[kind].make(tmp_path)
    with lock.hold("up"):
        pass
    with another(kind, tmp_path, clock_s=clock_s) as other:
        assert other.takes() == "2"
        holder = lock.last_holder()
        assert holder is not None and holder.alive
        assert abs(holder.at - time.time() - clock_s) < 60
        with pytest.raises(DiscoError, match="another run holds"), lock.hold("up"):
            pytest.fail("both have it")
        assert other.takes() == "ours"
    with lock.hold("up") as held:
        assert held.token == 3
        with another(kind, tmp_path, clock_s=clock_s) as other:
            assert "another run holds" in other.takes()
        await held.check()
