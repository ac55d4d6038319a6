"""Where the stacks of this folder are, and the sum of what was tried."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@contextmanager
def in_memory() -> Iterator[Path]:
    """Where there is such a place: thousands of fsyncs are not what is tested here."""
    top = MEMORY if os.access(MEMORY, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="disco-crash-", dir=top))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    with in_memory() as path:
        yield path


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    """For stacks that several tests begin with."""
    with in_memory() as path:
        yield path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for found in ("passed", "failed") for r in terminalreporter.getreports(found)]
    sums: dict[str, int] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name.startswith("crash:"):
                sums[name] = sums.get(name, 0) + int(value)
    if sums:
        told = ", ".join(f"{n.removeprefix('crash:')} {v}" for n, v in sorted(sums.items()))
        terminalreporter.write_line(f"interruption: {told}")
