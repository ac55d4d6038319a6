"""JSON Schema of a stack file, for editors: completion, meanings and mistakes while typing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from disco.stack.load import MAX_ENTRY
from disco.stack.name import LABEL_PATTERN, MAX_NAME
from disco.stack.section import Group, Section, grouped

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {"type": "string", "pattern": r"^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$"}
_ABOUT = ("title", "description", "default", "examples", "unit", "deprecated")


class _Untitled(GenerateJsonSchema):
    """Without a title per variable, which would only repeat its key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_text(sections: Sequence[Section]) -> str:
    """The schema as a file: the same sections, the same text."""
    return json.dumps(schema(sections), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def schema(sections: Sequence[Section]) -> dict[str, Any]:
    """Draft 2020-12, strict: no other keys than those that are declared."""
    groups = grouped(sections)
    made, definitions = pydantic.TypeAdapter.json_schemas(
        [
            (number, "validation", pydantic.TypeAdapter(s.model))
            for number, s in enumerate(sections)
        ],
        schema_generator=_Untitled,
    )
    parts: dict[str, list[JsonSchemaValue]] = {}
    for i, section in enumerate(sections):
        parts.setdefault(section.key, []).append(made[i, "validation"])
    name = {"type": "string", "pattern": LABEL_PATTERN, "maxLength": MAX_NAME}
    return {
        "$schema": DIALECT,
        "title": "DISCO stack",
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {**name, "description": "The name of the stack."},
            **{key: _section(group, parts[key]) for key, group in groups.items()},
        },
        "$defs": {k: _open(v) for k, v in definitions.get("$defs", {}).items()},
    }


def _section(group: Group, parts: list[JsonSchemaValue]) -> dict[str, Any]:
    """A section may be empty, which means its defaults."""
    one: dict[str, Any] = {"anyOf": [*map(_open, parts), {"type": "null"}]}
    if group.many:
        names = {"pattern": LABEL_PATTERN, "maxLength": MAX_ENTRY}
        one = {"type": ["object", "null"], "additionalProperties": one, "propertyNames": names}
    return {**one, "description": group.doc} if group.doc else one


def _open(schema: Any) -> Any:
    """Also let `${env:NAME}` stand wherever a number or a truth value can."""
    if isinstance(schema, list):
        return [_open(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("integer", "number", "boolean"):
        about = {k: v for k, v in schema.items() if k in _ABOUT}
        strict = {k: v for k, v in schema.items() if k not in _ABOUT}
        return {**about, "anyOf": [strict, _REFERENCE]}
    return {k: v if k == "default" else _open(v) for k, v in schema.items()}
