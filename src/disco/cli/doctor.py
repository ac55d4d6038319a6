"""`disco doctor`: what went wrong, what is wrong now, and what to do about it first."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disco import __version__
from disco.cli import bundle as bundling
from disco.cli import history, human, speak
from disco.cli.app import of
from disco.cli.findings import Finding, Kind, in_order, mended, of_error, of_run
from disco.cli.history import Ran
from disco.cli.looking import Looked, look, of_plan, of_rights, of_room, of_status, room
from disco.cli.opened import veiled
from disco.cli.wiring import Session, open_stack
from disco.engine.errors import DiscoError, Exit
from disco.engine.lock import Holder

DOWN = "down"
CAUSE_CHARACTERS = 600  # at a terminal
ARTIFACTS = ("helm", "kube", "containerd")


@dataclass
class Diagnosis:
    """found: in the order in which to go about it. free: bytes on this machine, by folder."""

    found: list[Finding] = field(default_factory=list)
    runs: list[Ran] = field(default_factory=list)
    holder: Holder | None = None
    looked: Looked = field(default_factory=Looked)
    free: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def last(self) -> Ran | None:
        return self.runs[-1] if self.runs else None

    @property
    def is_running(self) -> bool:
        return bool(self.holder and self.holder.alive)

    @property
    def exit(self) -> int:
        """What is over is told, and is nothing that is wrong."""
        wrong = [f for f in self.found if f.kind is not Kind.MENDED]
        return int(Exit.RED if wrong else Exit.DONE)

    def data(self) -> dict[str, Any]:
        return {
            "found": [_data(f) for f in self.found],
            "last_run": history.data(self.last) if self.last else None,
            "running": vars(self.holder) if self.holder and self.is_running else None,
            "not_looked_at": [veiled(x) for x in self.looked.unseen],
            "free_bytes": self.free,
            "versions": self.versions,
        }


async def doctor(file: Path, as_json: bool, bundle: Path | None) -> int:
    """Look, print, and say by the exit code whether something is wrong."""
    if bundle:
        bundling.refuse_if_there(bundle)
    async with open_stack(file, makes=False) as session:
        with speak.doing("looking at what is there"):
            found = await diagnosed(session)
        if bundle:
            with speak.doing("collecting logs of what is not well"):
                contents = await bundling.write(session, found, bundle)
    if as_json:
        told = {"bundle": {"path": str(bundle), "files": contents}} if bundle else {}
        speak.data_json({**found.data(), **told})
        return found.exit
    show(found, file)
    if bundle:
        bundling.show(bundle, contents)
    return found.exit


async def diagnosed(session: Session) -> Diagnosis:
    """The past from the journal, then the present. Never raises for what is wrong there."""
    diagnosis = Diagnosis(free=room(session), versions=versions(session))
    found = [*of_room(diagnosis.free), *of_rights(session)]
    if wrong := _state(session, diagnosis):
        found.append(wrong)
        diagnosis.looked.unseen.append("the stack itself: its state folder can't be used")
    else:
        diagnosis.looked = await look(session)
    diagnosis.found = in_order([*found, *_judged(diagnosis, of(session.loaded.path))])
    return diagnosis


def _state(session: Session, diagnosis: Diagnosis) -> Finding | None:
    """Read the journal and the lock; what is in the way of that."""
    place = session.place
    try:
        place.must_be_ours()
        diagnosis.holder = session.lock.last_holder()
        records = list(session.journal.read())
        diagnosis.runs = history.runs_of(records, diagnosis.holder)
    except DiscoError as error:
        return of_error(Kind.STATE, error)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        what, fix = "the stack's state can't be read", "use the account that made it, or sudo"
        return Finding(Kind.RIGHTS, what, str(error.filename or place.root), why, fix)
    return None


def _judged(diagnosis: Diagnosis, stack: str) -> list[Finding]:
    """What past and present mean together. stack: the flag that names the stack file."""
    last, plan, looked = diagnosis.last, diagnosis.looked.plan, diagnosis.looked
    found = list(looked.found) + (list(of_run(last, stack)) if last else [])
    is_gone = bool(last and last.what.partition(" ")[0] == DOWN)
    if any(f.kind is Kind.HOST for f in found):  # whose silence explains it
        found = [f for f in found if f.kind is not Kind.LATE]
    if is_gone or diagnosis.is_running or not last:
        found = [f for f in found if f.kind is not Kind.MISSING]
    if plan is None or is_gone or diagnosis.is_running:
        return found
    found += of_plan(plan, bool(last), stack)
    if looked.status:
        found += of_status(looked.status, plan, stack)
    return mended(last, found, stack) if last and plan.empty else found


def versions(session: Session) -> dict[str, str]:
    """Of what is most often asked for: DISCO, Python, this machine, helm and Kubernetes."""
    catalogue = session.artifacts.catalogue
    found = {"disco": __version__, "python": platform.python_version()}
    found["machine"] = platform.platform()
    for name in ARTIFACTS:
        found[name] = catalogue.version(name)
    return found


def show(diagnosis: Diagnosis, file: Path) -> None:
    """What happened; then each thing that was found, with its fix."""
    _show_past(diagnosis)
    for number, one in enumerate(diagnosis.found, 1):
        speak.data("\n".join(_lines(number, one)))
    for unseen in diagnosis.looked.unseen:
        speak.talk(f"not looked at: {unseen}", "yellow")
    free = ", ".join(f"{human.size(n)} free in {f}" for f, n in diagnosis.free.items())
    told = ", ".join(f"{name} {v}" for name, v in diagnosis.versions.items())
    speak.talk(f"{free}\n{told}", "dim")
    if not diagnosis.found:
        where = " in what was looked at" if diagnosis.looked.unseen else ""
        speak.talk(f"Nothing found{where}. Slower, and deeper: disco check{of(file)}", "green")


def _show_past(diagnosis: Diagnosis) -> None:
    holder, last = diagnosis.holder, diagnosis.last
    if last:
        speak.talk(f"last run: {history.told(last)}")
    if holder and diagnosis.is_running:
        told = f"a run goes on now: disco {holder.what} by {holder.who} (process {holder.pid})"
        speak.talk(f"{told}; what is half made may be its work", "yellow")
    elif last is None:
        speak.talk("No run yet.")
    elif holder and last.ended == history.UNKNOWN:
        told = f"process {holder.pid} of {holder.who}, which held the lock, is gone: it is free"
        speak.talk(told, "yellow")


def _lines(number: int, one: Finding) -> list[str]:
    start = f"{number}. "
    indent = " " * len(start)
    lines = [f"{start}{one.where}: {one.what}" if one.where else f"{start}{one.what}"]
    lines += [f"{indent}why: {_short(one.why)}"] if one.why else []
    lines += [f"{indent}     {_short(detail)}" for detail in one.details]
    return [veiled(x) for x in [*lines, *([f"{indent}fix: {one.fix}"] if one.fix else [])]]


def _short(text: str) -> str:
    """One line of it. What is secret is masked before the rest of it could be cut off."""
    line = " ".join(veiled(text).split())
    return f"{line[:CAUSE_CHARACTERS]} …" if len(line) > CAUSE_CHARACTERS else line


def _data(one: Finding) -> dict[str, Any]:
    texts = {n: veiled(getattr(one, n)) for n in ("what", "where", "why", "fix")}
    details = [veiled(d) for d in one.details]
    return {"kind": one.kind.title, **texts, "details": details}
