"""Components of one stack, wired: annotations are the edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from disco.engine.component import Component, inputs_of, outputs_class, spec_class
from disco.engine.errors import WrongUse
from disco.engine.place import Place
from disco.stack.model import Model


@dataclass(frozen=True)
class Node:
    """A component of this stack before it has its inputs.

    name:  `servers`, or `chains.akash` for an entry of a section with many.
    needs: attribute -> name of the node that provides it (None: missing and optional).
    """

    name: str
    component: type[Component]
    spec: Model
    needs: Mapping[str, str | None]

    @property
    def upstream(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for n in self.needs.values() if n))


class Graph:
    """The nodes of a stack in an order in which each comes after what it needs."""

    def __init__(self, nodes: Mapping[str, Node], place: Place) -> None:
        self.nodes = nodes
        self.place = place
        self.order = _order(nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter([self.nodes[n] for n in self.order])

    def all_upstream(self, name: str) -> set[str]:
        """Everything that `name` stands on, near and far."""
        found: set[str] = set()
        todo = list(self.nodes[name].upstream)
        while todo:
            n = todo.pop()
            if n not in found:
                found.add(n)
                todo.extend(self.nodes[n].upstream)
        return found


def build(components: Sequence[type[Component]], specs: Mapping[str, Model], place: Place) -> Graph:
    """Wire the components of `components` that `specs` names.

    Raises WrongUse when an input has no provider in this stack, or more than one; its place is the
    component's name.
    """
    chosen = {name: _component_of(name, spec, components) for name, spec in specs.items()}
    nodes = {}
    for name, component in chosen.items():
        needs = {
            i.attribute: _provider(name, i.outputs, i.optional, chosen)
            if not i.optional or component.takes(specs[name], i.attribute)
            else None
            for i in inputs_of(component)
        }
        nodes[name] = Node(name, component, specs[name], needs)
    return Graph(nodes, place)


def _component_of(name: str, spec: Model, components: Sequence[type[Component]]) -> type[Component]:
    """By section and, where several share one (`provider: local|ssh`), by the spec's class."""
    section = name.partition(".")[0]
    for component in components:
        if component.section == section and isinstance(spec, spec_class(component)):
            return component
    raise WrongUse(f"no component is called {section}", where=name)


def _provider(
    name: str, wanted: type, optional: bool, chosen: Mapping[str, type[Component]]
) -> str | None:
    found = [n for n, c in chosen.items() if issubclass(outputs_class(c), wanted)]
    if len(found) == 1:
        return found[0]
    if not found and optional:
        return None
    if not found:
        raise WrongUse(
            f"{name} needs a component that gives {wanted.__name__}, and the stack has none",
            where=name,
            fix="add that section to the stack file",
        )
    raise WrongUse(f"{name} could be wired to any of {', '.join(found)}", where=name)


def _order(nodes: Mapping[str, Node]) -> tuple[str, ...]:
    sorter = TopologicalSorter({n: node.upstream for n, node in nodes.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise WrongUse("components need each other in a circle", why=circle) from None
    found: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda n: (nodes[n].component.layer, n))
        found += ready
        sorter.done(*ready)
    return tuple(found)
