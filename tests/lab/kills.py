"""DISCO as a process, killed somewhere in a real run, and what must hold of the runs after it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from stack import UP_S, LabStack, kill, until

# Actions that are never begun again once their end was written.
DONE_ONCE = {"run", "nspawn-make", "program", "images", "genesis", "vault-init", "remember"}
REOPENED = "run h1:door for joins"  # while anybody is left to join, it is opened again
Record = dict[str, Any]


def killed_when(
    stack: LabStack, words: tuple[str, ...], there: Callable[[list[Record]], bool], delay_s: float
) -> bool:
    """Run this command and kill it, so many seconds after its journal is as `there` says.

    False when the run ended before that.
    """
    skip = len(stack.journal())
    process = stack.start(*words)

    def seen() -> str:
        if there(stack.journal()[skip:]):
            return "there"
        return "ended" if process.poll() is not None else ""

    try:
        found = until(f"`{' '.join(words)}` is to be killed", seen, UP_S, 0.004)
        time.sleep(delay_s)
        # It may have ended by itself meanwhile: then nothing was killed.
        return found == "there" and process.poll() is None
    finally:
        if process.poll() is None:
            kill(process)


def redone(records: list[Record]) -> Counter[str]:
    """Actions that were begun again though their end is written, with how often."""
    finished: set[str] = set()
    again: Counter[str] = Counter()
    for record in records:
        action = record.get("action", "")
        if record["event"] == "intent" and action in finished:
            again[action] += 1
        once = action.partition(" ")[0] in DONE_ONCE and action != REOPENED
        if record["event"] == "done" and once:
            finished.add(action)
    return again
