"""What only a whole process can show: pipes, Ctrl-C, closed streams, what is imported."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DISCO = (sys.executable, "-m", "disco.cli.main")
HEAVY = (
    "asyncssh",
    "lightkube",
    "pydantic",
    "cryptography",
    "httpx2",
    "ruamel",
    "uvicorn",
    "starlette",
    "textual",
)


# What speaks to servers and clusters: a stack file is read without.
FOR_CONNECTIONS = ("asyncssh", "lightkube", "wsproto", "uvicorn", "starlette", "textual")


def test_nothing_is_imported_that_a_command_does_not_need(stack: Path) -> None:
    """Help has to be there at once: 250 ms over Python itself are the most that it may take."""
    code = f"""
import sys
from disco.cli.ending import ended
assert ended(["--help"]) == ended(["up", "--help"]) == 0 and ended(["statu"]) == 2
print("loaded:", *(name for name in {HEAVY} if name in sys.modules))
assert ended(["validate"]) == 0
print("loaded:", *(name for name in {FOR_CONNECTIONS} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [x for x in done.stdout.splitlines() if x.startswith("loaded")] == ["loaded:"] * 2


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("{} schema | head -n 1", 0, ""),
        ("{} config >&-", 0, ""),
        ("{} config > /dev/full", 1, "error: the output can't be written: No space left"),
        ("{} nonsense 2>&-", 2, ""),
    ],
)
def test_a_reader_that_leaves_or_fails_is_no_traceback(
    stack: Path, line: str, code: int, told: str
) -> None:
    script = f"set -o pipefail; {line.format(' '.join(DISCO))}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[: len(told)]) == (code, told)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_ctrl_c_ends_what_follows(stack: Path) -> None:
    journal = stack.parent / ".disco/lab/journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"at": 1, "event": "run", "run": "a1", "who": "me", "what": "up"}\n{"at"')
    with subprocess.Popen(
        [*DISCO, "events", "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().split()[1:] == ["a1", "run", "me", "up"]
        with journal.open("a") as more:
            more.write(': 2, "event": "end", "run": "a1", "outcome": "done"}\n')
        assert process.stdout.readline().split()[1:] == ["a1", "end", "done"]
        process.send_signal(signal.SIGINT)
        assert (process.wait(10), process.stderr.read()) == (130, "")


@pytest.mark.parametrize("after_s", [0.12, 0.3])
def test_ctrl_c_while_it_begins_is_no_traceback(stack: Path, after_s: float) -> None:
    with subprocess.Popen(
        [*DISCO, "plan"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    pythons_own = process.returncode == 1 and "disco" not in err  # it had not begun yet
    assert process.returncode in (130, -signal.SIGINT) or pythons_own
    assert "disco" not in err or "Traceback" not in err
