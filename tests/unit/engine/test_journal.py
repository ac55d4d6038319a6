"""The journal is whole up to the last record that was written, whatever happens after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.journal import Journal

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
    path.write_bytes(b'\xff\xfe\n[1]\n{"no": "event"}\n"text"\n\n' + path.read_bytes())

    assert len(list(journal.read())) == 6


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
