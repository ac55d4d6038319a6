"""Every variable of a loaded stack: its value, where that came from, and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from disco.stack.document import Origin, Trail, dotted
from disco.stack.environment import variable_name
from disco.stack.load import Loaded
from disco.stack.shape import leaves
from disco.stack.spell import spelled


@dataclass(frozen=True)
class Row:
    """One variable. `value` is as it would be written in a stack file; what `${env:…}` put there
    is shown as that, and a secret as asterisks."""

    path: str
    value: str
    origin: str
    environment: str
    unit: str
    type: str
    meaning: str


def explain(loaded: Loaded) -> list[Row]:
    """All variables in the order of the sections."""
    name = Row(
        path="name",
        value=_shown(loaded, ("name",), loaded.name),
        origin=str(loaded.origins[("name",)]),
        environment="",
        unit="",
        type="text",
        meaning="The name of the stack.",
    )
    return [name, *_rows(loaded)]


def _rows(loaded: Loaded) -> Iterator[Row]:
    for key, spec in loaded.specs.items():
        for trail, variable, value in leaves(spec, tuple(key.split(".", 1))):
            yield Row(
                path=dotted(trail),
                value=_shown(loaded, trail, to_jsonable_python(value)),
                origin=str(loaded.origins[trail]),
                environment=variable_name(trail),
                unit=variable.unit,
                type=variable.type,
                meaning=variable.meaning,
            )


def _shown(loaded: Loaded, trail: Trail, value: Any) -> str:
    return spelled(_veiled(loaded, trail, value))


def _veiled(loaded: Loaded, trail: Trail, value: Any) -> Any:
    """The value with references in place of what they stand for."""
    origin = loaded.origins.get(trail, Origin())
    if origin.hidden:
        return " ".join(f"${{env:{name}}}" for name in origin.variables)
    if isinstance(value, list):
        return [_veiled(loaded, (*trail, i), item) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _veiled(loaded, (*trail, key), item) for key, item in value.items()}
    return value
