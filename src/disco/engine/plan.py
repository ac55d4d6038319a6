"""Observe, then say what is missing: the plan is data, and making it changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from disco.engine.action import secrets_in, to_data
from disco.engine.component import Component, Step, World, without
from disco.engine.errors import DiscoError, Several, WrongUse, all_of
from disco.engine.graph import Graph, Node
from disco.engine.place import Place
from disco.stack.model import Model

FORMAT = 1


@dataclass(frozen=True)
class Part:
    """What is planned for one component.

    assumed_after: the components that don't exist yet, or not as a whole, so that this one could
                   not be observed, or not as a whole. It is planned again just before it runs.
    leaving:       it is taken away, so it comes after what stands on it.
    may_fail:      so many hosts may fail while the rest goes on.
    """

    name: str
    layer: int
    steps: tuple[Step, ...]
    upstream: tuple[str, ...]
    assumed_after: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    leaving: bool = False
    may_fail: int = 0


@dataclass(frozen=True)
class Plan:
    """What would change. Same inputs, same bytes; no secret in it.

    narrowed: only a part of it is aimed at; what else turns out to be missing is left so.
    """

    stack: str
    parts: tuple[Part, ...]
    removal: bool = False
    narrowed: bool = False

    @property
    def steps(self) -> tuple[tuple[str, Step], ...]:
        return tuple((f"{p.name}/{s.id}", s) for p in self.parts for s in p.steps)

    @property
    def empty(self) -> bool:
        return not self.steps

    @property
    def loses(self) -> tuple[str, ...]:
        return tuple(x for p in self.parts for x in p.loses)

    def data(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "stack": self.stack,
            "removal": self.removal,
            "narrowed": self.narrowed,
            "components": [_part_data(p) for p in self.parts],
        }

    @property
    def digest(self) -> str:
        text = json.dumps(self.data(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _part_data(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "layer": part.layer,
        "after": list(part.upstream),
        "known_after": list(part.assumed_after),
        "loses": list(part.loses),
        "notes": list(part.notes),
        "leaving": part.leaving,
        "may_fail": part.may_fail,
        "steps": [
            {
                "id": s.id,
                "title": s.title,
                "after": list(s.after),
                "at": s.at,
                "secrets": sorted(secrets_in(s.actions)),
                "actions": [{**to_data(a), "destroys": list(a.destroys)} for a in s.actions],
            }
            for s in part.steps
        ],
    }


@dataclass(frozen=True)
class Look:
    """A component of the stack as it was found.

    assumed_after: what it stands on that is missing, at least in part.
    looked:        whether it was looked at; else it is assumed that nothing of it is there.
    unseen:        why it could not be looked at, where that is forgiven: what carries it goes.
    """

    node: Node
    component: Component
    seen: Any
    assumed_after: tuple[str, ...]
    exists: bool
    unseen: tuple[DiscoError, ...] = ()
    exists_partly: bool = False
    looked: bool = True


async def observe(graph: Graph, world: World, lowest_going: int | None = None) -> dict[str, Look]:
    """Look at every component, each after what it stands on. Raises Several with all errors.

    lowest_going: the layer down to which all is about to be removed. What is broken on ground that
    goes is no error then: it goes with it.
    """
    looks: dict[str, asyncio.Future[Look | None]] = {}
    loop = asyncio.get_running_loop()
    for name in graph.order:
        looks[name] = loop.create_future()
    errors: list[DiscoError] = []

    async def one(node: Node) -> None:
        up = {n: await looks[n] for n in node.upstream}
        if any(look is None for look in up.values()):
            looks[node.name].set_result(None)
            return
        ready = {n: x for n, x in up.items() if x}
        try:
            found: Look | None = await look_at(node, ready, world, graph.place)
        except Exception as error:
            why = all_of(error)
            goes = lowest_going is not None and ground_goes(graph, node.name, lowest_going)
            found = await _unseen(node, ready, world, graph.place, why) if goes else None
            errors.extend(() if goes else why)
        looks[node.name].set_result(found)

    async with asyncio.TaskGroup() as group:
        for node in graph:
            group.create_task(one(node))
    if errors:
        raise Several(errors)
    return {n: look for n, f in looks.items() if (look := f.result())}


async def look_at(node: Node, upstream: dict[str, Look], world: World, place: Place) -> Look:
    """Make the component with its inputs and observe it, or assume an empty place."""
    component = made(node, upstream, place)
    missing = tuple(sorted(n for n, look in upstream.items() if not look.exists))
    if not all(upstream[n].exists_partly for n in missing):
        known = await component.remembered(world)
        return Look(node, component, known, missing, exists=False, looked=False)
    seen = await component.observe(world)
    partly = component.exists_partly(seen)
    return Look(node, component, seen, missing, component.exists(seen), (), partly)


def made(node: Node, upstream: Mapping[str, Look], place: Place) -> Component:
    """The component with its inputs, as far as they are known."""
    inputs = {
        attribute: upstream[n].component.outputs(upstream[n].seen) if n else None
        for attribute, n in node.needs.items()
    }
    return node.component(node.name, node.spec, inputs, place)


async def _unseen(
    node: Node, upstream: dict[str, Look], world: World, place: Place, why: Iterable[DiscoError]
) -> Look:
    component = made(node, upstream, place)
    known = await component.remembered(world)
    return Look(node, component, known, (), exists=False, unseen=tuple(why), looked=False)


def ground_goes(graph: Graph, name: str, lowest_layer: int) -> bool:
    """Whether removing everything down to a layer destroys what this component stands on."""
    under = (graph.nodes[n].component for n in graph.all_upstream(name))
    return any(c.is_ground and c.layer >= lowest_layer for c in under)


def ordered(name: str, steps: Iterable[Step]) -> tuple[Step, ...]:
    """A component's steps; DiscoError when they could only wait for each other for ever."""
    found = tuple(steps)
    after = {s.id: s.after for s in found}
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        raise _unordered(name, "a circle: " + " → ".join(error.args[1])) from None
    if len(after) < len(found):
        raise _unordered(name, "two of them have one id")
    return found


def _unordered(name: str, why: str) -> DiscoError:
    return DiscoError(f"{name}'s steps can't be ordered", why=why, fix="mend the component")


def make(
    stack: str, graph: Graph, looks: dict[str, Look], applied: Mapping[str, str] | None = None
) -> Plan:
    """The steps that lead from what was seen to what is declared. Pure.

    applied: what was last done to each thing, as `Journal.applied` tells. By it changes that people
    made by hand are told from what is declared anew.
    """
    parts = []
    for name in graph.order:
        look = looks[name]
        steps = ordered(name, look.component.steps(look.seen))
        notes = tuple(look.component.notes(look.seen))
        if getattr(look.node.spec, "on_drift", "mend") == "report":
            left = _drifted(steps, applied or {})
            steps = tuple(without(steps, {s.id for s in left}))
            notes += tuple(f"changed by hand and left so (on_drift): {s.title}" for s in left)
        parts.append(
            Part(
                name,
                look.node.component.layer,
                steps,
                look.node.upstream,
                look.assumed_after,
                notes=notes,
                may_fail=look.component.may_fail(),
            )
        )
    return Plan(stack, tuple(parts))


def _drifted(steps: Sequence[Step], applied: Mapping[str, str]) -> list[Step]:
    """Those that would only mend what people changed. A step that only waits is one of them when
    all that it comes after is."""
    found: dict[str, Step] = {}
    waiting: list[Step] = []
    ids = {s.id for s in steps}
    for step in steps:
        if all(a.waits for a in step.actions):
            waiting.append(step)
        elif is_drift(step, applied):
            found[step.id] = step
    for _ in waiting:  # one may come after another
        for step in waiting:
            behind = [a for a in step.after if a in ids]
            if behind and all(a in found for a in behind):
                found[step.id] = step
    return list(found.values())


def is_drift(step: Step, applied: Mapping[str, str]) -> bool:
    """Whether all that a step changes was done before just so, and is no longer so."""
    changing = [a for a in step.actions if not a.waits]
    return all(applied.get(a.identity) == a.digest[:16] for a in changing)


def only(plan: Plan, layer: int) -> Plan:
    """The part of a plan that concerns one layer. Raises WrongUse when what is below is missing."""
    layers = {p.name: p.layer for p in plan.parts}
    for part in plan.parts:
        below = [n for n in part.assumed_after if layers[n] < layer]
        if part.layer == layer and below:
            raise WrongUse(
                f"{part.name} stands on {', '.join(below)}, which is not there yet",
                fix="apply the layers below first, or the whole stack",
            )
    # What is left out is not looked at again either: it would turn out to need more than nothing.
    parts = (p if p.layer == layer else replace(p, steps=(), assumed_after=()) for p in plan.parts)
    return replace(plan, parts=tuple(parts))


def make_removal(stack: str, graph: Graph, looks: dict[str, Look], lowest_layer: int = 0) -> Plan:
    """The steps of an orderly way out, in reverse order. Pure.

    lowest_layer: what is below it stays; what stands on it goes with it.
    """
    downstream: dict[str, list[str]] = {n: [] for n in graph.order}
    for node in graph:
        for up in node.upstream:
            downstream[up].append(node.name)
    parts = []
    for name in reversed(graph.order):
        look = looks[name]
        layer = look.node.component.layer
        gone = not look.looked or layer < lowest_layer
        with_ground = ground_goes(graph, name, lowest_layer)
        steps: Iterable[Step] = ()
        if not gone:
            steps = look.component.removal(look.seen, with_ground)
        elif with_ground and layer >= lowest_layer:
            steps = look.component.forgetting(look.seen)
        parts.append(
            Part(
                name,
                layer,
                ordered(name, steps),
                tuple(downstream[name]),
                loses=_unknown(look) if gone else tuple(look.component.loses(look.seen)),
                leaving=True,
            )
        )
    return Plan(stack, tuple(parts), removal=True)


def refuse_protected(plan: Plan, specs: Mapping[str, Model]) -> None:
    """Raises WrongUse when something is destroyed that the stack file protects.

    specs: by the names of the plan's parts; also of those that are no longer declared.
    """
    protected = [
        part.name
        for part in plan.parts
        if getattr(specs.get(part.name), "prevent_destroy", False)
        and (part.loses or any(a.destroys for s in part.steps for a in s.actions))
    ]
    if protected:
        raise WrongUse(
            f"{', '.join(protected)} must not be destroyed",
            why="prevent_destroy is set in the stack file",
            fix="set it to false there if what they hold may be lost",
        )


def _unknown(look: Look) -> tuple[str, ...]:
    """What is lost of a component that could not be looked at."""
    return tuple(
        f"whatever {look.node.name} holds; it could not be looked at: {error.what}"
        for error in look.unseen
    )
