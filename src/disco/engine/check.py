"""One question about the running stack, with its evidence and its fix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """What a check saw. `evidence` is one line that a person can verify."""

    ok: bool
    evidence: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """A question. `ask` reads the world and answers; an exception counts as red, with its text.

    id:      `component/what`, stable, used in reports and by `--only`.
    fix:     what to do when it is red.
    within_s: seconds after which no answer is an answer.
    reads_only: False where asking makes something for a while, such as a pod or a login.
    """

    id: str
    question: str
    fix: str
    ask: Callable[[], Awaitable[Answer]] = field(repr=False, compare=False)
    within_s: float = 30.0
    reads_only: bool = True
