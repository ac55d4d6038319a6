"""Times of processes: wall and CPU, in seconds, the least of several."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Took:
    wall_s: float
    cpu_s: float


def process(argv: Sequence[str], times: int = 5, codes: Sequence[int] = (0,)) -> Took:
    """The least wall and CPU time of a process over some runs. Raises when it fails."""
    found = [_once(argv, codes) for _ in range(times)]
    return Took(min(f.wall_s for f in found), min(f.cpu_s for f in found))


def _once(argv: Sequence[str], codes: Sequence[int]) -> Took:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    wall = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in codes:
        raise RuntimeError(f"{argv}: {done.returncode}: {done.stderr.decode()[-400:]}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Took(wall, cpu)


def disco(*words: str) -> list[str]:
    return [sys.executable, "-m", "disco.cli.main", *words]


def line(what: str, figure: str, aim: str = "") -> None:
    """One row: what, the figure, and what was aimed at."""
    print(f"{what:<58} {figure:>22}   {aim}")


def load() -> str:
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
