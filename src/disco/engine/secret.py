"""References to secrets, and text that contains them: what a plan may hold instead of a value.

A secret has a name like `kubernetes/ca` and named fields like `crt` and `key`. A value is only
looked up by an executor, at the moment of use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from disco.stack.secret import VALUE, SecretName

Lookup = Callable[["SecretRef"], str]


@dataclass(frozen=True, order=True)
class SecretRef:
    """A field of a secret in the store, by name."""

    name: str
    field: str = VALUE

    @classmethod
    def of(cls, named: SecretName) -> SecretRef:
        """What a stack file names."""
        return cls(named.secret, named.field)

    def __str__(self) -> str:
        return f"${{secret:{self.name}#{self.field}}}"

    def spelled(self, value: str) -> str:
        """The value as it stands in a text."""
        return value


@dataclass(frozen=True, order=True)
class JsonRef(SecretRef):
    """A field of a secret as a string of JSON, with its quotes."""

    def spelled(self, value: str) -> str:
        return json.dumps(value)


@dataclass(frozen=True, order=True)
class KeptRef(SecretRef):
    """A file that the stack keeps and that is not secret, by its name."""

    def __str__(self) -> str:
        return f"${{kept:{self.name}}}"


@dataclass(frozen=True, order=True)
class VersionRef(SecretRef):
    """What tells that a secret got another value, and nothing of the value; for what has to start
    anew with it."""

    def __str__(self) -> str:
        return f"${{version:{self.name}}}"


@dataclass(frozen=True)
class Text:
    """Text with references to secrets in it; it reads with the references, never the values."""

    parts: tuple[str | SecretRef, ...]

    @classmethod
    def of(cls, *parts: str | SecretRef) -> Text:
        return cls(parts)

    def __str__(self) -> str:
        return "".join(str(p) for p in self.parts)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the text with its references: changes when the declared text does."""
        return hashlib.sha256(str(self).encode()).hexdigest()

    @property
    def secrets(self) -> tuple[SecretRef, ...]:
        return tuple(p for p in self.parts if isinstance(p, SecretRef))

    def reveal(self, lookup: Lookup) -> str:
        """The text with the values in it. Only executors call this."""
        return "".join(p if isinstance(p, str) else p.spelled(lookup(p)) for p in self.parts)


class Secret:
    """A value that does not print itself. `reveal()` is easy to find by grep, on purpose."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)
