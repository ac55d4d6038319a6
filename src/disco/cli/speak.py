"""Data goes to stdout, talk to stderr: so a command's result can be piped, and still explains."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from disco.cli.opened import veiled
from disco.engine.errors import Exit
from disco.stack.problem import Problem, StackProblems

WIDE = 10_000  # columns of what is no terminal: nothing is wrapped for programs
LAST = 24  # columns that what wraps has at least
GAP = 2  # between two columns


_live: list[Talk] = []


class Out(Console):
    """Stdout. A reader that has seen enough ends the command, see `main`."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Talk(Console):
    """Stderr. Nobody listens any more: what is being done goes on."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def data(text: str) -> None:
    """Text for stdout, as it is."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def data_line(text: str) -> None:
    """A line of something that goes on: it is seen at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def data_json(value: Any) -> None:
    data(json.dumps(value, indent=2, ensure_ascii=False))


def data_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    wraps: int = 1,
    spare: Sequence[str] = (),
) -> None:
    """Aligned columns on stdout, each row in one line where this is no terminal.

    In a terminal the last `wraps` columns wrap; if it is still too narrow the columns in `spare`
    are left out, and then each row becomes a block of lines.
    """
    terminal = Out(highlight=False)
    if not terminal.is_terminal:
        data("\n".join(_lines(headings, rows, wraps, WIDE)))
        return
    if _narrowest(headings, rows, wraps) > terminal.width and spare:
        kept = [i for i, heading in enumerate(headings) if heading not in spare]
        headings = [headings[i] for i in kept]
        rows = [[row[i] for i in kept] for row in rows]
    if _narrowest(headings, rows, wraps) > terminal.width:
        data("\n".join(_blocks(headings, rows, terminal.width)))
    else:
        data("\n".join(_lines(headings, rows, wraps, terminal.width)))


def data_lines(rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns without a heading; the last one is something to copy, so it never wraps: it
    stands below where there is no room for it."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    terminal = Out()
    below = terminal.is_terminal and sum(widths) + GAP * len(widths) > terminal.width
    for row in rows:
        line = (" " * GAP).join(
            cell + " " * (w - cell_len(cell)) for cell, w in zip(row, widths, strict=True)
        )
        if below:
            line = line[: -widths[-1]].rstrip() if widths[-1] else line
            line += f"\n{' ' * (sum(widths[:2]) + GAP * 3)}{row[-1]}" if row[-1] else ""
        data(line.rstrip())


def _narrowest(headings: Sequence[str], rows: Sequence[Sequence[str]], wraps: int) -> int:
    """Columns of text that a table needs at least."""
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    fixed = len(widths) - wraps
    wide = widths[:fixed] + [min(w, LAST) for w in widths[fixed:]]
    return sum(wide) + GAP * (len(wide) - 1)


def _lines(
    headings: Sequence[str], rows: Sequence[Sequence[str]], wraps: int, wide: int
) -> list[str]:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for i, heading in enumerate(headings):
        may_wrap = i >= len(headings) - wraps
        table.add_column(heading, no_wrap=not may_wrap, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Out(width=wide, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _blocks(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    wide = max(map(cell_len, headings))
    for row in rows:
        yield row[0]
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            if cell.strip():
                start = f"  {heading:{wide}}  "
                yield textwrap.fill(
                    start + cell.strip(),
                    max(width, len(start) + LAST),
                    subsequent_indent=" " * len(start),
                    break_long_words=False,
                )


def talk(text: str, style: str = "", end: str = "\n") -> None:
    """A line for people, on stderr."""
    console = _live[-1] if _live else Talk(stderr=True, highlight=False)
    console.print(Text(veiled(text), style=style), end=end, soft_wrap=True)


@contextmanager
def through(console: Talk) -> Iterator[None]:
    """Say everything by a console with live lines: another one would write into them."""
    _live.append(console)
    try:
        yield
    finally:
        _live.pop()


def nobody_watches() -> bool:
    """Whether lines that change would only litter a log, or can't change at all."""
    return os.environ.get("CI", "") not in ("", "false") or os.environ.get("TERM") == "dumb"


@contextmanager
def doing(what: str) -> Iterator[None]:
    """At a terminal, say what is waited for while the block runs."""
    console = Talk(stderr=True, highlight=False)
    if not console.is_terminal or nobody_watches():
        yield
        return
    with (
        through(console),
        console.status(Text(what, style="dim"), spinner="line", spinner_style="dim"),
    ):
        yield


def ask(question: str) -> str:
    """The answer of the person at the terminal, in small letters; empty at the end of input.

    An event loop would hold Ctrl-C back until the line is finished: here it ends the question.
    """
    talk(question, end="")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline().strip().lower()
    finally:
        signal.signal(signal.SIGINT, before)


def complain(wrong: StackProblems, *, as_json: bool = False) -> int:
    """All problems, each with its hint; returns the exit code."""
    if as_json:
        data_json({"problems": [_as_dict(problem) for problem in wrong.problems]})
        return Exit.WRONG_USE
    for problem in wrong.problems:
        talk(str(problem), "red")
        if problem.hint:
            talk(f"  hint: {problem.hint}")
    return Exit.WRONG_USE


def _as_dict(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in Problem.__dataclass_fields__}
