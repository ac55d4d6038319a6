"""Panels as they are drawn: nothing in them but lines and text, whatever a label says."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from disco.console.plots import Series, lines, said

HOUR = (1_790_000_000.0, 1_790_003_600.0)
EVIL = "<script>alert(1)</script>\"'&"


def series(*values: float, name: str = "a") -> Series:
    step = 3600 / max(len(values) - 1, 1)
    return Series(name, tuple((HOUR[0] + i * step, v) for i, v in enumerate(values)))


def paths(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [n.get("d", "") for n in root.iter() if n.get("class") == "line reactive nofill"]


@pytest.mark.parametrize(
    "drawn",
    [
        [series(1)],
        [series(5, 5, 5)],
        [series(0, 0)],
        [series(math.nan, math.inf, 1)],
        [series(1, 2, 3), series(3, 2, 1, name=EVIL)],
        [series(1e18, -1e18)],
    ],
    ids=lambda drawn: f"{len(drawn)}",
)
def test_it_is_drawn_without_style_script_or_links(drawn: list[Series]) -> None:
    svg = lines(drawn, "bytes", HOUR)
    root = ElementTree.fromstring(svg)
    for node in root.iter():
        assert node.tag.rpartition("}")[2] not in ("script", "style", "foreignObject", "a", "image")
        assert not {a for a in node.attrib if a.startswith("on") or a in ("style", "href")}
    assert "<script" not in svg


def test_where_nothing_is_known_nothing_is_drawn() -> None:
    assert lines([], "", HOUR) == lines([series()], "", HOUR) == ""
    assert lines([series(math.nan)], "", HOUR, least=0) == ""


def test_a_line_has_all_its_points_and_a_gap_where_nothing_is_known() -> None:
    (whole,) = paths(lines([series(1, 2, 3, 4)], "", HOUR))
    assert whole.count("L") == 3 or whole.count(" ") >= 3
    broken = paths(lines([series(1, 2, math.nan, 4, 5)], "", HOUR))
    assert sum(p.count("M") for p in broken) == 2


def test_the_axis_begins_where_the_dashboard_says() -> None:
    assert ">0 B<" in lines([series(500, 600)], "bytes", HOUR, least=0)
    assert ">0 B<" not in lines([series(500, 600)], "bytes", HOUR)


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (None, "", None, "–"),
        (math.nan, "s", None, "–"),
        (0.5, "percentunit", None, "50.0 %"),
        (1.5e9, "bytes", None, "1.50 GB"),
        (12_345, "Bps", None, "12.3 kB/s"),
        (0.25, "s", None, "250 ms"),
        (0.0021, "s", None, "2.1 ms"),
        (5.811, "s", 2, "5.81 s"),
        (7200, "dtdurations", None, "2.0 h"),
        (30, "dtdurations", None, "30 s"),
        (12, "ops", None, "12/s"),
        (1, "bool_on_off", None, "on"),
        (123456, "short", 0, "123 456"),
        (0, "", None, "0"),
        (2_500_000, "", None, "2.50 M"),
    ],
)
def test_a_value_is_said_with_its_unit(
    value: float | None, unit: str, decimals: int | None, text: str
) -> None:
    assert said(value, unit, decimals) == text
