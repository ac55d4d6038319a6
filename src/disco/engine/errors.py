"""One kind of error for people: what happened, where, why, and how to fix it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path


class Exit(IntEnum):
    """What the process says to the shell."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    RED = 3  # checks failed or drift found


class Retry(IntEnum):
    """Whether doing the same again can help."""

    NEVER = 0
    MAYBE = 1
    LIKELY = 2


@dataclass(eq=False)
class DiscoError(Exception):
    """An error as it is shown to a person; rendered in one place, `cli.render`.

    what:  one sentence, no full stop, names the thing.
    where: a host, `file:line:column`, or a component; empty when there is no place.
    why:   what was seen, for example the last lines of a program's output.
    fix:   what the person can do about it.
    """

    what: str
    where: str = ""
    why: str = ""
    fix: str = ""
    exit: Exit = Exit.FAILED
    retry: Retry = Retry.NEVER
    details: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        reason = f": {self.why}" if self.why else ""
        return f"{place}{self.what}{reason}"


class WrongUse(DiscoError):
    """The command line, the stack file or the environment asks for something that can't be."""

    def __init__(self, what: str, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what, where, why, fix, exit=Exit.WRONG_USE)


@dataclass(eq=False)
class NotThere(DiscoError):
    """A secret or file is asked for that has not been made yet."""


@dataclass(eq=False)
class Several(Exception):
    """Several errors of one run, each worth a line of its own."""

    errors: list[DiscoError]

    def __str__(self) -> str:
        return "; ".join(str(e) for e in self.errors)

    @property
    def exit(self) -> Exit:
        return max((e.exit for e in self.errors), default=Exit.FAILED)


def all_of(error: Exception) -> list[DiscoError]:
    """The errors for people in it; for one that nobody foresaw, one that says so and where."""
    if isinstance(error, Several):
        return list(error.errors)
    if isinstance(error, DiscoError):
        return [error]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    unforeseen = DiscoError(
        "a mistake in DISCO itself",
        why=f"{type(error).__name__}: {str(error)[:300]}",
        fix="please report it with the lines above; everything else went on",
        details=tuple(f"{Path(f.filename).name}:{f.lineno} in {f.name}" for f in frames),
    )
    return [unforeseen]
