"""The screen over a network in memory, used by its keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import OptionList

from disco.cli import top_screen
from disco.cli.overview import Overview, Thing, Unseen
from disco.cli.top_screen import Closer, TopScreen
from disco.cli.watch import Watch
from disco.engine.journal import Journal
from disco.layers.platform.prometheus import Prometheus
from sim.stack import SimulatedStack

SIZES = [(80, 24), (150, 50), (40, 12)]


@asynccontextmanager
async def opened(watch: Watch, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[int]]:
    async with watch:
        screen = TopScreen(watch, every_s=1.0)
        async with screen.run_test(size=size) as pilot:
            yield pilot


async def until(pilot: Pilot[int], true: Callable[[], Any], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await pilot.pause(0.05)


def seen(pilot: Pilot[int]) -> list[str]:
    """The lines of the terminal."""
    screen = pilot.app.screen
    strips = screen._compositor.render_strips()
    return ["".join(s.text for s in strip).rstrip() for strip in strips]


def text(pilot: Pilot[int]) -> str:
    return "\n".join(seen(pilot))


def line(pilot: Pilot[int], what: str) -> str:
    return next((x for x in seen(pilot) if what in x), "")


async def checked(pilot: Pilot[int]) -> None:
    """Until the first look and the first checks have ended."""
    await until(pilot, lambda: "1 problem: chain/akash/height" in seen(pilot)[0])


@pytest.mark.parametrize("size", SIZES)
async def test_it_shows_how_it_is_at_every_size(
    watching: Callable[[], Watch], size: tuple[int, int]
) -> None:
    async with opened(watching(), size) as pilot:
        await until(pilot, lambda: seen(pilot)[0].startswith(" ✗ wide: 1 problem"))
        assert "looked at" in seen(pilot)[1]
        assert line(pilot, "h1").split()[:4] == ["servers", "✓", "h1", "up"]
        assert seen(pilot)[-1].startswith(" q quit")
        assert max(map(cell_len, seen(pilot))) <= size[0]
        assert ("events of runs" in text(pilot)) is (size[1] >= 20)


async def test_it_is_unknown_and_not_green_before_the_first_answer(
    monkeypatch: pytest.MonkeyPatch, watching: Callable[[], Watch]
) -> None:
    async def never(self: Any, world: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(Prometheus, "status", never)
    async with opened(watching(), (150, 50)) as pilot:
        await until(pilot, lambda: "✓ akash/node-1" in text(pilot))
        assert "? prometheus" in text(pilot) and "asking" in line(pilot, "? prometheus")
        assert seen(pilot)[0].startswith(" ? wide: looking")
        before = pilot.app.query_one(OptionList).highlighted
        await pilot.press("down", "down")
        assert pilot.app.query_one(OptionList).highlighted == (before or 0) + 2
        await pilot.press("question_mark")
        assert isinstance(pilot.app.screen, Closer)


async def test_it_looks_again_by_itself_and_the_cursor_stays_on_its_thing(
    network: SimulatedStack, watching: Callable[[], Watch]
) -> None:
    async with opened(watching(), (150, 50)) as pilot:
        await checked(pilot)
        things = pilot.app.query_one(OptionList)
        while (option := things.highlighted_option) and option.id != "akash/akash/node-0":
            await pilot.press("j")
        assert "height" in text(pilot)
        network.state.hosts["h3"].running = False
        network.state.alerts = [
            {
                "labels": {"alertname": "HostDown", "severity": "critical"},
                "annotations": {"summary": "h3 is away"},
                "state": "firing",
                "activeAt": "2026-01-01T00:00:00Z",
            }
        ]
        await until(pilot, lambda: "✗ h3" in text(pilot) and "✗ HostDown" in text(pilot))
        assert things.highlighted_option and things.highlighted_option.id == "akash/akash/node-0"


async def test_the_filter_keeps_what_contains_a_text(watching: Callable[[], Watch]) -> None:
    async with opened(watching()) as pilot:
        await checked(pilot)
        await pilot.press("slash", *"validator-q")
        assert "q" in pilot.app.query_one("#filter").value  # a letter there, not the key to quit
        await pilot.press("backspace", "1", "enter")
        await until(pilot, lambda: "akash/validator-1" in text(pilot))
        assert "h1" not in line(pilot, "servers") and "not shown (Esc" in text(pilot)
        assert "1 problem" in seen(pilot)[0], "what is hidden is still told"
        await pilot.press("escape")
        await until(pilot, lambda: "✓ h1" in text(pilot))


async def test_only_problems(watching: Callable[[], Watch]) -> None:
    async with opened(watching()) as pilot:
        await checked(pilot)
        await pilot.press("x")
        await until(pilot, lambda: "✓" not in text(pilot))
        assert "✗ chain/akash/height" in text(pilot)
        assert "fix    " in text(pilot) and "disco logs akash" in text(pilot)


async def test_details_and_help_open_over_it_and_close(watching: Callable[[], Watch]) -> None:
    async with opened(watching()) as pilot:
        await checked(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Closer))
        assert "disco shell h1" in text(pilot) and "its node-exporter, by Prometheus" in text(pilot)
        await pilot.press("escape", "question_mark")
        await until(pilot, lambda: "only what contains a text" in text(pilot))
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Closer))
        assert pilot.app.is_running


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+q", 0), ("ctrl+c", 130)])
async def test_it_ends_by_a_key(watching: Callable[[], Watch], key: str, code: int) -> None:
    async with opened(watching()) as pilot:
        await pilot.press("slash") if key == "ctrl+c" else None  # there it would copy
        await pilot.press(key)
        await until(pilot, lambda: not pilot.app.is_running)
        assert pilot.app.return_value == code


async def test_events_of_a_run_come_by_themselves(
    network: SimulatedStack, watching: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top_screen, "FOLLOWS_S", 0.1)
    async with opened(watching()) as pilot:
        await checked(pilot)
        pilot.app._every_s = 1000.0  # no look in between
        Journal(network.place.journal).write("intent", run="r9", step="s", action="boot h9")
        await until(pilot, lambda: "boot h9" in text(pilot))


async def test_markup_and_names_that_are_the_same_are_only_text(
    watching: Callable[[], Watch],
) -> None:
    async with opened(watching(), (150, 50)) as pilot:
        await checked(pilot)
        twice = (Unseen("[red]x[/]", "a[b]"), Unseen("[red]x[/]", "[/nothing] 漢字" * 30))
        odd = Thing("akash", "chains.x", "[bold]y", "[@click=app.bell]z", "", False)
        heard = pilot.app._heard

        def odder(overview: Overview) -> None:
            heard(replace(overview, unseen=twice, things=(*overview.things, odd)))

        pilot.app._heard = odder
        await until(pilot, lambda: text(pilot).count("? [red]x[/]") == 2)
        assert "✗ [bold]y" in text(pilot)
        assert max(map(cell_len, seen(pilot))) <= 150


async def test_without_colours_the_cursor_and_the_marks_are_still_seen(
    watching: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(watching()) as pilot:
        await checked(pilot)
        await pilot.press("end")
        await until(pilot, lambda: "✗ chain/akash/height" in text(pilot))
        strips = pilot.app.screen._compositor.render_strips()
        reversed_lines = [
            y
            for y, strip in enumerate(strips)
            if any(s.style and s.style.reverse for s in strip if s.text.strip())
        ]
        [cursor] = [y for y, x in enumerate(seen(pilot)) if "✗ chain/akash/height" in x]
        assert reversed_lines == [cursor, 23], "the cursor, and the line of keys"
