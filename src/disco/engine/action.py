"""What the engine knows of an action: who it is, what it touches, how it reads, what it destroys.

Adapters (`hosts`, `kube`, `artifacts`, `store`, `nspawn`, `chains`) define their own kinds as
frozen dataclasses derived from `Action`, and carry them out. A new kind needs nothing from here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, ClassVar

from disco.engine.secret import KeptRef, Lookup, SecretRef, Text, VersionRef

PLAIN = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True)
class Action(ABC):
    """The smallest thing carried out. Atomic, or safe to repeat."""

    kind: ClassVar[str]
    waits: ClassVar[bool] = False  # it only waits until something is so

    @property
    @abstractmethod
    def touches(self) -> str:
        """The one thing that it changes or waits for, for example `h1:/etc/hosts`."""

    @abstractmethod
    def describe(self) -> str:
        """In plain words, a person reads it: `write /etc/hosts on h1`."""

    @abstractmethod
    def command(self) -> str:
        """The plain command that would do the same; secrets as references."""

    @property
    def destroys(self) -> tuple[str, ...]:
        """What is lost for good by it, in plain words. Empty for nearly all."""
        return ()

    @property
    def place(self) -> str:
        """Where it happens: what else fails there fails for the same reason, often."""
        return self.touches.partition(":")[0]

    @property
    def uses(self) -> frozenset[str]:
        """The names of the secrets that it brings to where they are used."""
        return secrets_in([getattr(self, name) for name in _names(self.__class__)])

    @property
    def identity(self) -> str:
        return f"{self.kind} {self.touches}"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over everything that decides what the action does."""
        text = json.dumps(to_data(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def to_data(value: Any) -> Any:
    """Plain JSON data of an action or a part of one; secrets stay references."""
    if type(value) in PLAIN:  # first: nearly every part is, and a fleet's plan has a million
        return value
    if isinstance(value, Action):
        return {"kind": value.kind, **_fields(value)}
    if isinstance(value, (SecretRef, Text)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, dict):
        return {str(k): to_data(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_data(v) for v in value]
    if isinstance(value, bytes):
        return "sha256:" + hashlib.sha256(value).hexdigest()
    if isinstance(value, (str, int, float)):
        return value
    return str(value)


def secrets_in(value: Any) -> frozenset[str]:
    """The names of the secrets that an action, or a part of one, refers to."""
    if isinstance(value, Text):
        return secrets_in(value.parts)
    if isinstance(value, SecretRef):
        return frozenset(() if isinstance(value, KeptRef) else (value.name,))
    if isinstance(value, Action):
        return value.uses
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, name) for name in _names(value.__class__)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return frozenset().union(*map(secrets_in, value))
    return frozenset()


def made_from(want: str, value: Any, lookup: Lookup) -> str:
    """SHA-256 (hex, its first half) of a digest over references and of the values that they stand
    for now. Raises NotThere where one of the secrets is not made yet."""
    versions = [lookup(VersionRef(name)) for name in sorted(secrets_in(value))]
    text = "\n".join([want, *versions])
    return hashlib.sha256(text.encode()).hexdigest()[:32] if versions else want


def _fields(value: Any) -> dict[str, Any]:
    return {name: to_data(getattr(value, name)) for name in _names(value.__class__)}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))
