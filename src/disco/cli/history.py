"""`disco history`: the runs of a stack, and what each of them did."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disco.cli import human, speak
from disco.cli.opened import opened
from disco.cli.stored import refresh
from disco.cli.wiring import located, lock_of
from disco.engine.errors import Exit, WrongUse
from disco.engine.journal import Journal
from disco.engine.lock import Holder
from disco.store import shared
from disco.store.store import Store

HEADINGS = ["run", "when", "who", "what", "took", "plan", "disco", "done", "failed", "skipped"]
HEADINGS += ["of", "ended"]
SPARE = ("disco", "plan", "who")
ACTION_HEADINGS = ["at", "took", "outcome", "step", "action"]
RUNNING = "running"
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
    """One run as the journal has it. Times are Unix time.

    done, failed, skipped: steps; None for a run that never said how it ended.
    plan:        the beginning of its plan's digest.
    token:       the fencing token of its lock; 0 when it is not known.
    why_skipped: why -> steps. errors: each with what, where, why and fix.
    """

    run: str
    at: float
    who: str = ""
    what: str = ""
    plan: str = ""
    version: str = ""
    steps: int = 0
    token: int = 0
    last: float = 0.0
    ended: str = ""
    took_s: float | None = None
    done: int | None = None
    failed: int | None = None
    skipped: int | None = None
    why_skipped: dict[str, list[str]] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)
    actions: list[Did] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.last - self.at if self.took_s is None else self.took_s


def everywhere(store: Store) -> list[dict[str, Any]]:
    """The records of this machine's runs and, of a team's stack, of the others', by time."""
    mine = list(Journal(store.place.journal).read())
    known = {r.get("run") for r in mine}
    others = [r for r in shared.runs(store) if r.get("run") not in known]
    return sorted([*others, *mine], key=lambda r: float(r.get("at", 0))) if others else mine


def history(file: Path, run: str, as_json: bool) -> int:
    """Print the runs, or one of them. Returns the exit code."""
    _, place = located(file)
    store = Store(place)
    opened(store)
    refresh(store)
    records = everywhere(store)
    runs = runs_of(records, lock_of(place, store).last_holder())
    if run:
        _print_one(_chosen(runs, run), as_json)
    elif as_json:
        speak.data_json([data(r) for r in runs])
    elif runs:
        speak.data_table(HEADINGS, [_row(r) for r in runs], spare=SPARE)
    else:
        speak.talk("No run yet. Begin with: disco plan")
    return int(Exit.DONE)


def runs_of(records: Iterable[dict[str, Any]], holder: Holder | None = None) -> list[Ran]:
    """The runs, oldest first. holder: of the lock; the last run may be its, and go on."""
    found: dict[str, Ran] = {}
    for record in records:
        name = str(record.get("run", ""))
        ran = found.setdefault(name, Ran(name, record["at"]))
        ran.last = record["at"]
        _take(ran, record)
    runs = list(found.values())
    for ran in runs:
        goes_on = ran is runs[-1] and holder and holder.alive and ran.token == holder.token
        ran.ended = ran.ended or (RUNNING if goes_on else UNKNOWN)
    return runs


def _take(ran: Ran, record: dict[str, Any]) -> None:
    match record["event"]:
        case "run":
            ran.who, ran.what = record.get("who", ""), record.get("what", "")
            ran.steps, ran.plan = record.get("steps", 0), record.get("plan", "")
            ran.version, ran.token = record.get("version", ""), record.get("token", 0)
        case "intent":
            ran.actions.append(Did(record["at"], record["step"], record["action"]))
        case "done" | "failed" as outcome:
            for did in reversed(ran.actions):
                if (did.step, did.action) == (record["step"], record["action"]):
                    did.seconds, did.outcome = record["at"] - did.at, outcome
                    did.error = record.get("error", "")
                    return
        case "end":
            _take_end(ran, record)


def _take_end(ran: Ran, record: dict[str, Any]) -> None:
    ran.ended, ran.took_s = record.get("outcome", ""), record.get("seconds")
    ran.done, ran.failed, ran.skipped = (record.get(k) for k in ("done", "failed", "skipped"))
    ran.why_skipped, ran.errors = record.get("why_skipped", {}), record.get("errors", [])


def _chosen(runs: list[Ran], name: str) -> Ran:
    found = [r for r in runs if r.run.startswith(name)]
    if len(found) != 1:
        what = "several runs begin" if found else "no run begins"
        raise WrongUse(f"{what} with {name!r}", fix="`disco history` lists them")
    return found[0]


def _print_one(ran: Ran, as_json: bool) -> None:
    if as_json:
        speak.data_json({**data(ran), "actions": [vars(did) for did in ran.actions]})
        return
    speak.talk(told(ran))
    speak.data_table(ACTION_HEADINGS, [_action_row(did) for did in ran.actions])
    for did in ran.actions:
        if did.error:
            speak.talk(f"{did.step}: {did.error}", "red")
    for why, steps in ran.why_skipped.items():
        speak.talk(f"skipped, {why}: {', '.join(steps)}", "yellow")


def told(ran: Ran) -> str:
    """A run in one line."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(ran.at))
    by = f" by {ran.who}" if ran.who else ""
    said = (
        f"{ran.run}: disco {ran.what}{by} at {when}, {ran.ended} after {human.clock(ran.seconds)}"
    )
    if ran.done is not None:
        said += f": {ran.done} done, {ran.failed} failed, {ran.skipped} skipped of {ran.steps}"
    version = f"; disco {ran.version}, plan {ran.plan}" if ran.version else ""
    return f"{said}{version}"


def data(ran: Ran) -> dict[str, Any]:
    """A run for programs."""
    kept = {k: v for k, v in vars(ran).items() if k != "took_s"}
    return {**kept, "seconds": round(ran.seconds, 3), "actions": len(ran.actions)}


def _row(ran: Ran) -> list[str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(ran.at))
    took = f"{ran.seconds:.0f} s".rjust(6)
    counts = [_count(ran.done, 4), _count(ran.failed, 6), _count(ran.skipped, 7)]
    of_all = [*counts, _count(ran.steps, 3)]
    return [ran.run, when, ran.who, ran.what, took, ran.plan[:8], ran.version, *of_all, ran.ended]


def _count(number: int | None, wide: int) -> str:
    return ("" if number is None else str(number)).rjust(wide)


def _action_row(did: Did) -> list[str]:
    took = "" if did.seconds is None else f"{did.seconds:.1f} s"
    at = time.strftime("%H:%M:%S", time.localtime(did.at))
    return [at, took.rjust(8), did.outcome, did.step, did.action]
