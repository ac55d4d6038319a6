"""A stack file as it was read: plain values, and for each one where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from disco.stack.problem import Problem

Trail = tuple[str | int, ...]  # the way to a value: ("servers", "hosts", 0, "address")


def dotted(trail: Trail) -> str:
    """A trail as people write it: `servers.hosts[0].address`."""
    text = ""
    for part in trail:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True)
class Origin:
    """Where a value came from: the file, the environment, text in the file that names variables
    of the environment, or nowhere, which makes it a default."""

    file: str = ""
    line: int = 0
    column: int = 0
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.file else ""
        names = f"environment {', '.join(self.variables)}" if self.variables else ""
        return " with ".join(part for part in (place, names) if part) or "default"

    @property
    def hidden(self) -> bool:
        """Whether the value was put into the file's text from the environment: perhaps a secret."""
        return bool(self.file and self.variables)


@dataclass
class Document:
    """The values of one file while it is being loaded.

    keys:    where each key stands.
    origins: where each value stands.
    texts:   scalars as they were written, before they became numbers or truth values.
    broken:  values that already have a problem, so that nothing more is said about them.
    """

    file: str
    root: Any = None
    keys: dict[Trail, Origin] = field(default_factory=dict)
    origins: dict[Trail, Origin] = field(default_factory=dict)
    texts: dict[Trail, str] = field(default_factory=dict)
    broken: set[Trail] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def get(self, trail: Trail) -> Any:
        """The value there, None where nothing is."""
        value = self.root
        for part in trail:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def replace(self, trail: Trail, value: Any) -> None:
        """Another value in the same place."""
        if trail:
            self.get(trail[:-1])[trail[-1]] = value
        else:
            self.root = value

    def origin(self, trail: Trail) -> Origin:
        """Where a value, or else the nearest thing around it, stands."""
        while trail and trail not in self.origins:
            trail = trail[:-1]
        return self.origins.get(trail, Origin(self.file, 1, 1))

    def variables_at(self, trail: Trail) -> tuple[str, ...]:
        """The variables of the environment that a value was taken from, or a part of it."""
        around = self.origin(trail).variables
        inside = (o.variables for t, o in self.origins.items() if t[: len(trail)] == trail)
        return tuple(dict.fromkeys((*around, *(name for names in inside for name in names))))

    def complain(self, trail: Trail, message: str, hint: str = "", *, key: bool = False) -> None:
        """Note a problem at a value, or at its key."""
        origin = self.keys.get(trail) if key else None
        origin = origin or self.origin(trail)
        place = origin.file or f"environment {', '.join(origin.variables)}"
        self.problems.append(
            Problem(place, origin.line, origin.column, dotted(trail), message, hint)
        )

    def forget(self, trail: Trail) -> None:
        """Drop what is known about the places below a value that is about to be replaced."""
        for old in [t for t in self.origins if t[: len(trail)] == trail and t != trail]:
            del self.origins[old]
            self.keys.pop(old, None)
            self.texts.pop(old, None)
