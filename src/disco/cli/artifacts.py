"""`disco artifacts`: what is used of others, what of it is held here, and how to get the rest."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from disco import artifacts as store
from disco.artifacts.actions import Obtain
from disco.artifacts.catalogue import ROOTFS, SET_PREFIX
from disco.cli import human, speak
from disco.cli.progress import shown
from disco.cli.wiring import located, new_run, wired
from disco.engine import events as happening
from disco.engine.errors import DiscoError, Exit, WrongUse

DAMAGED = "DAMAGED"
HEADINGS = ["artifact", "version", "licence", "sources", "held", "sha256", "size"]


class Wanted:
    """The reader, and what is meant by `all`: of one stack, or the whole catalogue."""

    def __init__(self, file: Path | None) -> None:
        self.sources: tuple[str, ...] = ("download", "build")
        lock = store.Lock.beside(file) if file else None
        self.reader = store.Artifacts(lock=lock)
        self.all: tuple[str, ...] = self.reader.catalogue.names
        if file:
            spec: Any = wired(*located(file)).nodes["artifacts"].spec
            self.all, self.sources = spec.also, spec.sources

    def named(self, names: Sequence[str]) -> tuple[str, ...]:
        for name in names:
            self.reader.catalogue.check(name)
        return tuple(names) or self.all


def list_all(file: Path | None, as_json: bool) -> int:
    """Print them. Returns the exit code."""
    wanted = Wanted(file)
    found = [_about(wanted.reader, name) for name in wanted.all]
    if as_json:
        speak.data_json(found)
        return int(Exit.DONE)
    speak.data_table(HEADINGS, [_row(one) for one in found], 1, ("licence", "sources"))
    missing = [one for one in found if not one["held"]]
    size = human.size(sum(one["size_bytes"] for one in found if one["held"]))
    speak.talk(f"{len(found) - len(missing)} of {len(found)} are here, {size}")
    return int(Exit.DONE)


def _about(reader: store.Artifacts, name: str) -> dict[str, Any]:
    held = reader.held(name)
    catalogue = reader.catalogue
    licence, size = "", 0
    sources: tuple[str, ...] = ("assemble",)
    if name == ROOTFS:
        licence, sources, size = catalogue.rootfs.licence, ("build",), catalogue.rootfs.bytes
    elif name.startswith(SET_PREFIX) and (pulled := catalogue.image_set(name).pulled):
        licence, sources, size = pulled.licence, ("download",), pulled.bytes
    elif not name.startswith(SET_PREFIX):
        program = catalogue.program(name)
        licence, sources, size = program.licence, program.sources, program.bytes
    return {
        "name": name,
        "version": catalogue.version(name),
        "licence": licence,
        "sources": list(sources),
        "held": held.origin if held else "",
        "sha256": held.sha256 if held else "",
        "size_bytes": held.size if held else size,
        "path": str(held.path) if held else "",
    }


def _row(one: dict[str, Any]) -> list[str]:
    version = one["version"] if not one["name"].startswith(SET_PREFIX) else _images(one["version"])
    about = "" if one["held"] else "about "
    return [
        one["name"],
        version,
        one["licence"],
        ", ".join(one["sources"]),
        "yes" if one["held"] else "no",
        one["sha256"][:12],
        f"{about}{human.size(one['size_bytes'])}" if one["size_bytes"] else "",
    ]


def _images(versions: str) -> str:
    count = len(versions.split(", "))
    return f"{count} image{'s' if count > 1 else ''}"


async def build(file: Path | None, names: Sequence[str], yes: bool) -> int:
    """Build what is missing. Returns the exit code."""
    wanted = Wanted(file)
    return await _obtain(wanted, wanted.named(names), ("build",), yes)


async def obtain(file: Path | None, names: Sequence[str], yes: bool) -> int:
    """Obtain what is missing from the sources in their order. Returns the exit code."""
    wanted = Wanted(file)
    return await _obtain(wanted, wanted.named(names), wanted.sources, yes)


async def _obtain(wanted: Wanted, names: Sequence[str], sources: Sequence[str], yes: bool) -> int:
    reader = wanted.reader
    actions = reader.plan(names, sources)
    if not actions:
        speak.talk(f"Nothing to do: {', '.join(names) if len(names) < 6 else 'all'} held here.")
        return int(Exit.DONE)
    seconds, size = reader.estimate(names, sources)
    for action in actions:
        speak.talk(f"  + {action.describe()}")
    free = human.size(reader.cache.free_bytes())
    speak.talk(
        f"About {human.span(seconds)} and {human.size(size)} in {reader.cache.root} ({free} free)."
    )
    if not yes and not _agreed():
        speak.talk("Nothing was done.")
        return int(Exit.FAILED)
    return await _carry_out(reader, actions, sources)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise WrongUse("this must be agreed to, and there is nobody to ask", fix="pass --yes")
    return speak.ask("Go on? [yes/no] ") in ("y", "yes")


async def _carry_out(reader: store.Artifacts, actions: list[Obtain], sources: Sequence[str]) -> int:
    """One after the other: each build uses all cores."""
    from disco.cli.render import complain

    obtainer, events = store.Obtainer(reader), happening.Events()
    steps = tuple((",".join(a.names), a.describe()) for a in actions)
    usual = tuple(reader.estimate(a.names, sources)[0] for a in actions)
    failed: list[DiscoError] = []
    with shown(events):
        events.emit(happening.RunStarted(new_run(), steps, usual))
        for (step, title), action in zip(steps, actions, strict=True):
            if failed:
                events.emit(happening.StepSkipped(step, "a step before it failed"))
                continue
            events.emit(happening.StepStarted(step, title))
            begun = time.monotonic()

            def report(note: str, share: float | None, step: str = step) -> None:
                events.emit(happening.StepProgress(step, note, share))

            try:
                await obtainer(action, report)
            except DiscoError as error:
                failed.append(error)
                events.emit(happening.StepFailed(step, time.monotonic() - begun, str(error)))
            else:
                events.emit(happening.StepDone(step, time.monotonic() - begun))
        events.emit(happening.RunEnded("failed" if failed else "done"))
    return complain(failed[0]) if failed else int(Exit.DONE)


async def verify(file: Path | None, names: Sequence[str], as_json: bool) -> int:
    """Hash everything anew. Returns the exit code: red when something is not what it was."""
    wanted = Wanted(file)
    found: list[dict[str, Any]] = []
    for name in wanted.named(names):
        held = wanted.reader.held(name)
        state = "not held"
        if held:
            whole = await asyncio.to_thread(wanted.reader.cache.verify, held)
            state = "as they were" if whole else DAMAGED
        if held or names:
            found.append({"name": name, "state": state, "path": str(held.path) if held else ""})
    damaged = [one["name"] for one in found if one["state"] == DAMAGED]
    if as_json:
        speak.data_json(found)
    else:
        speak.data_table(["artifact", "bytes", "path"], [list(one.values()) for one in found])
    if damaged:
        paths = " ".join(str(Path(one["path"]).parent) for one in found if one["name"] in damaged)
        speak.talk(f"fix: rm -r {paths}; disco artifacts obtain {' '.join(damaged)}", "yellow")
    return int(Exit.RED if damaged else Exit.DONE)


async def pin(file: Path, names: Sequence[str]) -> int:
    """Write what upstream publishes to the lock. Returns the exit code."""
    wanted = Wanted(file)
    learnt = await wanted.reader.pin(wanted.named(names))
    lock = wanted.reader.lock
    assert lock is not None
    speak.talk(f"pinned {', '.join(learnt)} in {lock.path}" if learnt else "Nothing to pin.")
    return int(Exit.DONE)


async def clean(modules: bool) -> int:
    """Give disk space back. Returns the exit code."""
    freed = await store.clean(store.Artifacts(), modules)
    for name in freed.removed:
        speak.talk(f"removed {name}")
    speak.talk(f"{human.size(freed.size_bytes)} freed")
    return int(Exit.DONE)
