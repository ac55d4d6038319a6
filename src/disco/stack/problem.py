"""What is wrong with a stack file, for people: all of it at once, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

MAX_WORDS = 2_000  # characters of one part of a problem


@dataclass(frozen=True)
class Problem:
    """One thing to correct. Line and column count from 1; 0 where there is no such place.

    file: the stack file, or `environment NAME` for a value that stands there.
    path: dotted, as `servers.hosts[0].address`; empty when the whole file is meant.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("file", "path", "message", "hint"):
            object.__setattr__(self, name, _short(visible(getattr(self, name))))

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def order(self) -> tuple[bool, int, int, str, str, str]:
        """By position; what stands in no file comes last."""
        return (not self.line, self.line, self.column, self.file, self.path, self.message)


class StackProblems(Exception):
    """Everything that is wrong with a stack file, sorted by position."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: p.order))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(
            f"{problem}\n  hint: {problem.hint}" if problem.hint else str(problem)
            for problem in self.problems
        )


def visible(text: str) -> str:
    """Characters of a file that would steer a terminal, or can't be seen, as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _short(text: str) -> str:
    """A word of a file that fills screens is told by its beginning."""
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]}…"


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint with the known word that looks most like this one; empty when none does."""
    spelled = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return f"did you mean {spelled[close[0]]}?" if close else ""
