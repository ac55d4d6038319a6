"""The screen of `disco top`. What it shows is gathered beside it, so no source ever holds it up."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import WorkerFailed

from disco.cli import glance
from disco.cli.glance import Mark, Row
from disco.cli.overview import EventSeen, Overview
from disco.cli.watch import Watch
from disco.engine.errors import Exit

CHECKS_EVERY_S = 60.0
FOLLOWS_S = 1.0  # how often the journal is read, and ages are told anew
PART, WHAT, STATE = 9, 34, 26  # columns at most
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REVERSED = Style(reverse=True)
STYLES = {
    Mark.GOOD: "ansi_green",
    Mark.BAD: "bold ansi_red",
    Mark.UNKNOWN: "ansi_yellow",
    Mark.NONE: "",
}
KEYS = (
    ("↑ ↓ or k j", "from thing to thing; Home, End, Page Up, Page Down for more"),
    ("Enter", "all that is known of a thing, and the commands that go on from there"),
    ("/", "only what contains a text; Esc shows all again"),
    ("x", "only what is not as it should be, or not known"),
    ("r", "look again now, with keys and addresses read anew"),
    ("c", f"ask the checks again now; else every {CHECKS_EVERY_S:.0f} s"),
    ("?", "this help; Esc closes it"),
    ("q", "quit; Ctrl-C does as well"),
)
MEANINGS = (
    (Mark.GOOD, "as it should be"),
    (Mark.BAD, "not as it should be"),
    (Mark.UNKNOWN, "nobody knows: it gave no answer, or was not asked yet"),
)
FOOT = "q quit  ? help  / filter  x only problems  Enter details  r look now"


async def shown(watch: Watch, every_s: float) -> int:
    """Draw until the person leaves; returns the exit code. The terminal is as it was before."""
    screen = TopScreen(watch, every_s)
    try:
        code = await screen.run_async(mouse=False)
    finally:
        for number in ENDS:
            asyncio.get_running_loop().remove_signal_handler(number)
    if screen.mistake:
        raise screen.mistake
    return int(Exit.DONE) if code is None else code


class TopScreen(App[int]):
    """A list of everything, what is known of one thing, and the last events."""

    TITLE = "disco top"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (20, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave"),
        Binding("ctrl+c", "cut_off", priority=True),
        Binding("question_mark", "help"),
        Binding("slash", "filter"),
        Binding("escape", "whole"),
        Binding("x", "problems"),
        Binding("r", "look_now"),
        Binding("c", "check_now"),
        Binding("j", "move('cursor_down')"),
        Binding("k", "move('cursor_up')"),
    ]
    CSS = """
    * { scrollbar-size-vertical: 1; }
    #head { height: 2; }
    #head, #foot { padding: 0 1; }
    #foot { height: 1; text-style: reverse; }
    #filter { height: 1; border: none; padding: 0 1; display: none; }
    #filter.-open { display: block; }
    #body { height: 1fr; layout: vertical; }
    #things { height: 1fr; border: none; padding: 0; }
    #things:focus { border: none; background-tint: transparent; }
    #things > .option-list--option { padding: 0 1; }
    #things > .option-list--option-highlighted {
        color: ansi_default; background: ansi_default; text-style: none;
    }
    #beside { height: 9; layout: vertical; }
    #about, #events { border-top: solid ansi_default; padding: 0 1; height: 1fr; }
    Screen.-low #events { display: none; }
    Screen.-low #beside { height: 4; }
    Screen.-wide #body { layout: horizontal; }
    Screen.-wide #things { width: 3fr; height: 1fr; max-height: 100%; }
    Screen.-wide #beside { width: 2fr; height: 1fr; border-left: solid ansi_default; }
    Closer { align: center middle; }
    Closer > VerticalScroll {
        width: 90%; max-width: 110; height: auto; max-height: 90%;
        border: solid ansi_default; padding: 0 1; background: ansi_default;
    }
    """

    def __init__(self, watch: Watch, every_s: float = 5.0) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours, whatever they are
        self.mistake: BaseException | None = None
        self._watch, self._every_s = watch, every_s
        self._looked, self._again, self._check_again = (asyncio.Event() for _ in range(3))
        self._overview: Overview = watch.overview
        self._rows: dict[str, Row] = {}
        self._begun = 0.0  # of the look that goes on; 0 between two
        self._only_problems = False

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Input(id="filter", placeholder="only what contains this; Enter: back to the list")
        with Container(id="body"):
            yield Things(id="things", markup=False)
            with Container(id="beside"):
                yield Static(id="about", markup=False)
                yield Static(id="events", markup=False)
        yield Static(FOOT, id="foot", markup=False)

    def on_mount(self) -> None:
        self._things = self.query_one(Things)
        self._filter = self.query_one("#filter", Input)
        self._head, self._about, self._events = (
            self.query_one(f"#{name}", Static) for name in ("head", "about", "events")
        )
        self._things.focus()
        self._draw()
        self.set_interval(FOLLOWS_S, self._tick)
        self.run_worker(self._looks(), exit_on_error=True)
        self.run_worker(self._checks(), exit_on_error=True)
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in ENDS:
                loop.add_signal_handler(number, self.exit, 128 + number)

    def _fatal_error(self) -> None:
        """Textual would print the values of local variables. Ours is told like every mistake."""
        error = self._exception
        self.mistake = error.error if isinstance(error, WorkerFailed) else error
        self._close_messages_no_wait()

    async def _looks(self) -> None:
        while True:
            self._begun = time.monotonic()
            await self._watch.look(self._heard)
            self._begun = 0.0
            self._looked.set()
            self._draw_head()
            await _woken(self._again, self._every_s)

    async def _checks(self) -> None:
        await self._looked.wait()
        while True:
            self._heard(await self._watch.check())
            await _woken(self._check_again, CHECKS_EVERY_S)

    async def _tick(self) -> None:
        await self._watch.follow(self._heard)
        self._draw_head()

    def _heard(self, overview: Overview) -> None:
        self._overview = overview
        self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def on_input_changed(self) -> None:
        self._draw()

    def on_input_submitted(self) -> None:
        self._things.focus()

    def on_option_list_option_highlighted(self) -> None:
        self._draw_about()

    def on_option_list_option_selected(self, chosen: OptionList.OptionSelected) -> None:
        if row := self._rows.get(chosen.option.id or ""):
            self.push_screen(Closer(Content("\n").join(_told(row))))

    def action_leave(self) -> None:
        self.exit(int(Exit.DONE))

    async def action_quit(self) -> None:
        self.action_leave()

    def action_cut_off(self) -> None:
        self.exit(128 + signal.SIGINT)

    def action_help(self) -> None:
        self.push_screen(Closer(_help(self._every_s)))

    def action_filter(self) -> None:
        self._filter.add_class("-open")
        self._filter.focus()

    def action_whole(self) -> None:
        self._filter.value, self._only_problems = "", False
        self._filter.remove_class("-open")
        self._things.focus()
        self._draw()

    def action_problems(self) -> None:
        self._only_problems = not self._only_problems
        self._draw()

    def action_look_now(self) -> None:
        self._watch.renew()
        self._again.set()

    def action_check_now(self) -> None:
        self._check_again.set()

    def action_move(self, how: str) -> None:
        getattr(self._things, f"action_{how}")()

    def _draw(self) -> None:
        """Everything anew; the cursor stays on its thing."""
        if not self._things.is_attached:  # it ends
            return
        every = glance.rows(self._overview)
        chosen = [r for r in every if self._is_wanted(r)]
        here, before = self._things.highlighted_option, self._things.highlighted
        self._rows = _keyed(chosen)
        with self.batch_update():
            top = self._things.scroll_offset
            self._things.set_options(_options(self._rows, self._things.size.width - 3))
            self._put_cursor(here.id if here else None, before)
            self._things.scroll_to(y=top.y, animate=False, force=True)
            self._draw_head(every)
            self._draw_about()
            self._draw_events()

    def _put_cursor(self, key: str | None, before: int | None) -> None:
        if key in self._rows:
            assert key is not None
            self._things.highlighted = self._things.get_option_index(key)
        elif self._rows:
            self._things.highlighted = min(before or 0, self._things.option_count - 1)

    def _is_wanted(self, row: Row) -> bool:
        if self._only_problems and row.mark not in (Mark.BAD, Mark.UNKNOWN):
            return False
        text = " ".join((row.part, row.what, row.state, row.details, *map(" ".join, row.more)))
        return self._filter.value.strip().lower() in text.lower()

    def _draw_head(self, every: Sequence[Row] | None = None) -> None:
        every = glance.rows(self._overview) if every is None else every
        how = glance.headline(self._overview, every)
        when = glance.looked(self._overview)
        if self._begun and (took := time.monotonic() - self._begun) >= 1:
            when += f"; looking for {took:.0f} s"
        when += f"; every {self._every_s:g} s"
        hidden = len(every) - len(self._rows)
        if hidden:
            when += f"; {hidden} not shown (Esc shows all)"
        worst = next((m for m in (Mark.BAD, Mark.UNKNOWN) if any(r.mark is m for r in every)), None)
        mark = worst or (Mark.GOOD if self._overview.at else Mark.UNKNOWN)
        first = Content.assemble((f"{mark} {self._overview.stack}: ", "bold"), (how, STYLES[mark]))
        self._head.update(first + Content(f"\n  {when}"))

    def _draw_about(self) -> None:
        option = self._things.highlighted_option
        row = self._rows.get(option.id or "") if option else None
        self._about.border_title = row.what if row else None
        self._about.update(Content("\n").join(_told(row)) if row else "")

    def _draw_events(self) -> None:
        size = self._events.content_size
        lines = [_event_line(e) for e in self._overview.events[-max(1, size.height) :]]
        text = "\n".join(_cut(line, size.width) for line in lines)
        self._events.border_title = "events of runs"
        self._events.update(text or "no run yet")


class Things(OptionList):
    """A line for each thing; the cursor is reversed, which is seen without colours too."""

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if y + self.scroll_offset.y != self.highlighted:
            return strip
        return Strip(Segment.apply_style(strip, post_style=REVERSED), strip.cell_length)


class Closer(ModalScreen[None]):
    """A text over the screen; Esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss"),
        Binding("q", "dismiss"),
        Binding("enter", "dismiss"),
        Binding("question_mark", "dismiss"),
    ]

    def __init__(self, text: Content) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()


async def _woken(event: asyncio.Event, within_s: float) -> None:
    """Wait until somebody asks, at most for a time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()
    event.clear()


def _keyed(rows: Sequence[Row]) -> dict[str, Row]:
    """By a key that is the same for the same thing at each look, and only its."""
    found: dict[str, Row] = {}
    for row in rows:
        key = base = f"{row.part}/{row.what}"
        same = 1
        while key in found:
            same += 1
            key = f"{base}/{same}"
        found[key] = row
    return found


def _options(keyed: Mapping[str, Row], width: int) -> Iterator[Option]:
    """A line for each row; the name of a part stands at its first one."""
    rows = list(keyed.values())
    part = _column([r.part for r in rows], PART)
    what = _column([r.what for r in rows], min(WHAT, max(12, width // 3)))
    state = _column([r.state for r in rows], min(STATE, max(10, width // 4)))
    before = ""
    for key, row in keyed.items():
        first = f"{_fit(row.part if row.part != before else '', part)}  "
        yield Option(_line(row, first, what, state, width), id=key)
        before = row.part


def _column(texts: Sequence[str], most: int) -> int:
    return min(most, max(map(cell_len, texts), default=0))


def _line(row: Row, first: str, what: int, state: int, width: int) -> Content:
    rest = max(0, width - cell_len(first) - 2 - what - 2 - state - 2)
    style = STYLES[row.mark] if row.mark is not Mark.GOOD else ""
    return Content.assemble(
        (first, "dim"),
        (f"{row.mark} ", STYLES[row.mark]),
        f"{_fit(row.what, what)}  ",
        (f"{_fit(row.state, state)}  ", style),
        _cut(row.details, rest),
    )


def _fit(text: str, width: int) -> str:
    """Exactly so many columns."""
    return set_cell_size(_cut(text, width), width)


def _cut(text: str, width: int) -> str:
    """At most so many columns; what is cut off is told by an ellipsis."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def _told(row: Row) -> list[Content]:
    """All that is known of a thing, a line each."""
    first = Content.assemble((f"{row.mark} {row.state}", STYLES[row.mark]), f"  {row.details}")
    wide = min(10, max((len(name) for name, _ in row.more), default=0))
    return [first, *(Content(f"{name:{wide}}  {text}") for name, text in row.more)]


def _event_line(event: EventSeen) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    return f"{at}  {event.event:6}  {event.said}"


def _help(every_s: float) -> Content:
    keys = [f"{key:12} {text}" for key, text in KEYS]
    marks = [f"{mark:12} {text}" for mark, text in MEANINGS]
    told = f"It only reads, every {every_s:g} s. For pipes: disco top --once, or --json."
    return Content("\n".join([*keys, "", *marks, "", told]))
