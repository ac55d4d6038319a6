"""A curve on two logarithmic axes as SVG: a few lines that read on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM = 560, 320, 64, 64, 44, 44
STYLE = """
text{font:13px system-ui,sans-serif;fill:#555}
.grid{stroke:#8884}.line{fill:none;stroke-width:2}.even{fill:none;stroke:#888;stroke-dasharray:4 4}
.s0{stroke:#0969da;fill:#0969da}.s1{stroke:#bc4c00;fill:#bc4c00}text.s0,text.s1{stroke:none}
@media(prefers-color-scheme:dark){text{fill:#aaa}.s0{stroke:#58a6ff;fill:#58a6ff}
.s1{stroke:#f0883e;fill:#f0883e}}.s0.line,.s1.line{fill:none}
"""


@dataclass(frozen=True)
class Series:
    """A named line through points (x, y), all above zero."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Powers of ten from `low` to `high`, drawn from `start` to `end` (pixels)."""

    low: int
    high: int
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def marks(self) -> list[float]:
        return [10.0**n for n in range(self.low, self.high + 1)]


def curve(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> str:
    """The drawing; dashed lines begin like each series and grow as x does."""
    points = [p for s in series for p in s.points]
    x = _axis([p[0] for p in points], LEFT, WIDE - RIGHT)
    y = _axis([p[1] for p in points], HIGH - BOTTOM, TOP)
    body = [
        f'<text x="{LEFT}" y="20">{escape(title)}</text>',
        f'<text x="{WIDE - RIGHT}" y="{HIGH - 8}" text-anchor="end">{escape(x_name)}</text>',
        f'<text x="{LEFT - 8}" y="{TOP - 10}" text-anchor="end">{escape(y_name)}</text>',
        *_grid(x, y),
    ]
    for n, one in enumerate(series):
        body += _line(one, n, x, y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _axis(values: Sequence[float], start: float, end: float) -> Axis:
    low = math.floor(math.log10(min(values)))
    high = max(low + 1, math.ceil(math.log10(max(values))))
    return Axis(low, high, start, end)


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    for mark in x.marks:
        at = x.at(mark)
        yield f'<line class="grid" x1="{at}" x2="{at}" y1="{y.start}" y2="{y.end}"/>'
        yield f'<text x="{at}" y="{y.start + 18}" text-anchor="middle">{mark:g}</text>'
    for mark in y.marks:
        at = y.at(mark)
        yield f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{at}" y2="{at}"/>'
        yield f'<text x="{x.start - 8}" y="{at + 4}" text-anchor="end">{mark:g}</text>'


def _line(series: Series, number: int, x: Axis, y: Axis) -> Iterator[str]:
    (x0, y0), (x1, y1) = series.points[0], series.points[-1]
    even = min(y0 * x1 / x0, 10.0**y.high)
    yield _path("even", [(x0, y0), (x0 * even / y0, even)], x, y)
    yield _path(f"line s{number}", series.points, x, y)
    for px, py in series.points:
        yield f'<circle class="s{number}" cx="{x.at(px)}" cy="{y.at(py)}" r="3"/>'
    label = f"{escape(series.name)} {y1:.2g}"
    yield f'<text class="s{number}" x="{x.at(x1) + 8}" y="{y.at(y1) + 4}">{label}</text>'


def _path(kind: str, points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    return f'<path class="{kind}" d="M{" L".join(f"{x.at(a)} {y.at(b)}" for a, b in points)}"/>'
