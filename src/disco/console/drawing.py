"""The graph of a stack as SVG: a row for each layer, what stands on something above it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from disco.engine.component import Layer
from disco.engine.graph import Graph, Node

BOX, GAP, ROW, HIGH, LEFT, BOW = 150, 18, 92, 38, 90, 26  # pixels


@dataclass(frozen=True)
class _At:
    x: int
    y: int


def svg(graph: Graph) -> str:
    """Without a style of its own: the page's classes colour it. Its label tells every edge; lines
    that others imply are left out."""
    rows = [[n.name for n in graph if n.component.layer is layer] for layer in Layer]
    shown = [(layer, row) for layer, row in zip(Layer, rows, strict=True) if row]
    wide = LEFT + max((len(row) for _, row in shown), default=1) * (BOX + GAP)
    high = len(shown) * ROW
    at = {
        name: _At(LEFT + i * (BOX + GAP), high - (level + 1) * ROW + (ROW - HIGH) // 2)
        for level, (_, row) in enumerate(shown)
        for i, name in enumerate(row)
    }
    names = ", ".join(f"{n.name} on {' and '.join(n.upstream) or 'nothing'}" for n in graph)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" '
            f'width="{wide}" height="{high}" aria-label="{escape(names)}">',
            *(_line(at[n.name], at[up]) for n in graph for up in _nearest(graph, n)),
            *_layers(shown, high),
            *(_box(name, place) for name, place in at.items()),
            "</svg>",
        ]
    )


def _nearest(graph: Graph, node: Node) -> Iterator[str]:
    """What it stands on without anything between: the other lines would only cross these."""
    between = {far for up in node.upstream for far in graph.all_upstream(up)}
    return (up for up in node.upstream if up not in between)


def _layers(shown: list[tuple[Layer, list[str]]], high: int) -> Iterator[str]:
    for level, (layer, _) in enumerate(shown):
        y = high - level * ROW - ROW // 2 + 5
        yield f'<text class="layer" x="4" y="{y}">{escape(layer.title)}</text>'


def _line(upper: _At, lower: _At) -> str:
    """From what stands there to what it stands on: beside the boxes of rows between, and within
    one row as a bow below both."""
    x, y = upper.x + BOX // 2, upper.y + HIGH
    path = [f"M{x} {y}"]
    for row in range(upper.y + ROW, lower.y, ROW):
        beside = (x - LEFT) // (BOX + GAP) + (lower.x >= upper.x)
        x_gap = LEFT + beside * (BOX + GAP) - GAP // 2
        path.append(f"{_curve(x, y, x_gap, row)} V{row + HIGH}")
        x, y = x_gap, row + HIGH
    x_to = lower.x + BOX // 2
    if upper.y == lower.y:
        path.append(f"C{x} {y + BOW} {x_to} {y + BOW} {x_to} {y}")
    else:
        path.append(_curve(x, y, x_to, lower.y))
    return f'<path class="edge" d="{" ".join(path)}"/>'


def _curve(x: int, y: int, x_to: int, y_to: int) -> str:
    """Down, leaving and arriving upright."""
    return f"C{x} {y + BOW} {x_to} {y_to - BOW} {x_to} {y_to}"


def _box(name: str, at: _At) -> str:
    return (
        f'<g class="node"><rect x="{at.x}" y="{at.y}" width="{BOX}" height="{HIGH}" rx="6"/>'
        f'<text x="{at.x + BOX // 2}" y="{at.y + HIGH // 2 + 5}">{escape(name)}</text></g>'
    )
