"""The drawing of a graph: every component, each line to what it means and through no box."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from disco.cli.wiring import located, wired
from disco.console.drawing import svg
from sim.stacks import STACKS

NAMED = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", STACKS)
def test_every_component_is_drawn_and_no_line_goes_through_another(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(STACKS[name])
    graph = wired(*located(file))
    drawing = ET.fromstring(svg(graph))
    boxes = {
        str(g[1].text): [float(g[0].get(k, "")) for k in ("x", "y", "width", "height")]
        for g in drawing.iter(f"{NAMED}g")
    }
    assert set(boxes) == set(graph.order)
    lines = [str(p.get("d")) for p in drawing.iter(f"{NAMED}path")]
    drawn = {n: {box_at(boxes, d, -1) for d in lines if box_at(boxes, d, 0) == n} for n in boxes}
    for node in graph:  # what no line tells, others imply
        near = drawn[node.name]
        assert near <= set(node.upstream)
        assert set(node.upstream) <= near.union(*(graph.all_upstream(n) for n in near))
    for d in lines:
        for x, top, bottom in uprights(d):
            crossed = [
                n
                for n, (bx, by, w, h) in boxes.items()
                if bx < x < bx + w and by < bottom and by + h > top
            ]
            assert crossed == [], d


def points(path: str) -> list[tuple[float, float]]:
    """The ends of the parts of a path."""
    found: list[tuple[float, float]] = []
    for kind, rest in re.findall(r"([MCV])([^MCV]*)", path):
        numbers = [float(n) for n in rest.split()]
        found.append((found[-1][0], numbers[0]) if kind == "V" else (numbers[-2], numbers[-1]))
    return found


def uprights(path: str) -> list[tuple[float, float, float]]:
    """x, top and bottom where it goes beside a row."""
    ends = points(path)
    return [(a[0], a[1], b[1]) for a, b in pairwise(ends) if b[1] - a[1] == 38]


def box_at(boxes: dict[str, list[float]], path: str, end: int) -> str:
    """The box that a line begins or ends at."""
    x, y = points(path)[end]
    (found,) = [n for n, (bx, by, w, h) in boxes.items() if bx < x < bx + w and y in (by, by + h)]
    return found
