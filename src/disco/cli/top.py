"""`disco top`: the network at a glance, at a terminal or as one snapshot for pipes and programs."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from disco.cli import glance, speak
from disco.cli.overview import Overview
from disco.cli.watch import Watch
from disco.cli.wiring import open_stack
from disco.engine.errors import Exit, WrongUse

HEADINGS = ["layer", "", "what", "state", "details"]
SOONEST_S = 1.0


async def top(file: Path, once: bool, every_s: float, as_json: bool) -> int:
    """Draw until the person quits; without a terminal, or when asked, print what is seen once."""
    if not every_s >= SOONEST_S:
        raise WrongUse(f"--every is at least {SOONEST_S:.0f} second", where=f"{every_s:g}")
    async with Watch(partial(open_stack, file, makes=False)) as watch:
        if not (once or as_json) and is_terminal():
            from disco.cli import top_screen

            return await top_screen.shown(watch, every_s)
        with speak.doing("looking at what is there"):
            await watch.look()
            overview = await watch.check()
        if as_json:
            speak.data_json(overview.data())
        else:
            show(overview)
        return exit_code(overview)


def is_terminal() -> bool:
    """Whether a screen can be drawn, keys can be read, and somebody is there to press them."""
    ends = (sys.stdin, sys.stdout, sys.stderr)
    return all(end is not None and end.isatty() for end in ends) and not speak.nobody_watches()


def exit_code(overview: Overview) -> int:
    return int(Exit.DONE if overview.ok else Exit.RED)


def show(overview: Overview, now: float | None = None) -> None:
    """A line for the whole, then a table."""
    found = glance.rows(overview, now)
    how, when = glance.headline(overview, found), glance.looked(overview, now)
    speak.data(f"{overview.stack}: {how}; {when}")
    cells, before = [], ""
    for row in found:
        part = row.part if row.part != before else ""
        cells.append([part, str(row.mark), row.what, row.state, row.details])
        before = row.part
    if cells:
        speak.data_table(HEADINGS, cells)
