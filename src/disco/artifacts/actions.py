"""The one action of this package: obtain artifacts that one source gives together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from disco.engine.action import Action

SHOWN = 4  # names in one line
VERBS = {"download": "download", "pull": "pull", "build": "build", "assemble": "write"}


@dataclass(frozen=True)
class Obtain(Action):
    """Obtain artifacts; those that are held already are left alone, so it is safe to repeat.

    names:    artifacts that one source gives together, for example the programs of a Go module.
    source:   `download`, `build`, `pull` for upstream's own image, or `assemble` for images made of
              what is held.
    versions: one for each name.
    figures:  SHA-256 that each download must have; empty for what is made here.
    how:      the plain command that would do the same.
    """

    kind: ClassVar[str] = "obtain"
    names: tuple[str, ...]
    source: str
    versions: tuple[str, ...]
    how: str
    figures: tuple[str, ...] = ()

    @property
    def touches(self) -> str:
        return f"cache:{','.join(self.names)}"

    def describe(self) -> str:
        things = [f"{n} {v}" for n, v in zip(self.names, self.versions, strict=True)]
        if len(things) > SHOWN:
            things = [*things[: SHOWN - 1], f"and {len(things) - SHOWN + 1} more"]
        figures = "".join(f" (SHA-256 {f[:12]}…)" for f in dict.fromkeys(self.figures))
        return f"{VERBS[self.source]} {', '.join(things)}{figures}"

    def command(self) -> str:
        return self.how
