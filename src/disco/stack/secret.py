"""What a stack file says of a secret: which one of the store it is, never the value."""

from __future__ import annotations

import re
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

BEGIN = "${secret:"
_WORD = "[a-z0-9]+([._-]+[a-z0-9]+)*"
PATTERN = rf"^\$\{{secret:{_WORD}(/{_WORD})*(#[^{{}}#\s]+)?\}}$"
HOW = (
    "put it into the store: disco secrets set NAME, and write ${secret:NAME} or "
    "${secret:NAME#FIELD}"
)
VALUE = "value"  # the field that is meant when none is named


class SecretName(str):
    """`${secret:NAME}` or `${secret:NAME#FIELD}`, as a type of variables that are secret."""

    __slots__ = ()

    @property
    def secret(self) -> str:
        return self._inside.partition("#")[0]

    @property
    def field(self) -> str:
        return self._inside.partition("#")[2] or VALUE

    @property
    def _inside(self) -> str:
        return self.removeprefix(BEGIN).removesuffix("}")

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._checked, core_schema.str_schema(strict=True)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": PATTERN}

    @classmethod
    def _checked(cls, text: str) -> SecretName:
        """Its message does not repeat the text: that may be the secret itself."""
        if not re.fullmatch(PATTERN, text):
            raise ValueError("must name a secret of the store")
        return cls(text)
