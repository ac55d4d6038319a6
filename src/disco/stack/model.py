"""The base of everything that a stack file can hold: frozen, strict, each variable documented."""

from __future__ import annotations

from typing import Any

import pydantic


class Model(pydantic.BaseModel):
    """Values that never change after they were read; unknown keys are errors."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def var(default: Any = ..., *, unit: str = "", **constraints: Any) -> Any:
    """A variable of a stack file. Its meaning is the docstring below it, its unit is shown too."""
    extra = {"unit": unit} if unit else None
    return pydantic.Field(default, json_schema_extra=extra, **constraints)  # type: ignore[arg-type]
