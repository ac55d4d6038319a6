"""What a model can hold, read from its annotations: the way along a trail, and words for types."""

from __future__ import annotations

import datetime
import inspect
import ipaddress
import pathlib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pydantic
from pydantic.fields import FieldInfo

from disco.stack.document import Trail
from disco.stack.secret import SecretName

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    SecretName: "a secret, ${secret:NAME}",
    str: "text",
    pydantic.SecretStr: "text",
    pathlib.Path: "a path",
    datetime.timedelta: "a duration",
    datetime.date: "a date",
    datetime.datetime: "a date and time",
    ipaddress.IPv4Address: "an IPv4 address",
    ipaddress.IPv6Address: "an IPv6 address",
    ipaddress.IPv4Network: "an IPv4 network, such as 10.0.0.0/16",
    ipaddress.IPv6Network: "an IPv6 network, such as fd00::/64",
}
_LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True)
class Variable:
    """One variable of a model: its key in the file and what is known about it."""

    key: str
    info: FieldInfo

    @property
    def unit(self) -> str:
        extra = self.info.json_schema_extra
        return str(extra.get("unit", "")) if isinstance(extra, dict) else ""

    @property
    def meaning(self) -> str:
        return " ".join((self.info.description or "").split())

    @property
    def type(self) -> str:
        return " ".join([words(self.info.annotation), *_bounds(self.info.metadata)])

    @property
    def default(self) -> Any:
        return self.info.get_default(call_default_factory=True, validated_data={})


def variables(model: type[pydantic.BaseModel]) -> Iterator[Variable]:
    """All variables of a model, in their order."""
    for name, info in model.model_fields.items():
        yield Variable(info.alias or name, info)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union without None; one member for anything else."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        members = (m for a in typing.get_args(annotation) for m in alternatives(a))
        return tuple(m for m in members if m is not type(None))
    return (annotation,)


def models(annotation: Any) -> tuple[type[pydantic.BaseModel], ...]:
    """The models among the alternatives."""
    return tuple(a for a in alternatives(annotation) if is_model(a))


def is_model(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel)


def tag_of(variants: tuple[type[pydantic.BaseModel], ...]) -> str:
    """The variable that tells models apart, because each pins it to other words; or nothing."""
    for variable in variables(variants[0]):
        pins = [pinned(model, variable.key) for model in variants]
        words_of_all = [word for pin in pins for word in pin]
        if all(pins) and len(set(words_of_all)) == len(words_of_all):
            return variable.key
    return ""


def pinned(model: type[pydantic.BaseModel], key: str) -> tuple[str, ...]:
    """The only words that a variable takes; empty when it takes others too."""
    for variable in variables(model):
        if variable.key == key and typing.get_origin(variable.info.annotation) is typing.Literal:
            return tuple(map(str, typing.get_args(variable.info.annotation)))
    return ()


def fitting(annotation: Any, value: Any) -> tuple[type[pydantic.BaseModel], ...]:
    """The models that a value may be meant for: one, where its tag decides."""
    candidates = models(annotation)
    tag = tag_of(candidates) if len(candidates) > 1 else ""
    word = value.get(tag) if tag and isinstance(value, dict) else None
    return tuple(m for m in candidates if word in pinned(m, tag)) or candidates


def child(annotation: Any, value: Any, key: str | int) -> tuple[Any, ...]:
    """What may stand under a key or an index of a value."""
    found = [
        v.info.annotation for m in fitting(annotation, value) for v in variables(m) if v.key == key
    ]
    for option in alternatives(annotation):
        origin, arguments = typing.get_origin(option), typing.get_args(option)
        if origin in _LISTS and isinstance(key, int):
            fixed = origin is tuple and arguments[-1] is not Ellipsis
            found += arguments[key : key + 1] if fixed else arguments[:1]
        elif origin is dict and isinstance(key, str):
            found += arguments[1:]
    return tuple(found)


def at(annotation: Any, value: Any, trail: Trail) -> Any:
    """The annotation at the end of a trail; None where nothing is declared."""
    for key in trail:
        options = child(annotation, value, key)
        annotation = typing.Union[options] if options else None  # noqa: UP007
        value = _inside(value, key)
    return annotation


def _inside(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def trails(annotation: Any, value: Any, depth: int = 8) -> Iterator[Trail]:
    """The ways to everything that can be set in a value: declared variables, present items."""
    if depth == 0:
        return
    keys = dict.fromkeys(v.key for m in fitting(annotation, value) for v in variables(m))
    present: Iterator[str | int] = iter(())
    if isinstance(value, dict) and not keys:
        present = iter(value)
    elif isinstance(value, list):
        present = iter(range(len(value)))
    for key in (*keys, *present):
        yield (key,)
        for option in child(annotation, value, key):
            for trail in trails(option, _inside(value, key), depth - 1):
                yield (key, *trail)


def leaves(value: Any, trail: Trail = ()) -> Iterator[tuple[Trail, Variable, Any]]:
    """Every variable in a finished model: the way to it, its declaration, its value."""
    for variable in variables(type(value)):
        names = {v.alias or n: n for n, v in type(value).model_fields.items()}
        yield from _below(getattr(value, names[variable.key]), variable, (*trail, variable.key))


def _below(value: Any, variable: Variable, trail: Trail) -> Iterator[tuple[Trail, Variable, Any]]:
    inside: dict[str | int, Any] = {}
    if isinstance(value, dict):
        inside = {str(k): v for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        inside = dict(enumerate(value))
    if isinstance(value, pydantic.BaseModel):
        yield from leaves(value, trail)
    elif any(isinstance(item, pydantic.BaseModel) for item in inside.values()):
        for key, item in inside.items():
            yield from _below(item, variable, (*trail, key))
    else:
        yield trail, variable, value


def words(annotation: Any) -> str:
    """A type in plain words, with its article where it has one."""
    if len(known := choices(annotation)) > 1:
        return f"one of {', '.join(known)}"
    return " or ".join(dict.fromkeys(_words(option) for option in alternatives(annotation)))


def choices(annotation: Any) -> tuple[str, ...]:
    """The words that a variable takes, where it takes only certain ones."""
    found: list[str] = []
    for option in alternatives(annotation):
        if typing.get_origin(option) is typing.Literal:
            found += map(str, typing.get_args(option))
        elif inspect.isclass(option) and issubclass(option, Enum):
            found += (str(member.value) for member in option)
        else:
            return ()
    return tuple(found)


def _words(option: Any) -> str:
    if known := choices(option):
        return known[0] if len(known) == 1 else f"one of {', '.join(known)}"
    origin, arguments = typing.get_origin(option), typing.get_args(option)
    if origin in _LISTS or option in _LISTS:
        return f"a list of {_plural(arguments[0])}" if arguments else "a list"
    if origin is dict or option is dict or is_model(option):
        return "a mapping"
    for known_type, text in _WORDS.items():
        if inspect.isclass(option) and issubclass(option, known_type):
            return text
    return "a value" if option is Any else str(getattr(option, "__name__", option)).lower()


def _plural(annotation: Any) -> str:
    text = words(annotation).removeprefix("a ").removeprefix("an ")
    return text if text == "text" or (" " in text and not text.endswith("number")) else f"{text}s"


def _bounds(metadata: list[Any]) -> Iterator[str]:
    """Constraints in words: what `annotated_types` calls Ge, Le, Gt, Lt, MinLen, MaxLen."""
    names = {"ge": "from", "gt": "above", "le": "to", "lt": "below", "multiple_of": "in steps of"}
    for constraint in metadata:
        for name, word in names.items():
            limit = getattr(constraint, name, None)
            if limit is not None:
                yield f"{word} {limit}"
