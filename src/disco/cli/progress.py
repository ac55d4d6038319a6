"""Progress of a run: live lines at a terminal, one line per event in a pipe.

At a terminal a run of very many steps tells components instead of steps, and failures that are
alike by their hosts, so that a thousand hosts fit on one screen.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.text import Text

from disco.cli import human
from disco.cli.opened import veiled
from disco.cli.speak import Talk, nobody_watches, through
from disco.engine.events import (
    Event,
    Events,
    Planned,
    RunEnded,
    RunStarted,
    StepDone,
    StepFailed,
    StepProgress,
    StepSkipped,
    StepStarted,
)

QUIET_S = 20.0  # in a pipe, a step that waits says so this often
MANY = 200  # steps of a run from which on they are not told one by one at a terminal
SHOWN = 16  # running steps shown at a terminal; a thousand hosts still fit in 24 lines
KINDS_SHOWN = 4  # kinds of failures shown below them
KEPT_FREE = 4  # lines of a small terminal that are not for running steps and failures
WORTH_TELLING_S = 5.0  # an estimate below that is no news
WIDEST = 120  # figures at the far right of a wider line would be read on their own
INDENT = " " * 13


@dataclass
class Running:
    begun: float
    note: str = ""
    share: float | None = None


@dataclass
class Alike:
    """Failures that say the same: what, and where but for the first one, which is told in full."""

    what: str
    places: list[str] = field(default_factory=list)


class Progress:
    """Collects events; prints what a person needs to see."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._titles: dict[str, str] = {}
        self._estimates: dict[str, float] = {}
        self._running: dict[str, Running] = {}
        self._said: dict[str, float] = {}
        self._ended: set[str] = set()
        self._left: Counter[str] = Counter()  # steps by component
        self._alike: dict[str, Alike] = {}
        self._folds = False
        self._begun = time.monotonic()
        self._skipped = 0
        self._over = False

    def on(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._titles.update(event.steps)
                names = [i for i, _ in event.steps]
                self._estimates = dict(zip(names, event.estimates_s, strict=False))
                self._left.update(map(_component, names))
                self._folds = self._console.is_terminal and len(names) > MANY
            case Planned():
                self._replan(event)
            case StepStarted():
                self._titles[event.step] = event.title
                self._running[event.step] = Running(time.monotonic())
            case StepProgress():
                self._note(event)
            case StepDone():
                self._end(event.step)
                self._done(event)
            case StepFailed():
                self._end(event.step)
                if not (self._folds and self._is_known(event)):
                    title = self._titles[event.step]
                    self._line("✗", "red", title, event.seconds, event.error)
            case StepSkipped():
                self._running.pop(event.step, None)
                self._skipped += 1
            case RunEnded():
                self._over = True
                self._tell_alike()
                self._tell_skipped()

    def _done(self, event: StepDone) -> None:
        if not self._folds:
            self._line("✓", "green", self._titles[event.step], event.seconds)
            return
        name = _component(event.step)
        self._left[name] -= 1
        if not self._left[name]:
            steps = sum(_component(s) == name for s in self._titles)
            title = f"{name}, {human.count(steps, 'step')}"
            self._line("✓", "green", title, time.monotonic() - self._begun)

    def _is_known(self, event: StepFailed) -> bool:
        """Whether a failure says what an earlier one said; where, is told at the end."""
        what = "; ".join(e.what for e in event.errors) or event.error
        if what not in self._alike:
            self._alike[what] = Alike(what)
            return False
        places = [e.where for e in event.errors if e.where]
        self._alike[what].places += places or [self._titles[event.step]]
        return True

    def _alike_lines(self) -> list[Text]:
        return [
            Text(veiled(f"✗ {len(a.places):5} more  {a.what}: {human.some(a.places)}"), "red")
            for a in self._alike.values()
            if a.places
        ]

    def _tell_alike(self) -> None:
        for line in self._alike_lines():
            self._console.print(line, soft_wrap=True)

    def _replan(self, event: Planned) -> None:
        prefix = f"{event.component}/"
        gone = [s for s in self._titles if s.startswith(prefix)]
        for step in gone:
            del self._titles[step]
        self._titles.update(event.steps)
        self._left[event.component] = len(event.steps)
        self._folds |= self._console.is_terminal and len(self._titles) > MANY

    def _note(self, event: StepProgress) -> None:
        running = self._running.setdefault(event.step, Running(time.monotonic()))
        running.note, running.share = " ".join(event.note.split()), event.done
        if self._console.is_terminal:
            return
        now = time.monotonic()
        if now - max(running.begun, self._said.get(event.step, 0.0)) > QUIET_S:
            self._said[event.step] = now
            share = f" {event.done:.0%}" if event.done is not None else ""
            title = self._titles.get(event.step, event.step)
            text = f"  … {title}: {running.note}{share} ({now - running.begun:.0f} s)"
            self._console.print(Text(veiled(text)), soft_wrap=True)

    def _end(self, step: str) -> None:
        self._running.pop(step, None)
        self._titles.setdefault(step, step)
        self._ended.add(step)

    def _tell_skipped(self) -> None:
        if self._skipped:
            text = Text(
                f"·{INDENT[1:]}{human.count(self._skipped, 'step')} not done", style="yellow"
            )
            self._console.print(text)

    def _line(self, mark: str, style: str, title: str, seconds: float, note: str = "") -> None:
        text = Text.assemble((f"{mark} ", style), (f"{seconds:7.1f} s  ", "dim"), title)
        if self._console.is_terminal:
            text.truncate(self._console.width, overflow="ellipsis")
        for line in veiled(note).splitlines():
            text.append(f"\n{INDENT}{line}", style=style)
        self._console.print(text, soft_wrap=True)

    def __rich__(self) -> Text:
        """The live part: running steps, failures told as one, then a line with the sum of it. It
        never wraps: a line that did would be left behind at the next refresh."""
        now = time.monotonic()
        free = self._console.height - KEPT_FREE
        alike = self._alike_lines()[-min(KINDS_SHOWN, max(1, free // 4)) :]
        room = max(1, min(SHOWN, free - len(alike)))
        lines = [self._running_line(s, r, now) for s, r in list(self._running.items())[:room]]
        if len(self._running) > room:
            lines.append(Text(f"{INDENT}and {len(self._running) - room} more", style="cyan"))
        if not self._over:
            lines += alike
            took = human.clock(now - self._begun)
            total = len(self._titles)
            lines.append(Text(f"{len(self._ended)} of {total} steps, {took}", style="dim"))
        for line in lines:
            line.truncate(self._console.width - 1, overflow="ellipsis")
        return Text("\n").join(lines)

    def _running_line(self, step: str, running: Running, now: float) -> Text:
        """Title and note at the left, what is known of its end at the right."""
        usual = self._estimates.get(step, 0.0)
        figures = f"{running.share:.0%}" if running.share is not None else ""
        if usual >= WORTH_TELLING_S:
            figures += f"{' of ' if figures else ''}about {human.span(usual)}"
        wide = min(self._console.width - 1, WIDEST)
        title = self._titles.get(step, step)
        left = Text(f"• {now - running.begun:7.1f} s  {title}", style="cyan")
        if running.note:
            left.append(f" — {veiled(running.note)}", style="dim cyan")
        left.truncate(wide - len(figures) - 2, overflow="ellipsis", pad=True)
        return left.append(f"  {figures}", style="cyan") if figures else left


def _component(step: str) -> str:
    return step.partition("/")[0]


@contextmanager
def shown(events: Events, quiet: bool = False) -> Iterator[None]:
    """Show the events of a run on stderr while the block runs."""
    if quiet:
        yield
        return
    console = Talk(
        file=sys.stderr, highlight=False, force_terminal=False if nobody_watches() else None
    )
    progress = Progress(console)
    events.listen(progress.on)
    if not console.is_terminal:
        yield
        return
    with through(console), Live(progress, console=console, refresh_per_second=8, transient=True):
        yield
