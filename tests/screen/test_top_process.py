"""`disco top` as a process: in pipes, as data, and at a terminal that must be as it was before."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from screen import simulated_top

TESTS = Path(__file__).parents[1]
WITHIN_S = 60.0  # this machine may be busy
ALTERNATE, BACK, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


def command(folder: Path, *arguments: str) -> list[str]:
    script = str(Path(simulated_top.__file__))
    return [sys.executable, script, "wide", str(folder), "top", *arguments]


def environ(**more: str) -> dict[str, str]:
    kept = {
        k: v for k, v in os.environ.items() if k not in ("CI", "FORCE_COLOR", "NO_COLOR", "TERM")
    }
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    return {**kept, "PYTHONPATH": path, "TERM": "xterm-256color", **more}


def said(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environ(**more),
        timeout=WITHIN_S * 2,
        check=False,
    )


def test_in_a_pipe_it_prints_one_plain_snapshot(tmp_path: Path) -> None:
    done = said(tmp_path)
    assert (done.returncode, done.stderr) == (3, "")
    first, headings, *lines = done.stdout.splitlines()
    assert first.startswith("wide: 1 problem: chain/akash/height; looked at ")
    assert headings.split() == ["layer", "what", "state", "details"]
    assert re.search(
        r"^servers +✓ +h1 +up +10\.90\.0\.11, 25% of 4 CPUs, memory", done.stdout, re.M
    )
    assert re.search(
        r"^ +✗ +chain/akash/height +red +stands at 12 \[2J for 15 s$", done.stdout, re.M
    )
    assert not [c for c in done.stdout if not c.isprintable() and c != "\n"]
    parts = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert parts == ["run", "servers", "cluster", "platform", "akash", "alerts", "checks"]


def test_as_data_it_prints_everything_once(tmp_path: Path) -> None:
    done = said(tmp_path, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr, found["ok"]) == (3, "", False)
    assert {t["ok"] for t in found["things"]} == {True} and found["at"] > 0
    assert [c["check"] for c in found["checks"]["seen"]] == ["servers/ssh", "chain/akash/height"]
    assert {"hosts", "vault", "chains", "alerts", "run", "events", "unseen"} <= found.keys()


def test_what_is_down_is_told_and_is_exit_code_3(tmp_path: Path) -> None:
    done = said(tmp_path, "--once", SIMULATED_DOWN="1")
    assert done.returncode == 3
    assert "? " in done.stdout and "waits for servers" in done.stdout and "✓" not in done.stdout


def test_an_interval_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    done = said(tmp_path, "--every", "0.1", SIMULATED_DOWN="1")
    assert (done.returncode, done.stdout) == (2, "") and "--every" in done.stderr


class Terminal:
    """A terminal of 80x24 with `disco top` in it. before: its state when that began."""

    def __init__(self, folder: Path, *arguments: str, **more: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            command(folder, *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ(**more),
            start_new_session=True,
        )
        self._theirs = theirs
        self.shown = b""

    def read(self, until: bytes = b"") -> None:
        """Until something was shown, or the process ended."""
        ends = time.monotonic() + WITHIN_S
        while time.monotonic() < ends:
            if select.select([self._ours], [], [], 0.1)[0]:
                self.shown += os.read(self._ours, 1 << 16)
            elif self.process.poll() is not None:
                return
            if until and until in self.shown:
                return
        raise AssertionError(f"no {until!r} in {self.shown[-2000:]!r}")

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    @property
    def after(self) -> list[int | list[bytes | int]]:
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@contextmanager
def terminal(folder: Path, *arguments: str, **more: str) -> Iterator[Terminal]:
    found = Terminal(folder, *arguments, **more)
    try:
        yield found
    finally:
        found.close()


def is_as_before(found: Terminal) -> bool:
    last = found.shown.rindex(BACK)
    return found.after == found.before and found.shown.rindex(CURSOR) > 0 and last > 0


@pytest.mark.parametrize(
    ("how", "code"),
    [("q", 0), ("ctrl-c", 130), ("TERM", 143), ("HUP", 129), ("INT", 130)],
)
def test_however_it_ends_the_terminal_is_as_it_was(tmp_path: Path, how: str, code: int) -> None:
    with terminal(tmp_path) as found:
        found.read(b"chain/akash/height")
        assert ALTERNATE in found.shown and found.after != found.before
        if how in ("q", "ctrl-c"):
            found.press({"q": b"q", "ctrl-c": b"\x03"}[how])
        else:
            found.process.send_signal(getattr(signal, f"SIG{how}"))
        found.read()
        assert found.process.wait(WITHIN_S) == code
        assert is_as_before(found)
        assert b"Traceback" not in found.shown


def test_a_component_that_never_answers_does_not_hold_up_the_way_out(tmp_path: Path) -> None:
    with terminal(tmp_path, SIMULATED_SILENT="servers") as found:
        found.read(b"asking")
        begun = time.monotonic()
        found.press(b"q")
        found.read()
        assert found.process.wait(WITHIN_S) == 0
        assert time.monotonic() - begun < 6, "it waited for what does not answer (9 s)"
        assert is_as_before(found)


def test_a_mistake_is_told_after_the_screen_and_tells_no_variables(tmp_path: Path) -> None:
    with terminal(tmp_path, SIMULATED_MISTAKE="1") as found:
        found.read()
        assert found.process.wait(WITHIN_S) == 1
        assert is_as_before(found)
        told = found.shown[found.shown.rindex(BACK) :]
        assert b"a mistake in DISCO itself: ValueError: 27 letters" in told
        assert simulated_top.SECRET.encode() not in found.shown


def test_without_colour_nothing_is_coloured(tmp_path: Path) -> None:
    with terminal(tmp_path, NO_COLOR="1") as found:
        found.read(b"chain/akash/height")
        found.press(b"q")
        found.read()
    codes = {c for m in re.findall(rb"\x1b\[([\d;]*)m", found.shown) for c in m.split(b";")}
    colours = {c for c in codes if c.isdigit() and 30 <= int(c) <= 107 and int(c) not in (39, 49)}
    assert not colours and b"7" in codes


@pytest.mark.parametrize("more", [{"TERM": "dumb"}, {"CI": "true"}])
def test_where_nobody_can_press_a_key_it_prints_once(tmp_path: Path, more: dict[str, str]) -> None:
    with terminal(tmp_path, **more) as found:
        found.read()
        assert found.process.wait(WITHIN_S) == 3
        assert ALTERNATE not in found.shown and b"looked at" in found.shown
