"""How plans, errors and statuses look to a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from disco.cli import human, speak
from disco.cli.opened import veiled
from disco.engine.action import secrets_in
from disco.engine.component import Layer, Step
from disco.engine.errors import DiscoError, Several
from disco.engine.plan import Part, Plan
from disco.stack.problem import StackProblems

NOTHING_TO_DO = "Nothing to do: everything is as declared."
NOTHING_LEFT = "Nothing to destroy: nothing of it is there."


def plan_text(plan: Plan, commands: bool = False) -> str:
    """The plan by layer; with the plain command behind each action when asked."""
    if plan.empty:
        left = [f"! {part.name}: {note}" for part in plan.parts for note in part.notes]
        return "\n".join([*left, NOTHING_LEFT if plan.removal else NOTHING_TO_DO])
    lines: list[str] = []
    if plan.loses:
        lines += ["This destroys, for good:", *(f"  - {x}" for x in plan.loses), ""]
    layer = -1
    for part in plan.parts:
        if not part.steps:
            continue
        if part.layer != layer:
            layer = part.layer
            lines.append(f"{layer} {Layer(layer).title}")
        lines += _part(part, commands)
    steps = len(plan.steps)
    actions = sum(len(s.actions) for _, s in plan.steps)
    lines += ["", f"{human.count(steps, 'step')}, {human.count(actions, 'action')}."]
    return "\n".join(lines)


def mark(part: Part, step: Step) -> str:
    """- takes away, + brings or mends, · only waits until what was changed before is well."""
    if part.leaving or any(a.destroys for a in step.actions):
        return "-"
    return "·" if all(a.waits for a in step.actions) else "+"


def _part(part: Part, commands: bool) -> Iterator[str]:
    known = f"   (known after {', '.join(part.assumed_after)})" if part.assumed_after else ""
    yield f"  {part.name}{known}"
    yield from (f"    ! {note}" for note in part.notes)
    for step in part.steps:
        yield f"    {mark(part, step)} {step.title}"
        if commands:
            if used := secrets_in(step.actions):
                yield f"        # uses the secrets {', '.join(sorted(used))}"
            for action in step.actions:
                yield f"        # {action.describe()}"
                yield from (f"        {line}" for line in action.command().splitlines())


def errors(error: DiscoError | Several) -> Iterable[DiscoError]:
    if isinstance(error, Several):
        return error.errors
    return [error]


def error_data(error: DiscoError) -> dict[str, Any]:
    """An error for programs; like everything that is said, without secrets."""
    texts = {name: veiled(getattr(error, name)) for name in ("what", "where", "why", "fix")}
    return {**texts, "details": [veiled(line) for line in error.details]}


def complain(error: DiscoError | Several | StackProblems) -> int:
    """Every error with its places, its reason and its fix. Returns the exit code."""
    if isinstance(error, StackProblems):
        return speak.complain(error)
    for alike in _alike(errors(error)):
        one, places = alike[0], [e.where for e in alike if e.where]
        place = f"{human.some(places)}: " if places else ""
        speak.talk(f"error: {place}{one.what}", "red")
        if one.why:
            speak.talk(f"  why: {one.why}")
        for line in one.details:
            speak.talk(f"       {line}")
        if one.fix:
            speak.talk(f"  fix: {one.fix}")
    return int(error.exit)


def _alike(errors: Iterable[DiscoError]) -> list[list[DiscoError]]:
    """Errors that differ only by their place together: a fault of a fleet is told once. A fix that
    names the first place is an example then."""
    found: dict[tuple[object, ...], list[DiscoError]] = {}
    for error in errors:
        found.setdefault((error.what, error.why, error.details), []).append(error)
    return list(found.values())
