"""What a run that failed says and leaves in the journal: who, what, how it ended, and the fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_said import Disco

from disco import __version__
from disco.cli import changing
from disco.engine.journal import Journal, who
from disco.engine.place import Place


@pytest.fixture
def fails(stack: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack with one thing to obtain, and a cache that can't be written."""
    stack.write_text("name: lab\nartifacts: {also: [pause]}\n")
    monkeypatch.setenv("DISCO_CACHE", "/proc/nothing")
    return stack


def test_the_command_to_go_on_with_names_the_layer_that_was_asked_for(
    disco: Disco, fails: Path
) -> None:
    said = disco("apply", "--yes", "--layer", "servers", "-f", str(fails))
    assert said.code == 1
    assert f"then: disco apply --layer servers -f {fails}\n" in said.err
    last = json.loads(disco("history", "--json").out)[-1]
    assert last["what"] == "apply --layer servers"


def test_a_failed_run_points_to_the_doctor_in_its_last_line(disco: Disco, fails: Path) -> None:
    said = disco("apply", "--yes", "-f", str(fails))
    assert said.err.splitlines()[-1].endswith(f"disco doctor -f {fails}")


def test_the_journal_has_who_ran_what_and_how_it_ended(disco: Disco, fails: Path) -> None:
    disco("apply", "--yes")
    records = list(Journal(Place.of(fails, "lab").journal).read())
    run, end = records[0], records[-1]
    assert (run["event"], run["who"], run["what"]) == ("run", who(), "apply")
    assert (run["version"], len(run["plan"]), run["steps"]) == (__version__, 16, 1)
    assert run["token"] == 1
    assert (end["event"], end["outcome"]) == ("end", "failed")
    assert (end["done"], end["failed"], end["skipped"]) == (0, 1, 0)
    assert end["seconds"] >= 0
    assert "/proc/nothing" in json.dumps(end["errors"]) and end["errors"][0]["fix"]


def test_a_run_whose_lock_is_taken_over_begins_nothing_and_says_so(
    disco: Disco, fails: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.of(fails, "lab")

    def taken_over() -> str:
        note = json.loads(place.lock.read_text())
        place.lock.write_text(json.dumps({**note, "token": note["token"] + 1}))
        return "aa11"

    monkeypatch.setattr(changing, "new_run", taken_over)  # the lock is held, nothing is begun
    said = disco("apply", "--yes")
    assert said.code == 1 and "the lock was taken over by another run" in said.err
    run, end = Journal(place.journal).read()
    assert (run["event"], run["run"], run["token"]) == ("run", "aa11", 1)
    assert (end["outcome"], end["done"], end["failed"]) == ("failed", 0, 1)
    assert end["errors"][0]["what"] == "the lock was taken over by another run"
