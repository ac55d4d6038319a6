"""Times of processes: wall and CPU, in seconds, the least of several."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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


def fresh(module: str, *words: str) -> str:
    """What a module of ours prints in a process of its own: its peak memory is of nothing else."""
    argv = [sys.executable, "-m", module, *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def peak_bytes() -> int:
    """Memory that this process had at most; unlike rusage, nothing of its parent."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(r.split()[1]) * 1024 for r in rows if r.startswith("VmHWM:"))


def disco(*words: str) -> list[str]:
    return [sys.executable, "-m", "disco.cli.main", *words]


def line(what: str, figure: str, aim: str = "") -> None:
    """One row: what, the figure, and what was aimed at."""
    print(f"{what:<58} {figure:>22}   {aim}")


def load() -> str:
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
