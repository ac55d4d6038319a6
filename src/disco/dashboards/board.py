"""What a dashboard says, without a word about who draws it.

A component declares its `Board` beside its code. `python -m disco.cli.dashboards` writes each one
to `dashboards/NAME.json`, the file that Grafana gets; whoever draws panels by other means reads
the same `Board`, or that file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "figure", "text"]
Unit = Literal[
    "",
    "bytes",
    "Bps",  # bytes a second
    "percentunit",  # a share: 1 is all
    "s",
    "dtdurations",  # seconds, read as hours and days
    "ops",  # a second
    "bool_on_off",
]
Colour = Literal["green", "orange", "red"]
COLUMNS = 24
MENU = "disco"  # the tag of dashboards that others offer in their menu


@dataclass(frozen=True)
class Query:
    """expr: PromQL. legend: how a series of its answer is called, `{{label}}` for a label."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Threshold:
    """From this value on, in the panel's unit, values have this colour."""

    at: float
    colour: Colour


@dataclass(frozen=True)
class Link:
    """To another dashboard, by its name."""

    title: str
    board: str


@dataclass(frozen=True)
class Panel:
    """One drawing.

    about:   what it shows, and when it is a reason to act.
    kind:    `lines` over time, `figure` for the newest value, `text` for Markdown in `about`.
    least, most: where the axis begins and ends, unless what is drawn decides.
    alerts:  names of alerts about the same thing, whose runbooks it links to.
    columns: its width, of COLUMNS.
    """

    title: str
    about: str
    queries: tuple[Query, ...] = ()
    unit: Unit = ""
    kind: Kind = "lines"
    thresholds: tuple[Threshold, ...] = ()
    alerts: tuple[str, ...] = ()
    least: float | None = 0
    most: float | None = None
    columns: int = 8
    decimals: int | None = None
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Row:
    """Panels under one heading, from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """name: of its file and, where `uid` says nothing else, its address in Grafana.

    Where one file serves several things, its texts and queries hold placeholders as `@NAMESPACE@`.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    uid: str = ""
    tag: str = MENU

    @property
    def address(self) -> str:
        return self.uid or self.name

    @property
    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels

    @property
    def expressions(self) -> Iterator[str]:
        for panel in self.panels:
            for query in panel.queries:
                yield query.expr


def better_below(warning: float, bad: float) -> tuple[Threshold, ...]:
    """Green, orange from `warning` on, red from `bad` on."""
    return (Threshold(warning, "orange"), Threshold(bad, "red"))


def better_above(bad: float, warning: float | None = None) -> tuple[Threshold, ...]:
    """Red, green from `bad` on; or orange from there, and green from `warning` on."""
    if warning is None:
        return (Threshold(float("-inf"), "red"), Threshold(bad, "green"))
    return (
        Threshold(float("-inf"), "red"),
        Threshold(bad, "orange"),
        Threshold(warning, "green"),
    )
