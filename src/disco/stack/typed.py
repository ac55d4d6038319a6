"""Other YAML files that people write: read as strictly as a stack file, and refused alike."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

import pydantic
from pydantic_core import ErrorDetails

from disco.stack.document import Document
from disco.stack.parse import parse
from disco.stack.problem import StackProblems
from disco.stack.read import read, text_of

M = TypeVar("M", bound=pydantic.BaseModel)


def typed(path: Path, model: type[M]) -> M:
    """What a file holds. Raises StackProblems with every mistake in its place."""
    return _typed(read(path), str(path), model)


def typed_text(content: bytes, where: str, model: type[M]) -> M:
    """The same of bytes that are no file here. where: what they are called in problems."""
    return _typed(text_of(content, Path(where)), where, model)


def _typed(text: str, where: str, model: type[M]) -> M:
    return cast(M, _validated(text, where, model))


@lru_cache(maxsize=64)
def _validated(text: str, where: str, model: type[pydantic.BaseModel]) -> pydantic.BaseModel:
    """Read once: a run asks several times for the definitions that come with DISCO."""
    document = parse(text, where)
    if not document.problems:
        try:
            return model.model_validate(document.root)
        except pydantic.ValidationError as error:
            for details in error.errors(include_url=False, include_input=False):
                _note(document, details)
    raise StackProblems(document.problems)


def _note(document: Document, details: ErrorDetails) -> None:
    trail = tuple(part for part in details["loc"] if part != "[key]")
    message = details["msg"]
    document.complain(trail, message[:1].lower() + message[1:], key=True)
