"""`disco plan`, `disco apply`, `disco up`, `disco down`: from what is declared to what runs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from disco.checks import report
from disco.cli import measured, planned, saved, speak
from disco.cli.app import of
from disco.cli.changing import Told, Way, agree, change, missing_rights
from disco.cli.check import ask_until_green, exit_code
from disco.cli.check import show as show_answers
from disco.cli.status import look
from disco.cli.status import show as show_status
from disco.cli.wiring import Session, open_stack
from disco.engine import saved as saving
from disco.engine.errors import Exit
from disco.engine.narrow import Aim
from disco.engine.plan import Plan


@dataclass(frozen=True)
class Agreed:
    """What a person said beforehand of a run. parallel: steps at the same time."""

    yes: bool = False
    allow_destroy: bool = False
    as_json: bool = False
    parallel: int = 16


@dataclass(frozen=True)
class Shown:
    """How a plan is shown. form: one of planned.FORMS, or json. out: the file that keeps it."""

    form: str = "text"
    commands: bool = False
    out: Path | None = None


def way(
    layer: str | None, target: tuple[str, ...], exclude: tuple[str, ...], destroy: bool = False
) -> Way:
    """Which plan the flags ask for."""
    return Way(layer, destroy, Aim(target, exclude))


async def plan(file: Path, how: Shown, way: Way) -> int:
    """Show what would change. Changes nothing."""
    async with open_stack(file) as session:
        _tell_unfinished(session)
        if missing := missing_rights(session):
            speak.talk(f"{missing}; without it nothing of them can be seen", "yellow")
        begun = time.monotonic()
        with speak.doing("looking at what is there"):
            found, looks = await way.plan(session)
        if way.is_whole:
            await measured.plan(session, found, looks, time.monotonic() - begun)
    if how.form == "json":
        speak.data_json(found.data())
    else:
        speak.data(planned.drawn(found, how.form, how.commands))
    if how.out:
        saved.write(found, way.layer, way.aim, how.out)
        speak.talk(f"kept in {how.out}; carry it out: disco apply {how.out}{of(file)}")
    return int(Exit.DONE)


def _tell_unfinished(session: Session) -> None:
    for left in session.journal.unfinished():
        speak.talk(f"An earlier run ended inside: {left.step}: {left.action}", "yellow")


async def apply(file: Path, how: Agreed, way: Way) -> int:
    """Carry out what is missing."""
    confirm = agree(how.yes, "Carry this out?", how.allow_destroy)
    with _telling(how.as_json) as told:
        what = _typed("apply", way)
        return await change(file, what, way, confirm, how.parallel, told=told)


async def apply_saved(file: Path, path: Path, signers: Path | None, how: Agreed) -> int:
    """Carry out a plan that was kept: exactly that, or nothing. It was agreed to by its review."""
    kept = saved.read(path)
    if signers:
        speak.talk(f"signed by {saved.verify(path, signers)}", "green")

    def must_be(plan: Plan) -> None:
        saving.must_be(kept, plan, str(path))

    confirm = agree(True, "", how.allow_destroy)
    way, what = Way(kept.layer, kept.plan.removal, kept.aim, must_be), f"apply {path.name}"
    with _telling(how.as_json) as told:
        return await change(file, what, way, confirm, how.parallel, told=told)


async def up(file: Path, how: Agreed) -> int:
    """The whole way: plan, apply, check, addresses."""

    async def after(session: Session, told: Told) -> int:
        answers = await ask_until_green(session)
        await measured.checks(session, answers)
        found = await look(session, drift=False)
        told |= {"checks": report.data(answers), "status": found.data()}
        if not how.as_json:
            show_answers(answers)
            show_status(found, file)
        return exit_code(answers)

    confirm = agree(how.yes, "Carry this out?", how.allow_destroy)
    with _telling(how.as_json) as told:
        return await change(file, "up", Way(), confirm, how.parallel, after, told)


async def down(file: Path, how: Agreed, way: Way) -> int:
    """Destroy what the stack made, in reverse order."""
    confirm = agree(how.yes, "Destroy this?", how.allow_destroy)
    with _telling(how.as_json) as told:
        what = _typed("down", way)
        return await change(file, what, way, confirm, how.parallel, told=told)


def _typed(command: str, way: Way) -> str:
    """The command as it would be typed again: `down` alone destroys more than one of a layer."""
    words = [command]
    words += ["--layer", way.layer] if way.layer else []
    words += [word for name in way.aim.targets for word in ("--target", name)]
    words += [word for name in way.aim.excluded for word in ("--exclude", name)]
    return shlex.join(words)


@contextmanager
def _telling(as_json: bool) -> Iterator[Told]:
    """What a run has to tell, printed as data at the end when that was asked for."""
    told: Told = {}
    yield told
    if as_json:
        speak.data_json(told)
