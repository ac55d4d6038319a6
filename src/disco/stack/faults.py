"""What a model refuses in a value, by the trail that leads there and without pydantic's labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from disco.stack.document import Trail
from disco.stack.model import Model
from disco.stack.shape import at, models, pinned, tag_of

_WRONG_KIND = {"literal_error", "enum", "int_from_float", "int_parsing_size"}


@dataclass(frozen=True)
class Fault:
    """One refusal.

    branch: it comes from one member of a union; others refused too.
    key:    a key is meant, not what stands under it.
    """

    trail: Trail
    kind: str
    details: ErrorDetails
    branch: bool = False
    key: bool = False

    @property
    def wrong_kind(self) -> bool:
        """Whether the value is not even of the type that is expected there."""
        return self.kind in _WRONG_KIND or self.kind.endswith(("_type", "_parsing"))


def validate(model: type[Model], value: Any) -> tuple[Model | None, list[Fault]]:
    """The model of a value, or what is wrong with it.

    Strict, as JSON: nothing is guessed from text, but lists become tuples and text addresses.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True), []
    except pydantic.ValidationError as error:
        faults = [_located(model, value, e) for e in error.errors(include_url=False)]
    return None, _settled(faults)


def _located(model: type[Model], value: Any, details: ErrorDetails) -> Fault:
    """Follow an error's `loc`, in which names of union members stand between the keys."""
    trail: Trail = ()
    annotation: Any = model
    branch = key = False
    loc = details["loc"]
    for position, part in enumerate(loc):
        options = models(annotation)
        member = next((m for m in options if part in _labels(options, m)), None)
        if len(options) > 1 and member:
            annotation, branch = member, branch or not tag_of(options)
        elif _holds(value, part) or (position == len(loc) - 1 and details["type"] == "missing"):
            annotation = at(annotation, value, (part,))
            value = value[part] if _holds(value, part) else None
            trail = (*trail, part)
        elif part == "[key]":
            key = True
        else:
            branch = True
    kind = details["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = str(details["ctx"]["discriminator"]).strip("'")
        kind = "missing" if kind == "union_tag_not_found" else "literal_error"
        trail = (*trail, tag)
    return Fault(trail, kind, details, branch, key)


def _labels(options: tuple[type[pydantic.BaseModel], ...], member: Any) -> tuple[str, ...]:
    """What stands in a `loc` for one member of a union of models."""
    return (*pinned(member, tag_of(options)), member.__name__)


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _settled(faults: list[Fault]) -> list[Fault]:
    """Without the refusals of union members that a value was obviously not meant for."""
    kept = [f for f in faults if not (f.branch and f.wrong_kind and _outdone(f, faults))]
    found: dict[tuple[Trail, bool], Fault] = {}
    rest = []
    for fault in kept:
        if fault.branch and fault.wrong_kind:
            found.setdefault((fault.trail, fault.key), fault)
        else:
            rest.append(fault)
    return [*found.values(), *rest]


def _outdone(fault: Fault, faults: list[Fault]) -> bool:
    """Whether another member of the union came further with the same value."""
    inside = (f for f in faults if f.trail[: len(fault.trail)] == fault.trail)
    return any(len(f.trail) > len(fault.trail) or not f.wrong_kind for f in inside)
