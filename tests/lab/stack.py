"""A real stack under test: DISCO as a process, in a folder of its own, always taken down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.engine.place import Place
from disco.nspawn.reader import leftovers

DISCO = [sys.executable, "-m", "disco.cli.main"]
UP_S, DOWN_S = 1800, 300  # where nothing is cached, everything is built first
# Of the network that tests share; another one lets two runs be on one machine.
NETWORK = os.environ.get("DISCO_LAB_NETWORK", "10.88.210.0/24")
GATEWAY = NETWORK.replace(".0/24", ".1")  # this machine, as its hosts reach it
GROUPS = ("team", "secrets", "store", "vault", "signer")  # of commands


@dataclass(frozen=True)
class LabStack:
    """A stack file in its folder. `disco` runs a command on it, with a bound in seconds."""

    name: str
    file: Path

    @property
    def folder(self) -> Path:
        return self.file.parent

    @property
    def place(self) -> Place:
        return Place.of(self.file, self.name)

    def disco(self, *words: str, within_s: float = 120) -> subprocess.CompletedProcess[str]:
        parts = 2 if words[0] in GROUPS else 1
        return subprocess.run(
            [*DISCO, *words[:parts], "--file", str(self.file), *words[parts:]],
            capture_output=True,
            text=True,
            timeout=within_s,
            env=environment(),
            stdin=subprocess.DEVNULL,
        )

    def must(self, *words: str, within_s: float = 120) -> str:
        done = self.disco(*words, within_s=within_s)
        assert done.returncode == 0, f"disco {words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def put(self, secret: str, value: str) -> None:
        """Another value of a secret in the store."""
        words = [*DISCO, "secrets", "set", "--file", str(self.file), secret]
        subprocess.run(words, input=value, text=True, check=True, timeout=60, env=environment())

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command, *rest = words
        log = (self.file.parent / f"{command}.log").open("ab")
        return subprocess.Popen(
            [*DISCO, command, "--file", str(self.file), *rest],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,
        )

    def journal(self) -> list[dict[str, Any]]:
        """Whole records only; the last line may be half written."""
        try:
            lines = self.place.journal.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def down(self) -> None:
        self.must("down", "--yes", "--allow-destroy", within_s=DOWN_S)
        assert leftovers(self.place.id) == []


def environment() -> dict[str, str]:
    return {**os.environ, "CI": "true", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


@contextmanager
def lab_stack(folder: Path, text: str) -> Iterator[LabStack]:
    """Write a stack file and take whatever came of it down, also when the test failed."""
    file = folder / "stack.yaml"
    file.write_text(text)
    name = next(line.split()[1] for line in text.splitlines() if line.startswith("name:"))
    stack = LabStack(name, file)
    try:
        yield stack
    finally:
        stack.down()


def until(
    what: str,
    test: Callable[[], Any],
    within_s: float,
    pause_s: float = 0.5,
    told: Callable[[], Any] | None = None,
) -> Any:
    """Poll until `test` gives something true. Fails with what was last seen, or `told` says."""
    ends = time.monotonic() + within_s
    while True:
        seen = test()
        if seen:
            return seen
        assert time.monotonic() < ends, (
            f"gave up after {within_s:.0f} s waiting until {what}: {told() if told else seen}"
        )
        time.sleep(pause_s)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to DISCO and what it runs here; hosts and what runs on them go on."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
