"""What `disco doctor` found: each thing with its cause and its fix, the likeliest cause first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from disco.cli import human
from disco.cli.history import UNKNOWN, Did, Ran
from disco.engine.errors import DiscoError

NAMED = 8  # things of a kind that are named; of more the number is enough
OWN_CHARACTERS = 200
NO_OUTCOME = "no outcome"
STOPPED = "stopped"


class Kind(IntEnum):
    """In the order of likeliness: what is above explains what is below."""

    RIGHTS = 0
    STATE = 1
    DISK = 2
    HOST = 3
    ARTIFACT = 4
    FAILED = 5
    UNSEEN = 6
    LATE = 7
    CUT_OFF = 8
    CHECK = 9
    DOWN = 10
    MISSING = 11
    SKIPPED = 12
    MENDED = 13

    @property
    def title(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Finding:
    """Something that is not well.

    about: the name of a host or component whose logs may tell more; empty for none.
    """

    kind: Kind
    what: str
    where: str = ""
    why: str = ""
    fix: str = ""
    details: tuple[str, ...] = ()
    about: str = ""


def of_error(kind: Kind, error: DiscoError, about: str = "") -> Finding:
    details = tuple(error.details[:NAMED])
    return Finding(kind, error.what, error.where, error.why, error.fix, details, about)


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """The likeliest first; one thing that was found in two ways is told once."""
    first: dict[tuple[str, str], Finding] = {}
    for one in sorted(found, key=lambda f: f.kind):
        first.setdefault((one.what, one.where), one)
    return list(first.values())


def named(things: Iterable[str]) -> tuple[str, ...]:
    """The first of them, and how many more there are."""
    every = list(things)
    left = len(every) - NAMED
    return (*every[:NAMED], *([f"and {left} more"] if left > 0 else []))


def of_run(ran: Ran, stack: str) -> Iterator[Finding]:
    """What a run that is over left behind. stack: the flag that names the stack file."""
    again = f"disco {ran.what}{stack}"
    yield from _failures(ran, again)
    if ran.ended == UNKNOWN:
        yield _cut_off(ran, again)
    elif ran.ended == STOPPED:
        told = f"{ran.skipped} of {human.count(ran.steps, 'step')} were not begun"
        yield Finding(Kind.CUT_OFF, "the last run was stopped", ran.run, told, f"go on: {again}")
    for why, steps in ran.why_skipped.items():
        if why != STOPPED:
            what = f"{human.count(len(steps), 'step')} skipped: {why}"
            fix = f"mend what is named above, then: {again}"
            yield Finding(Kind.SKIPPED, what, ran.run, "", fix, named(steps))


def _failures(ran: Ran, again: str) -> Iterator[Finding]:
    """Each error once, with the steps that ended by it; from what the journal has of them."""
    failed = [did for did in ran.actions if did.error]
    for error in ran.errors:
        mine = [d for d in failed if _is_of(d, error)]
        failed = [d for d in failed if d not in mine]
        about = mine[0].step.partition("/")[0] if mine else ""
        fix = error["fix"] or f"disco doctor names what else is wrong; then: {again}"
        told = named(f"in {d.step}: {d.action}" for d in mine)
        where, why = error["where"], error["why"]
        yield Finding(Kind.FAILED, error["what"], where, why, fix, told, about)
    for did in failed:
        what, about = f"{did.action} failed", did.step.partition("/")[0]
        yield Finding(
            Kind.FAILED, what, did.step, did.error, f"mend that, then: {again}", (), about
        )


def _is_of(did: Did, error: dict[str, str]) -> bool:
    """An error that nobody foresaw has its own words in `why`."""
    own = error["what"] in did.error and did.error.startswith(error["where"])
    return own or did.error[:OWN_CHARACTERS] in error["why"]


def _cut_off(ran: Ran, again: str) -> Finding:
    inside = [f"{d.step}: {d.action}" for d in ran.actions if d.outcome == NO_OUTCOME]
    what = "the last run was cut off"
    what += f" inside {human.count(len(inside), 'action')}" if inside else " between two actions"
    why = "it never said how it ended: its process is gone, and its lock with it"
    fix = f"{again}; what was begun is looked at anew, what is missing is done"
    return Finding(Kind.CUT_OFF, what, ran.run, why, fix, named(inside))


def mended(ran: Ran, found: list[Finding], stack: str) -> list[Finding]:
    """The same when nothing is missing any more: what went wrong then is over."""
    past = (Kind.FAILED, Kind.CUT_OFF, Kind.SKIPPED)
    what = [f"{f.where}: {f.what}" if f.where else f.what for f in found if f.kind in past]
    if not what:
        return found
    told = "the last run did not end well, but nothing is missing now"
    fix = f"see whether all works: disco check{stack}"
    over = Finding(Kind.MENDED, told, ran.run, "", fix, named(what))
    return [f for f in found if f.kind not in past] + [over]
