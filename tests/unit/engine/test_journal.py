"""The journal is whole up to the last record that was written, whatever happens after it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.journal import ERROR_CHARACTERS, Journal

NOTE = {"run": "r1", "step": "s", "action": "a"}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "deep" / "journal.jsonl")


def fill(journal: Journal) -> None:
    journal.write("run", run="r1", who="somebody — 誰か")
    journal.write("intent", **NOTE)
    journal.write("done", **NOTE)
    journal.write("intent", run="r1", step="s", action="b")
    journal.write("failed", run="r1", step="s", action="b", error="line one\nline two\r\n\u2028")
    journal.write("end", run="r1", outcome="failed")


def test_records_come_back_in_order_with_their_fields(journal: Journal) -> None:
    fill(journal)

    found = list(journal.read())
    assert [r["event"] for r in found] == ["run", "intent", "done", "intent", "failed", "end"]
    assert found[0]["who"] == "somebody — 誰か"
    assert found[4]["error"] == "line one\nline two\r\n\u2028"


def test_what_a_failed_program_said_is_kept_without_secrets(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", veil=lambda text: text.replace("s3cret", "•••"))
    journal.write("failed", **NOTE, error="login with s3cret refused")
    assert [r["error"] for r in journal.read()] == ["login with ••• refused"]


def test_a_long_error_is_cut_only_after_secrets_were_taken_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", veil=lambda text: text.replace("s3cret", "•••"))
    journal.write("failed", **NOTE, error="." * (ERROR_CHARACTERS - 3) + "s3cret")
    (record,) = journal.read()
    assert "s3c" not in record["error"] and len(record["error"]) == ERROR_CHARACTERS


def test_a_journal_that_is_not_there_is_empty(journal: Journal) -> None:
    assert list(journal.read()) == []
    assert journal.unfinished() == []


def test_a_journal_cut_off_at_any_byte_is_read_and_goes_on(
    journal: Journal, tmp_path: Path
) -> None:
    fill(journal)
    content = (tmp_path / "deep" / "journal.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(content[:length])
        cut = Journal(path)
        whole = sum(end <= length for end in ends)
        # The last record is also whole when only its newline is missing.
        whole += length + 1 in ends
        assert len(list(cut.read())) == whole

        cut.write("run", run="r2")
        after = list(cut.read())
        assert len(after) == whole + 1 and after[-1]["run"] == "r2"
        assert cut.unfinished() == []


def test_lines_that_are_no_records_are_left_out(journal: Journal, tmp_path: Path) -> None:
    fill(journal)
    path = tmp_path / "deep" / "journal.jsonl"
    path.write_bytes(
        b'\xff\xfe\n[1]\n{"no": "event"}\n{"event": "run"}\n"text"\n\n' + path.read_bytes()
    )

    assert len(list(journal.read())) == 6


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "run", "run": "r"}',
        '{"at": "x", "event": "run", "run": "r"}',
        '{"at": NaN, "event": "run", "run": "r"}',
        '{"at": 1e300, "event": "run", "run": "r"}',
        '{"at": 1, "event": "run", "run": "r", "steps": "two"}',
        '{"at": 1, "event": "intent", "run": "r", "step": "s"}',
        '{"at": 1, "event": "done", "run": "r", "action": "a"}',
        '{"at": 1, "event": "intent", "run": "r", "step": ["s"], "action": {}}',
        '{"at": 1, "event": ["run"], "run": "r"}',
        '{"at": 1, "event": "run", "run": "r", "plan": 7}',
        '{"at": 1, "event": "run", "run": "r", "version": []}',
        "[" * 100_000,
    ],
    ids=lambda line: line[:60],
)
def test_a_record_that_was_spoilt_by_hand_is_left_out(
    journal: Journal, tmp_path: Path, line: str
) -> None:
    fill(journal)
    path = tmp_path / "deep" / "journal.jsonl"
    path.write_text(f"{path.read_text()}{line}\n")

    assert len(list(journal.read())) == 6
    assert journal.unfinished() == []


def test_only_intents_of_the_last_run_without_an_outcome_are_unfinished(journal: Journal) -> None:
    journal.write("run", run="r0")
    journal.write("intent", run="r0", step="old", action="old")
    fill(journal)
    assert journal.unfinished() == []

    journal.write("run", run="r2")
    journal.write("intent", run="r2", step="s", action="a")
    journal.write("intent", run="r2", step="s", action="b")
    journal.write("done", run="r2", step="s", action="a")
    journal.write("end", run="r2", outcome="cut off")

    assert [(u.run, u.step, u.action) for u in journal.unfinished()] == [("r2", "s", "b")]


def test_nobody_else_can_read_it(journal: Journal, tmp_path: Path) -> None:
    journal.write("run", run="r1")

    path = tmp_path / "deep" / "journal.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


@dataclass
class Disk:
    """Watches a journal's fsyncs: how long each takes, how much of the file each made safe."""

    path: Path
    takes_s: float = 0.0
    safe_bytes: int = 0
    syncs: int = 0

    def sync(self, handle: int) -> None:
        size = os.fstat(handle).st_size
        time.sleep(self.takes_s)
        REAL_SYNC(handle)
        self.safe_bytes, self.syncs = size, self.syncs + 1

    def holds(self, step: str) -> bool:
        return f'"step": "{step}"'.encode() in self.path.read_bytes()[: self.safe_bytes]


REAL_SYNC = os.fsync


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(tmp_path / "journal.jsonl")
    monkeypatch.setattr("os.fsync", found.sync)
    return found


async def test_many_records_share_an_fsync_and_each_is_on_the_disk_before_its_writer_goes_on(
    disk: Disk,
) -> None:
    journal = Journal(disk.path)

    async def steps(name: str) -> None:
        for i in range(20):
            await journal.record("intent", run="r1", step=f"{name}{i}", action="a")
            assert disk.holds(f"{name}{i}")

    await asyncio.gather(*(steps(name) for name in "abcdefgh"))

    found = [r["step"] for r in journal.read()]
    assert sorted(found) == sorted(f"{n}{i}" for n in "abcdefgh" for i in range(20))
    assert [s for s in found if s.startswith("a")] == [f"a{i}" for i in range(20)]
    assert disk.syncs <= 40


async def test_records_stand_in_the_order_of_the_calls(disk: Disk) -> None:
    journal = Journal(disk.path)
    await asyncio.gather(*(journal.record("done", step=str(i), action="a") for i in range(100)))
    assert [r["step"] for r in journal.read()] == [str(i) for i in range(100)]


async def test_a_slow_disk_does_not_hold_up_what_else_goes_on(disk: Disk) -> None:
    disk.takes_s = 0.3
    writing = asyncio.create_task(Journal(disk.path).record("run", run="r1"))
    turns = 0
    while not writing.done():
        await asyncio.sleep(0.001)
        turns += 1
    await writing
    assert turns > 20


async def test_who_is_cancelled_while_the_disk_is_busy_takes_nobody_along(disk: Disk) -> None:
    journal = Journal(disk.path)
    disk.takes_s = 0.05
    writing = [
        asyncio.create_task(journal.record("done", step=str(i), action="a")) for i in range(6)
    ]
    await asyncio.sleep(0.01)
    writing[0].cancel()
    writing[3].cancel()

    ended = await asyncio.gather(*writing, return_exceptions=True)
    await journal.record("end", outcome="cut off")

    assert [isinstance(e, asyncio.CancelledError) for e in ended] == [i in (0, 3) for i in range(6)]
    assert all(disk.holds(str(i)) for i in (1, 2, 4, 5))
    assert [r["event"] for r in journal.read()][-1] == "end"


async def test_records_that_can_not_be_written_are_an_error_for_each_writer(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("")
    journal = Journal(place / "journal.jsonl")

    ended = await asyncio.gather(
        *(journal.record("done", step=str(i), action="a") for i in range(5)), return_exceptions=True
    )
    assert [str(e).partition(":")[0] for e in ended] == [str(place / "journal.jsonl")] * 5
    assert all(isinstance(e, DiscoError) for e in ended)

    place.unlink()
    await journal.record("run", run="r2")
    assert [r["run"] for r in journal.read()] == ["r2"]


FULL = """
import resource, sys
from pathlib import Path
from disco.engine.errors import DiscoError
from disco.engine.journal import Journal
path = Path(sys.argv[1])
journal = Journal(path)
journal.write("run", run="r1")
limit = path.stat().st_size + 20  # the next record fits only in part
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    journal.write("intent", run="r1", step="s", action="a")
except DiscoError as error:
    print(error.what, "|", error.where, "|", error.fix)
else:
    print("nothing was said")
"""


def test_a_record_that_does_not_fit_on_the_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"

    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=30
    )

    assert ran.stdout.startswith("the journal can't be written | "), ran.stdout + ran.stderr
    assert str(path) in ran.stdout
    after = Journal(path)
    assert [r["event"] for r in after.read()] == ["run"]
    after.write("run", run="r2")
    assert [r["run"] for r in after.read()] == ["r1", "r2"]


def test_a_journal_whose_folder_can_not_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DiscoError, match="the journal can't be written"):
        Journal(tmp_path / "file" / "journal.jsonl").write("run")
