"""`disco history`: the runs of a stack, and what each of them did."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disco.cli import speak
from disco.cli.wiring import located
from disco.engine.errors import Exit, WrongUse
from disco.engine.journal import Journal
from disco.engine.place import Place

HEADINGS = ["run", "when", "who", "what", "took", "steps", "actions", "ended"]
ACTION_HEADINGS = ["at", "took", "outcome", "step", "action"]
UNKNOWN = "cut off"  # it never said how it ended


@dataclass
class Did:
    """One action of a run. seconds: None while, or when, nobody knows."""

    at: float
    step: str
    action: str
    seconds: float | None = None
    outcome: str = "no outcome"
    error: str = ""


@dataclass
class Ran:
    """One run as the journal has it. Times are Unix time."""

    run: str
    at: float
    who: str = ""
    what: str = ""
    steps: int = 0
    last: float = 0.0
    ended: str = ""
    actions: list[Did] = field(default_factory=list)


def history(file: Path, run: str, as_json: bool) -> int:
    """Print the runs, or one of them. Returns the exit code."""
    _, place = located(file)
    runs = runs_of(Journal(place.journal).read(), alive=is_running(place))
    if run:
        _print_one(_chosen(runs, run), as_json)
    elif as_json:
        speak.data_json([_data(r) for r in runs])
    elif runs:
        speak.data_table(HEADINGS, [_row(r) for r in runs])
    else:
        speak.talk("No run yet. Begin with: disco plan")
    return int(Exit.DONE)


def is_running(place: Place) -> bool:
    """Whether the process that held the lock last is still there."""
    try:
        pid = int(json.loads(place.lock.read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return Path(f"/proc/{pid}").exists()


def runs_of(records: Iterable[dict[str, Any]], alive: bool = False) -> list[Ran]:
    """The runs, oldest first. alive: somebody holds the lock, so the last one may still go on."""
    found: dict[str, Ran] = {}
    for record in records:
        name = str(record.get("run", ""))
        ran = found.setdefault(name, Ran(name, record["at"]))
        ran.last = record["at"]
        _take(ran, record)
    runs = list(found.values())
    for ran in runs:
        ran.ended = ran.ended or ("running" if alive and ran is runs[-1] else UNKNOWN)
    return runs


def _take(ran: Ran, record: dict[str, Any]) -> None:
    match record["event"]:
        case "run":
            ran.who, ran.what = record.get("who", ""), record.get("what", "")
            ran.steps = record.get("steps", 0)
        case "intent":
            ran.actions.append(Did(record["at"], record["step"], record["action"]))
        case "done" | "failed" as outcome:
            for did in reversed(ran.actions):
                if (did.step, did.action) == (record["step"], record["action"]):
                    did.seconds, did.outcome = record["at"] - did.at, outcome
                    did.error = record.get("error", "")
                    return
        case "end":
            ran.ended = record.get("outcome", "")


def _chosen(runs: list[Ran], name: str) -> Ran:
    found = [r for r in runs if r.run.startswith(name)]
    if len(found) != 1:
        what = "several runs begin" if found else "no run begins"
        raise WrongUse(f"{what} with {name!r}", fix="`disco history` lists them")
    return found[0]


def _print_one(ran: Ran, as_json: bool) -> None:
    if as_json:
        speak.data_json({**_data(ran), "actions": [vars(did) for did in ran.actions]})
        return
    speak.talk(f"{ran.run}: disco {ran.what} by {ran.who}, {ran.steps} steps, {ran.ended}")
    speak.data_table(ACTION_HEADINGS, [_action_row(did) for did in ran.actions])
    for did in ran.actions:
        if did.error:
            speak.talk(f"{did.step}: {did.error}", "red")


def _data(ran: Ran) -> dict[str, Any]:
    seconds = round(ran.last - ran.at, 3)
    return {**vars(ran), "seconds": seconds, "actions": len(ran.actions)}


def _row(ran: Ran) -> list[str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(ran.at))
    took = f"{ran.last - ran.at:.0f} s".rjust(6)
    counts = [str(ran.steps).rjust(5), str(len(ran.actions)).rjust(7)]
    return [ran.run, when, ran.who, ran.what, took, *counts, ran.ended]


def _action_row(did: Did) -> list[str]:
    took = "" if did.seconds is None else f"{did.seconds:.1f} s"
    at = time.strftime("%H:%M:%S", time.localtime(did.at))
    return [at, took.rjust(8), did.outcome, did.step, did.action]
