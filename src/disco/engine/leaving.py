"""What left the stack file goes in an orderly way: whole components, and parts of those that stay.

A component that is no longer declared is looked at and removed as `disco down` would. One that is
declared otherwise, or stands on something that is, says itself what of it goes: the servers that
are no longer named, say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from disco.engine.component import Component, Outputs, Step, World
from disco.engine.errors import DiscoError, Several, all_of
from disco.engine.graph import Graph, Node
from disco.engine.plan import Look, Part, Plan, ground_goes, made, ordered
from disco.stack.model import Model

PREFIX = "leaving "
Wire = Callable[[Mapping[str, Model]], Graph]


@dataclass(frozen=True)
class Before:
    """The stack together with what it had before.

    graph: all that was or is declared. was: earlier components by name, with the inputs that they
    had then. gone: names that are no longer declared.
    """

    graph: Graph
    was: Mapping[str, Sequence[Component]]
    gone: frozenset[str]


async def before(
    declared: Mapping[str, Sequence[Model]], specs: Mapping[str, Model], wire: Wire, world: World
) -> Before | None:
    """What there was that is declared otherwise now; None when nothing is.

    declared: specs since the last run that went through, oldest first.
    """
    gone = frozenset(declared.keys() - specs.keys())
    other = {n: [s for s in was if s != specs.get(n)] for n, was in declared.items()}
    changed = {n for n, was in other.items() if was} - gone
    if not gone and not changed:
        return None
    graph = wire({**{n: declared[n][-1] for n in gone}, **specs})
    was: dict[str, list[Component]] = {}
    for generation in range(max(map(len, declared.values()))):
        then = {n: s[min(generation, len(s) - 1)] for n, s in declared.items() if s}
        components = await components_of(wire(then), world)
        for name in then.keys() & specs.keys():
            if name in changed or changed & graph.all_upstream(name):
                was.setdefault(name, []).append(components[name])
    return Before(graph, was, gone)


async def components_of(graph: Graph, world: World) -> dict[str, Component]:
    """Every component with its inputs as declared. Only what is held on this machine is looked
    at, so that this works for a stack that is down."""
    found: dict[str, Component] = {}
    outputs: dict[str, Outputs] = {}
    for node in graph:
        inputs = {k: outputs[n] if n else None for k, n in node.needs.items()}
        one = node.component(node.name, node.spec, inputs, graph.place)
        seen = await one.observe(world) if one.implied else one.nothing()
        found[node.name], outputs[node.name] = one, one.outputs(seen)
    return found


async def parts(
    before: Before, looks: Mapping[str, Look], world: World, lowest_going: int | None = None
) -> tuple[Part, ...]:
    """What goes, in reverse order, each after what stands on it. Raises Several with all errors.

    looks: those of the stack as it is declared now. lowest_going: as in `plan.observe`.
    """
    errors: list[DiscoError] = []
    seen = dict(looks)
    for name in before.graph.order:  # in order: what is gone stands on what was looked at
        if name in before.gone and all(n in seen for n in before.graph.nodes[name].upstream):
            try:
                seen[name] = await _look(before.graph.nodes[name], seen, world, before.graph)
            except Exception as error:
                errors += all_of(error)
    if errors:
        raise Several(errors)
    found: list[Part] = []
    for name in reversed(before.graph.order):
        carried_away = lowest_going is not None and ground_goes(before.graph, name, lowest_going)
        if name not in seen or carried_away:
            continue
        was = before.was.get(name, ())
        try:
            if name in before.gone:
                part = _gone(before.graph.nodes[name], seen[name])
            elif lowest_going is None:
                part = await _less(seen[name], was, world)
            else:
                part = await _rest(seen[name], was, world)
        except Exception as error:  # what others refuse is told beside it
            errors += all_of(error)
            continue
        if part.steps or part.notes:
            stand_on_it = (p.name for p in found if name in before.graph.all_upstream(_own(p)))
            found.append(replace(part, upstream=tuple(stand_on_it)))
    if errors:
        raise Several(errors)
    return tuple(found)


def _own(part: Part) -> str:
    return part.name.removeprefix(PREFIX)


async def _look(node: Node, seen: Mapping[str, Look], world: World, graph: Graph) -> Look:
    upstream = {n: seen[n] for n in node.upstream}
    component = made(node, upstream, graph.place)
    missing = tuple(n for n in node.upstream if not seen[n].exists)
    if missing:
        return Look(node, component, component.nothing(), missing, exists=False, looked=False)
    return Look(node, component, await component.observe(world), (), exists=True)


def _gone(node: Node, look: Look) -> Part:
    name = f"{PREFIX}{node.name}"
    if not look.looked:  # what carries it is not there, so nothing of it is
        return Part(name, node.component.layer, (), (), leaving=True)
    steps = ordered(name, look.component.removal(look.seen, ground_goes=False))
    loses = tuple(look.component.loses(look.seen)) if steps else ()
    return Part(name, node.component.layer, steps, (), loses=loses, leaving=True)


async def _less(look: Look, was: Sequence[Component], world: World) -> Part:
    """What of a component goes that is declared otherwise now."""
    steps: list[Step] = []
    for earlier in was if look.looked else ():
        steps += _other(await _left(look.component, earlier, world), steps)
    return _part(look, steps)


async def _left(now: Component, was: Component, world: World) -> list[Step]:
    if type(now) is not type(was):  # one kind of it takes the place of another
        return list(was.removal(await was.observe(world), ground_goes=False))
    left = await now.observe_left(world, was)
    if errors := now.refused(left, was):
        raise Several(errors)
    return list(now.leaving(left, was))


async def _rest(look: Look, was: Sequence[Component], world: World) -> Part:
    """On the way out of all of a component: what it had before, beside what it has now."""
    own = list(look.component.removal(look.seen, False)) if look.looked else []
    steps: list[Step] = []
    notes: list[str] = []
    for earlier in was:
        try:
            seen = await earlier.observe(world)
        except Exception as error:  # it left the file because it is broken, maybe
            notes += [f"left as it is, since it can't be looked at: {e}" for e in all_of(error)]
            continue
        steps += _other(earlier.removal(seen, ground_goes=False), [*own, *steps])
    return replace(_part(look, steps), notes=tuple(dict.fromkeys(notes)))


def _other(steps: Iterable[Step], known: Iterable[Step]) -> list[Step]:
    ids = {step.id for step in known}
    return [step for step in steps if step.id not in ids]


def _part(look: Look, steps: Sequence[Step]) -> Part:
    name = f"{PREFIX}{look.node.name}"
    lost = tuple(dict.fromkeys(d for s in steps for a in s.actions for d in a.destroys))
    layer = look.node.component.layer
    return Part(name, layer, ordered(name, steps), (), loses=lost, leaving=True)


def joined(plan: Plan, left: Sequence[Part]) -> Plan:
    """A plan with what goes before what comes."""
    return replace(plan, parts=(*left, *plan.parts))
