"""One writer at a time, named; a dead one is no obstacle; one that lost the lock is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.lock import hold

HOLDER = """
import sys, time
from pathlib import Path
from disco.engine.lock import hold
with hold(Path(sys.argv[1]), "apply") as held:
    print(held.token, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        yield process
    finally:
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def test_the_second_holder_is_refused_at_once_and_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another_process(path) as other, pytest.raises(DiscoError) as caught, hold(path, "down"):
        pytest.fail("both have it")

    assert "another run holds" in caught.value.what
    assert f"process {other.pid}" in caught.value.why
    assert "`disco apply`" in caught.value.why and "@" in caught.value.why


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another_process(path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(10)
        with hold(path, "apply") as held:
            assert held.token == 2


def test_tokens_grow_with_every_holder_also_after_an_error(tmp_path: Path) -> None:
    tokens = []
    for _ in range(3):
        with pytest.raises(ValueError), hold(tmp_path / "lock", "apply") as held:
            tokens.append(held.token)
            raise ValueError

    assert tokens == [1, 2, 3]


def test_a_holder_whose_token_is_not_the_newest_any_more_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path, "apply") as held:
        held.check()
        note = json.loads(path.read_text())
        path.write_text(json.dumps({**note, "token": held.token + 1}))
        with pytest.raises(DiscoError, match="taken over"):
            held.check()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b'{"token": "x"}', b'{"token": nul'])
def test_a_note_that_can_not_be_read_neither_stops_nor_passes(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "lock"
    path.write_bytes(content)
    with hold(path, "apply") as held:
        held.check()
        path.write_bytes(content)
        with pytest.raises(DiscoError):
            held.check()


def test_the_note_is_for_its_owner_only_and_tells_the_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path, "up"):
        assert path.stat().st_mode & 0o777 == 0o600
        note = json.loads(path.read_text())
        assert (note["pid"], note["what"]) == (os.getpid(), "up")


@pytest.mark.parametrize("at", ["NaN", "Infinity", "-1e400", '"noon"', "null"])
def test_a_note_of_the_holder_that_was_spoilt_by_hand_says_what_it_can(
    tmp_path: Path, at: str
) -> None:
    with hold(tmp_path / "lock", "up"):
        (tmp_path / "lock").write_text(f'{{"what": "up", "at": {at}}}')
        with pytest.raises(DiscoError, match="an unknown time"), hold(tmp_path / "lock", "down"):
            pass


def test_a_note_that_nests_without_end_is_no_note(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("[" * 100_000)
    with hold(tmp_path / "lock", "up") as held:
        held.check()
        assert held.token == 1
