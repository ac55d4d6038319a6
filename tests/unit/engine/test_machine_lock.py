"""The lock of this machine: its note is for people, and may be spoilt, lost or old."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.machine_lock import MachineLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


async def test_a_holder_whose_token_is_not_the_newest_any_more_is_told(path: Path) -> None:
    with MachineLock(path).hold("apply") as held:
        await held.check()
        note = json.loads(path.read_text())
        path.write_text(json.dumps({**note, "token": held.token + 1}))
        with pytest.raises(DiscoError, match="taken over"):
            await held.check()


async def test_who_begins_again_at_the_same_token_is_not_taken_for_us(path: Path) -> None:
    with MachineLock(path).hold("apply") as ours:
        for file in (path, path.with_name("lock.file")):  # the folder was emptied meanwhile
            file.unlink()
        with MachineLock(path).hold("apply") as theirs:
            assert ours.token == theirs.token
            await theirs.check()
            with pytest.raises(DiscoError, match="taken over"):
                await ours.check()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b'{"token": "x"}', b'{"token": nul'])
async def test_a_note_that_can_not_be_read_neither_stops_nor_passes(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with MachineLock(path).hold("apply") as held:
        await held.check()
        path.write_bytes(content)
        with pytest.raises(DiscoError):
            await held.check()


def test_the_note_is_for_its_owner_only_and_tells_the_process(path: Path) -> None:
    with MachineLock(path).hold("up"):
        assert path.stat().st_mode & 0o777 == 0o600
        note = json.loads(path.read_text())
        assert (note["pid"], note["what"]) == (os.getpid(), "up")


@pytest.mark.parametrize("at", ["NaN", "Infinity", "-1e400", "1" + 400 * "0", '"noon"', "null"])
def test_a_note_of_the_holder_that_was_spoilt_by_hand_says_what_it_can(path: Path, at: str) -> None:
    lock = MachineLock(path)
    with lock.hold("up"):
        path.write_text(f'{{"what": "up", "at": {at}}}')
        with pytest.raises(DiscoError, match="an unknown time"), lock.hold("down"):
            pass


async def test_a_note_that_nests_without_end_is_no_note(path: Path) -> None:
    path.write_text("[" * 100_000)
    with MachineLock(path).hold("up") as held:
        await held.check()
        assert held.token == 1


def test_a_process_that_has_the_number_of_a_dead_holder_is_not_the_holder(path: Path) -> None:
    lock = MachineLock(path)
    with lock.hold("up"):
        holder = lock.last_holder()
        assert holder is not None and holder.alive
    note = json.loads(path.read_text())
    path.write_text(json.dumps({**note, "began": note["began"] + "0"}))
    holder = lock.last_holder()
    assert holder is not None and not holder.alive
