"""Many broken files one after the other, each bounded in time and memory."""

from __future__ import annotations

import random
import resource
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.judge import Judge
from fuzz.mutate import mutated
from fuzz.originals import ORIGINALS, SHARES

SECONDS_EACH = 2.0  # of processor time, so that a busy machine is no failure
MEMORY = 1 << 30  # bytes of address space beyond what the process has
IN_MEMORY = Path("/dev/shm")


class TooLong(BaseException):
    """An input took more than its time; no `except Exception` may hide it."""


@dataclass
class Figures:
    """What came of a number of inputs. divergences: number of the input -> what was wrong."""

    kinds: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    divergences: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)

    def add(self, other: Figures) -> None:
        self.kinds += other.kinds
        self.taken += other.taken
        self.divergences |= other.divergences
        self.slowest = max(self.slowest, other.slowest)


def broken(seed: int, number: int) -> tuple[str, bytes]:
    """Kind and content of one input."""
    chance = random.Random(f"{seed}/{number}")
    kind = chance.choices([*SHARES], [*SHARES.values()])[0]
    return kind, mutated(chance, ORIGINALS[kind])


def run(seed: int, numbers: range) -> Figures:
    """Judge these inputs."""
    figures = Figures()
    top = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="disco-fuzz-", dir=top) as folder, memory_bounded():
        judge = Judge(Path(folder))
        for number in numbers:
            one(judge, seed, number, figures)
    return figures


def one(judge: Judge, seed: int, number: int, figures: Figures) -> None:
    kind, content = broken(seed, number)
    figures.kinds[kind] += 1
    begun = processor_seconds()
    try:
        with time_bounded():
            figures.taken[kind] += judge(kind, content)
    except (Exception, TooLong) as error:
        figures.divergences[number] = f"{kind}: {type(error).__name__}: {said(error)}"
    figures.slowest = max(figures.slowest, (processor_seconds() - begun, number))


def said(error: BaseException) -> str:
    """The error in one line, with the last places of the code that it went through."""
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    return f"{' '.join(str(error).split())[:300]} ({where})"


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def time_bounded() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TooLong(f"more than {SECONDS_EACH} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_EACH)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def memory_bounded() -> Iterator[None]:
    """A file that would fill the memory gets a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
