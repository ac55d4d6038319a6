"""A chain's program is bounded in time, sees none of our environment, and tells no secrets."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from disco.chains.program import Program
from disco.engine.errors import DiscoError
from disco.store.redact import redact


def program(folder: Path, script: str, timeout_s: float = 10.0) -> Program:
    path = folder / "chaind"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Program(path, folder, lambda text: redact(text, ["open sesame"]), timeout_s)


async def test_it_gets_its_home_and_its_input_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKASH_OUTPUT", "json")
    chaind = program(tmp_path, 'echo "$@"; cat; env')
    out = await chaind.run(("keys", "add"), stdin="open sesame\n")
    assert out.startswith(f"keys add --home {tmp_path}\nopen sesame\n")
    assert "AKASH_OUTPUT" not in out


async def test_a_failure_shows_the_reason_and_masks_what_was_typed_in(tmp_path: Path) -> None:
    script = 'read words; echo usage >&2; echo "Error: bad words $words" >&2; exit 3'
    with pytest.raises(DiscoError) as caught:
        await program(tmp_path, script).run(("keys", "add", "n"), stdin="open sesame\n")
    assert caught.value.what == "chaind keys add failed"
    assert caught.value.why == "Error: bad words [secret]"


async def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    chaind = program(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 600 & wait", timeout_s=1.0)
    begun = time.monotonic()
    with pytest.raises(DiscoError, match="no end after 1 s"):
        await chaind.run(("start",))
    assert time.monotonic() - begun < 5
    assert not _group_exists(int((tmp_path / "pid").read_text()))


async def test_a_cancelled_run_leaves_no_process(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    chaind = program(tmp_path, f"echo $$ > {started}; sleep 600", timeout_s=5.0)
    task = asyncio.create_task(chaind.run(("start",)))
    pid = int(await asyncio.to_thread(started.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _group_exists(pid)


async def test_a_program_that_is_not_there_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(DiscoError, match="No such file"):
        await Program(tmp_path / "none", tmp_path, str).run(("init",))


def _group_exists(pid: int) -> bool:
    """Whether a process of the group runs; one that only waits to be collected doesn't count."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    states = [
        fields[0]
        for stat in Path("/proc").glob("[0-9]*/stat")
        if (fields := _after_name(stat)) and fields[2] == str(pid)
    ]
    return any(state != "Z" for state in states)


def _after_name(stat: Path) -> list[str]:
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:  # it ended while we looked
        return []
