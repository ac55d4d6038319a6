"""Panels of dashboards, drawn: lines as SVG by pygal, figures as text. Colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree

import pygal  # type: ignore[import-untyped]

WIDE, HIGH = 480, 200  # pixels; the page makes them as wide as a column is
TIMES = 5  # labels below
COLOURS = 8  # after these they begin again
BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
MANY = ("", "k", "M", "G", "T")


@dataclass(frozen=True)
class Series:
    """points: (Unix time in seconds, value), oldest first."""

    name: str
    points: tuple[tuple[float, float], ...]


def lines(
    series: Sequence[Series],
    unit: str,
    span_s: tuple[float, float],
    least: float | None = None,
    most: float | None = None,
) -> str:
    """An SVG without a style or a script in it; empty when there is nothing to draw.

    unit: as the dashboard's file calls it. span_s: where the axis of time begins and ends, in Unix
    time. least, most: where the other one does at least; None for what is drawn.
    """
    values = [v for s in series for _, v in s.points if math.isfinite(v)]
    if not values:
        return ""
    low = min(values if least is None else [least, *values])
    high = max(values if most is None else [most, *values])
    if high - low < 1e-9:
        high = low + (abs(low) or 1.0)
    chart = pygal.DateTimeLine(
        css=(),
        js=(),
        no_prefix=True,
        width=WIDE,
        height=HIGH,
        margin=4,
        margin_right=24,
        show_legend=False,
        show_dots=False,
        allow_interruptions=True,
        x_labels=[_at(span_s[0] + i * (span_s[1] - span_s[0]) / (TIMES - 1)) for i in range(TIMES)],
        x_value_formatter=_clock(span_s[1] - span_s[0]),
        value_formatter=lambda value: said(value, unit),
        range=(low, high),
        xrange=(_at(span_s[0]), _at(span_s[1])),
        max_scale=5,
    )
    for one in series:
        chart.add(one.name, [(_at(t), v if math.isfinite(v) else None) for t, v in one.points])
    root = chart.render_tree()
    for child in list(root):
        if child.tag in ("defs", "title") or not isinstance(child.tag, str):
            root.remove(child)
    for node in root.iter():
        for mark in ("style", "onclick"):
            node.attrib.pop(mark, None)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    found: str = ElementTree.tostring(root, encoding="unicode")
    return found


def _at(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)


def _clock(span_s: float) -> Callable[[datetime], str]:
    """In this machine's zone, as `disco` prints times."""
    form = "%H:%M" if span_s <= 86400 else "%d.%m. %H:%M"
    return lambda time: time.astimezone().strftime(form)


def said(value: float | None, unit: str = "", decimals: int | None = None) -> str:
    """A value with its unit, as short as it is clear."""
    if value is None or not math.isfinite(value):
        return "–"
    match unit:
        case "percentunit":
            return f"{value * 100:.{1 if decimals is None else decimals}f} %"
        case "bytes":
            return _scaled(value, BYTES)
        case "Bps":
            return f"{_scaled(value, BYTES)}/s"
        case "ops":
            return f"{_short(value, decimals)}/s"
        case "s":
            return _seconds(value, decimals)
        case "dtdurations":
            return _duration(value)
        case "bool_on_off":
            return "on" if value else "off"
        case _:
            return _short(value, decimals)


def _short(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:,.{decimals}f}".replace(",", " ")
    if value == int(value) and abs(value) < 1e6:
        return f"{value:,.0f}".replace(",", " ")
    return _scaled(value, MANY).rstrip()


def _scaled(value: float, units: Sequence[str]) -> str:
    power = 0
    while abs(value) >= 1000 and power < len(units) - 1:
        value, power = value / 1000, power + 1
    digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {units[power]}"


def _seconds(value: float, decimals: int | None) -> str:
    if abs(value) < 1 and value:
        return f"{value * 1000:.{1 if abs(value) < 0.1 else 0}f} ms"
    return f"{value:.{2 if decimals is None else decimals}f} s"


def _duration(value: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(value) >= 2 * size:
            return f"{value / size:.1f} {name}"
    return f"{value:.0f} s"
