"""`disco graph`: the components of a stack and what each stands on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from disco.cli import speak
from disco.cli.wiring import located, wired
from disco.engine.component import Layer
from disco.engine.errors import Exit
from disco.engine.graph import Graph


def graph(file: Path, drawn_as: str, as_json: bool) -> int:
    """Print the graph. Returns the exit code."""
    found = wired(*located(file))
    if as_json:
        speak.data_json(
            [
                {"name": n.name, "layer": n.component.layer.title, "on": list(n.upstream)}
                for n in found
            ]
        )
    else:
        draw = {"text": text, "mermaid": mermaid, "dot": dot}[drawn_as]
        speak.data("\n".join(draw(found)))
    return int(Exit.DONE)


def text(graph: Graph) -> Iterator[str]:
    wide = max(len(n) for n in graph.order)
    for layer in Layer:
        nodes = [n for n in graph if n.component.layer is layer]
        if nodes:
            yield f"{layer.value} {layer.title}"
        for node in nodes:
            on = f"  on {', '.join(node.upstream)}" if node.upstream else ""
            yield f"  {node.name:{wide}}{on}".rstrip()


def mermaid(graph: Graph) -> Iterator[str]:
    yield "flowchart BT"
    for layer in Layer:
        nodes = [n for n in graph if n.component.layer is layer]
        if nodes:
            yield f"  subgraph {layer.title}_layer [{layer.title}]"
            yield from (f'    {_id(n.name)}["{n.name}"]' for n in nodes)
            yield "  end"
    for node in graph:
        yield from (f"  {_id(node.name)} --> {_id(up)}" for up in node.upstream)


def dot(graph: Graph) -> Iterator[str]:
    yield "digraph stack {"
    yield "  rankdir=BT; node [shape=box];"
    for layer in Layer:
        nodes = [n for n in graph if n.component.layer is layer]
        if nodes:
            names = " ".join(f'"{n.name}";' for n in nodes)
            yield f'  subgraph cluster_{layer.value} {{ label="{layer.title}"; {names} }}'
    for node in graph:
        yield from (f'  "{node.name}" -> "{up}";' for up in node.upstream)
    yield "}"


def _id(name: str) -> str:
    """A name as Mermaid takes it; `end` and the like would be words of its own."""
    return "n_" + "".join(c if c.isalnum() else "_" for c in name)
