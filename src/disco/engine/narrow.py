"""A part of a plan: what is aimed at with what it needs, without what is left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from disco.engine.errors import WrongUse
from disco.engine.plan import Part, Plan


@dataclass(frozen=True)
class Aim:
    """Names of components (`kubernetes`), or beginnings of steps (`kubernetes/h3`).

    targets: only these, with what they need; all, when there are none. excluded: these not, nor
    what needs them.
    """

    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not self.targets and not self.excluded


WHOLE = Aim()


def narrowed(plan: Plan, aim: Aim) -> Plan:
    """The part of a plan that is aimed at. Raises WrongUse for a name that nothing in it has."""
    if aim.is_whole:
        return plan
    for name in (*aim.targets, *aim.excluded):
        if not any(p.name == name or _steps(p, [name]) for p in plan.parts):
            known = ", ".join(p.name for p in plan.parts)
            raise WrongUse(
                f"nothing in the plan is called {name}",
                fix=f"name a component or one of its steps: {known}",
            )
    kept = {p.name: _kept(p, aim) for p in plan.parts}
    kept = _with_needed(plan, kept) if aim.targets else kept
    kept = _without_excluded(plan, kept, aim.excluded)
    parts = (
        replace(p, steps=tuple(s for s in p.steps if s.id in kept[p.name])) for p in plan.parts
    )
    return replace(plan, parts=tuple(parts), narrowed=True)


def _kept(part: Part, aim: Aim) -> set[str]:
    if not aim.targets or part.name in aim.targets:
        return {s.id for s in part.steps}
    return _needed(part, _steps(part, aim.targets))


def _steps(part: Part, names: Sequence[str]) -> set[str]:
    """Steps whose full name is one of these, or begins with one and a slash."""
    return {
        s.id
        for s in part.steps
        if any(f"{part.name}/{s.id}/".startswith(f"{name}/") for name in names)
    }


def _needed(part: Part, ids: Collection[str]) -> set[str]:
    """These steps, and those of the component that they come after."""
    after = {s.id: s.after for s in part.steps}
    found, todo = set(ids), list(ids)
    while todo:
        for id in after[todo.pop()]:
            if id in after and id not in found:
                found.add(id)
                todo.append(id)
    return found


def _with_needed(plan: Plan, kept: dict[str, set[str]]) -> dict[str, set[str]]:
    """All of a component that something stands on which could not be looked at without it; on a
    way out, all that stands on what goes."""
    by_name = {p.name: p for p in plan.parts}
    todo = [p.name for p in plan.parts if kept[p.name]]
    while todo:
        part = by_name[todo.pop()]
        for name in part.upstream if part.leaving else part.assumed_after:
            whole = {s.id for s in by_name[name].steps}
            if name in by_name and not whole <= kept[name]:
                kept[name] = whole
                todo.append(name)
    return kept


def _without_excluded(
    plan: Plan, kept: dict[str, set[str]], excluded: Sequence[str]
) -> dict[str, set[str]]:
    """Also without what comes after a step that is left out, in its component and in others."""
    broken: set[str] = set()
    for part in _in_order(plan):
        out = {s.id for s in part.steps} if part.name in excluded else _steps(part, excluded)
        needs = set(part.upstream if part.leaving else part.assumed_after)
        if needs & broken:
            out = {s.id for s in part.steps}
        grown = True
        while grown:
            more = {s.id for s in part.steps if set(s.after) & out} - out
            out |= more
            grown = bool(more)
        if out:
            broken.add(part.name)
            kept[part.name] -= out
    return kept


def _in_order(plan: Plan) -> list[Part]:
    """Each part after those that it comes after."""
    found: dict[str, Part] = {}
    waiting = list(plan.parts)
    names = {p.name for p in plan.parts}
    while waiting:
        ready = [p for p in waiting if not (set(p.upstream) & names) - found.keys()]
        found |= {p.name: p for p in ready}
        waiting = [p for p in waiting if p.name not in found]
    return list(found.values())
