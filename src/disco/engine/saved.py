"""A plan kept in a file: what was reviewed is carried out exactly, or refused with the difference.

The file holds what a plan decides and the words a person reads. Both are made anew when it is to
be carried out and must be the same, so nobody is shown other words than what is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from disco.engine.action import Action, to_data
from disco.engine.component import Layer, Step
from disco.engine.errors import DiscoError, WrongUse
from disco.engine.narrow import WHOLE, Aim
from disco.engine.plan import FORMAT, Part, Plan

Json = dict[str, Any]


@dataclass(frozen=True)
class Reviewed(Action):
    """An action out of a file: it reads as it did when it was planned. Nothing carries it out."""

    kind: ClassVar[str] = "reviewed"
    what: str
    thing: str
    words: str
    plain: str
    lost: tuple[str, ...]
    only_waits: bool

    @property
    def waits(self) -> bool:  # type: ignore[override]
        return self.only_waits

    @property
    def touches(self) -> str:
        return self.thing

    def describe(self) -> str:
        return self.words

    def command(self) -> str:
        return self.plain

    @property
    def destroys(self) -> tuple[str, ...]:
        return self.lost

    @property
    def identity(self) -> str:
        return f"{self.what} {self.thing}"


@dataclass(frozen=True)
class Saved:
    """A plan as it stands in a file.

    digest: of the plan that it was made from. layer, aim: what it was narrowed to. components: what
    the file holds of each.
    """

    plan: Plan
    digest: str
    layer: str | None
    aim: Aim
    components: tuple[Json, ...]


def dump(plan: Plan, layer: str | None = None, aim: Aim = WHOLE) -> str:
    """The text of a plan's file. Same plan, same bytes; secrets are references."""
    about = {
        "digest": plan.digest,
        "layer": layer,
        "targets": list(aim.targets),
        "excluded": list(aim.excluded),
    }
    content = {**plan.data(), **about, "components": _components(plan)}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _components(plan: Plan) -> list[Json]:
    found: list[Json] = plan.data()["components"]
    for part, shown in zip(plan.parts, found, strict=True):
        for step, written in zip(part.steps, shown["steps"], strict=True):
            written["actions"] = [_action(a) for a in step.actions]
    return found


def _action(action: Action) -> Json:
    return {
        "kind": action.kind,
        "touches": action.touches,
        "words": action.describe(),
        "command": action.command(),
        "destroys": list(action.destroys),
        "waits": action.waits,
        "does": {k: v for k, v in to_data(action).items() if k != "kind"},
    }


def read(text: str, where: str) -> Saved:
    """What a plan's file says. Raises WrongUse for anything else."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise WrongUse(
                f"the plan has format {content['format']}, this DISCO reads {FORMAT}",
                where=where,
                fix="make it anew: disco plan --out FILE",
            )
        parts = tuple(_part(c) for c in content["components"])
        flags = bool(content["removal"]), bool(content["narrowed"])
        plan = Plan(str(content["stack"]), parts, *flags)
        layer = content["layer"] and Layer[content["layer"].upper()].title
        aim = Aim(*(tuple(map(str, content[k])) for k in ("targets", "excluded")))
        return Saved(plan, str(content["digest"]), layer or None, aim, tuple(content["components"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WrongUse(
            "that is no plan",
            where=where,
            why=f"{type(error).__name__}: {str(error)[:200]}",
            fix="make one: disco plan --out FILE",
        ) from None


def _part(found: Json) -> Part:
    steps = tuple(
        Step(
            str(s["id"]),
            str(s["title"]),
            tuple(map(_reviewed, s["actions"])),
            tuple(map(str, s["after"])),
            at=str(s["at"]),
        )
        for s in found["steps"]
    )
    after, known_after, loses, notes = (
        tuple(map(str, found[k])) for k in ("after", "known_after", "loses", "notes")
    )
    name, layer = str(found["name"]), Layer(found["layer"])
    leaving, may_fail = bool(found["leaving"]), int(found["may_fail"])
    return Part(name, layer, steps, after, known_after, loses, notes, leaving, may_fail)


def _reviewed(found: Json) -> Reviewed:
    kind, thing, words, plain = (str(found[k]) for k in ("kind", "touches", "words", "command"))
    lost, waits = tuple(map(str, found["destroys"])), bool(found["waits"])
    return Reviewed(kind, thing, words, plain, lost, waits)


def must_be(saved: Saved, now: Plan, where: str) -> None:
    """Raises DiscoError with the difference when the plan of now is another one."""
    if saved.plan.stack != now.stack:
        raise WrongUse(f"the plan is of the stack {saved.plan.stack}, not {now.stack}", where=where)
    if list(saved.components) == json.loads(json.dumps(_components(now))):
        return
    raise DiscoError(
        "what is there has changed since the plan was made: nothing was done",
        where=where,
        why="the plan of now differs",
        details=tuple(_differences(saved.components, _components(now)))[:LINES],
        fix="look at a new plan: disco plan --out FILE",
    )


LINES = 40


def _differences(reviewed: tuple[Json, ...], now: list[Json]) -> Iterator[str]:
    """A line for each action that came, went or does something else, and for each other field."""
    before, after = dict(_lines(reviewed)), dict(_lines(now))
    for key in [*before, *(k for k in after if k not in before)]:
        if key not in after:
            yield f"- {key}"
        elif key not in before:
            yield f"+ {key}"
        elif before[key] != after[key]:
            yield f"~ {key}"


def _lines(components: tuple[Json, ...] | list[Json]) -> Iterator[tuple[str, Any]]:
    for part in components:
        yield f"{part['name']}: notes and what it waits for", {**part, "steps": None}
        for step in part["steps"]:
            name = f"{part['name']}/{step['id']}"
            yield f"{name}: order", (step["title"], step["after"])
            for action in step["actions"]:
                yield f"{name}: {action['words']}", action
