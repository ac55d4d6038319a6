"""What a person sees: progress that never wraps, tables for wide, narrow and no terminals."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from rich.cells import cell_len
from rich.console import Console

from disco.cli import human, render, speak
from disco.cli.progress import Progress
from disco.engine.errors import DiscoError, Several
from disco.engine.events import (
    RunEnded,
    RunStarted,
    StepDone,
    StepFailed,
    StepProgress,
    StepSkipped,
    StepStarted,
)

LONG = "boot a host with a very long name that does not fit into any line of a narrow terminal"


def shown(width: int | None, height: int = 24) -> tuple[Progress, Console, io.StringIO]:
    out = io.StringIO()
    console = Console(
        file=out, width=width, height=height, force_terminal=width is not None, no_color=True
    )
    return Progress(console), console, out


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_live_lines_never_wrap(width: int) -> None:
    progress, console, out = shown(width)
    progress.on(RunStarted("r", tuple((f"s{i}", LONG) for i in range(40)), (60.0,) * 40))
    for i in range(40):
        progress.on(StepStarted(f"s{i}", LONG))
        progress.on(StepProgress(f"s{i}", f"importing {LONG} 漢字漢字漢字", 0.42))
    live = progress.__rich__().plain.splitlines()
    assert max(map(cell_len, live)) < width
    assert len(live) <= 18
    assert out.getvalue() == ""
    del console


def test_a_small_terminal_keeps_room() -> None:
    progress, _, _ = shown(80, height=10)
    for i in range(40):
        progress.on(StepStarted(f"s{i}", "t"))
    assert len(progress.__rich__().plain.splitlines()) <= 8


def test_figures_stand_at_the_right() -> None:
    progress, _, _ = shown(80)
    progress.on(RunStarted("r", (("a", "first"), ("b", "second")), (90.0, 10.0)))
    progress.on(StepStarted("a", "first"))
    progress.on(StepProgress("a", "x", 0.5))
    progress.on(StepStarted("b", "second"))
    first, second, total = progress.__rich__().plain.splitlines()
    assert (len(first), len(second)) == (79, 79)
    assert first.endswith("50% of about 2 min")
    assert second.endswith("about 10 s")
    assert total == "0 of 2 steps, 0 s"


def test_in_a_pipe_each_step_that_ends_is_a_line() -> None:
    progress, _, out = shown(None)
    progress.on(RunStarted("r", (("a", "first"), ("b", LONG), ("c", "third")), (1.0, 1.0, 1.0)))
    progress.on(StepStarted("a", "first"))
    progress.on(StepDone("a", 1.25))
    progress.on(StepStarted("b", LONG))
    progress.on(StepFailed("b", 2.0, "it broke\nbadly"))
    progress.on(StepSkipped("c", "a step before it failed"))
    progress.on(RunEnded("failed"))
    assert out.getvalue().splitlines() == [
        "✓     1.2 s  first",
        f"✗     2.0 s  {LONG}",
        "             it broke",
        "             badly",
        "·            1 step not done",
    ]


HOSTS, PARTS = 1000, 20
FULL_DISK = "`apt-get install` ended with 100"


def plain(out: io.StringIO) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())


def rows(text: str, width: int = 80) -> int:
    """Lines that a text takes on the screen."""
    return sum(max(1, -(-cell_len(line) // width)) for line in text.splitlines())


def fleet_runs(progress: Progress, fails: dict[str, DiscoError]) -> Iterator[None]:
    """A run of a thousand hosts, sixteen at a time; yields after each event."""
    ids = [f"k8s/h{h}/part-{s}" for s in range(PARTS) for h in range(1, HOSTS + 1)]
    titles = {i: f"{i.rpartition('/')[2]} of {i.split('/')[1]}" for i in ids}
    progress.on(RunStarted("r", tuple(titles.items()), (60.0,) * len(ids)))
    for first in range(0, len(ids), 16):
        now = ids[first : first + 16]
        for i in now:
            progress.on(StepStarted(i, titles[i]))
            yield
        for i in now:
            error = fails.pop(i.split("/")[1], None)
            if error:
                progress.on(StepFailed(i, 1.0, str(error), (error,)))
            else:
                progress.on(StepDone(i, 1.0))
            yield
    progress.on(RunEnded("done"))
    yield


def test_a_run_over_a_thousand_hosts_stays_on_a_screen_of_24_lines_with_failures_by_host() -> None:
    progress, _, out = shown(80)
    fails = {f"h{h}": DiscoError(FULL_DISK, f"h{h}", f"no space on h{h}") for h in range(7, 900, 9)}
    fails["h8"] = DiscoError("the API is not ready", "h8", "refused")
    fullest, seen = 0, ""
    for count, _ in enumerate(fleet_runs(progress, fails)):
        if count % 50 == 0:
            live = progress.__rich__().plain
            fullest = max(fullest, rows(live) + rows(plain(out)))
            seen = live or seen
    assert f"99 more  {FULL_DISK}: h16, h25, h34, h43" in seen
    fullest = max(fullest, rows(progress.__rich__().plain) + rows(plain(out)))
    assert 18 <= fullest <= 24
    assert plain(out).splitlines() == [
        "✗     1.0 s  part-0 of h7",
        f"             h7: {FULL_DISK}: no space on h7",
        "✗     1.0 s  part-0 of h8",
        "             h8: the API is not ready: refused",
        f"✗    99 more  {FULL_DISK}: h16, h25, h34, h43, h52, h61, h70, h79 and 91 more",
    ]


def test_the_end_of_a_component_of_very_many_steps_is_one_line() -> None:
    progress, _, out = shown(80)
    for _ in fleet_runs(progress, {}):
        pass
    assert re.fullmatch(r"✓ +\d+\.\d s  k8s, 20000 steps\n", plain(out))


def test_errors_that_differ_only_by_their_host_are_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    alike = [DiscoError("no space left", f"h{i}", "df", f"ssh h{i}") for i in range(1, 13)]
    other = DiscoError("no space left", "h13", "quota")
    assert render.complain(Several([*alike[:6], other, *alike[6:]])) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: h1, h2, h3, h4, h5, h6, h7, h8 and 4 more: no space left",
        "  why: df",
        "  fix: ssh h1",
        "error: h13: no space left",
        "  why: quota",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    speak.data_table(
        ["name", "licence", "meaning"], [["a" * 30, "b" * 20, "words " * 20]], spare=["licence"]
    )
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()).splitlines()


@pytest.mark.parametrize("columns", [100, 70, 60])
def test_a_table_fits_its_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    lines = printed(monkeypatch, columns)
    assert max(map(cell_len, lines)) <= columns
    assert ("b" * 20 in "".join(lines)) is (columns == 100)


def test_rows_are_blocks_where_no_table_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 40)
    assert lines[0] == "a" * 30
    assert lines[1].startswith("  meaning  words words")
    assert max(map(cell_len, lines)) <= 40


def test_a_pipe_has_each_row_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    speak.data_table(["name", "meaning"], [["a", "words " * 200], ["b", ""]])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_sizes_and_times_are_said_as_people_do() -> None:
    assert [human.size(s) for s in (0, 999, 1_400_000, 64e6, 12e9)] == [
        "0 bytes",
        "999 bytes",
        "1.4 MB",
        "64 MB",
        "12 GB",
    ]
    assert [human.span(s) for s in (8, 240, 9000)] == ["8 s", "4 min", "2.5 h"]
    assert [human.clock(s) for s in (34, 125, 4020)] == ["34 s", "2 min 05 s", "1 h 07 min"]
