"""What happens during a run, as data: display, journal and tests read the same events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from disco.engine.errors import DiscoError


@dataclass(frozen=True)
class Event:
    """Something that happened. `at` is Unix time in seconds."""

    at: float = field(default_factory=time.time, kw_only=True)


@dataclass(frozen=True)
class RunStarted(Event):
    run: str
    steps: tuple[tuple[str, str], ...]  # (step id, title)
    estimates_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Planned(Event):
    """A component was looked at again with real values; these are its steps now."""

    component: str
    steps: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StepStarted(Event):
    step: str
    title: str


@dataclass(frozen=True)
class StepProgress(Event):
    """What a running step does or waits for, and why."""

    step: str
    note: str
    done: float | None = None  # share, 0 to 1


@dataclass(frozen=True)
class StepDone(Event):
    step: str
    seconds: float


@dataclass(frozen=True)
class StepFailed(Event):
    """errors: each with its place, so that equal ones of many hosts can be told as one."""

    step: str
    seconds: float
    error: str
    errors: tuple[DiscoError, ...] = ()


@dataclass(frozen=True)
class StepSkipped(Event):
    step: str
    why: str


@dataclass(frozen=True)
class RunEnded(Event):
    outcome: str  # done, failed, stopped


Listener = Callable[[Event], None]


class Events:
    """Hands each event to every listener, in order."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
