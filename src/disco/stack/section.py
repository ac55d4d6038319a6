"""What a stack file may hold: each part is handed in as a section, none is known here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Union

from disco.stack.model import Model
from disco.stack.shape import tag_of


@dataclass(frozen=True)
class Section:
    """One key at the top of a stack file.

    many:    the key holds a mapping of names, each with a `model` of its own.
    implied: it exists with its defaults also where the key is absent.

    Several sections may have the same key: they are variants, told apart by a field that each
    of them pins to other words (`provider: Literal["local"]`). The implied one is meant where a
    file doesn't say which.
    """

    key: str
    model: type[Model]
    many: bool = False
    implied: bool = False
    doc: str = ""


@dataclass(frozen=True)
class Group:
    """All sections of one key, in the order they were handed in."""

    key: str
    sections: tuple[Section, ...]

    @property
    def many(self) -> bool:
        return self.sections[0].many

    @property
    def implied(self) -> type[Model] | None:
        return next((s.model for s in self.sections if s.implied), None)

    @property
    def models(self) -> tuple[type[Model], ...]:
        return tuple(s.model for s in self.sections)

    @property
    def annotation(self) -> Any:
        """The type of a value under this key: a model, or a union of the variants."""
        return Union[self.models]  # noqa: UP007

    @property
    def doc(self) -> str:
        texts = (s.doc or (s.model.__doc__ or "").strip() for s in self.sections)
        return " ".join(dict.fromkeys(" ".join(t.split()) for t in texts if t))

    @property
    def tag(self) -> str:
        """The field that tells variants apart; empty when there is only one."""
        if len(self.models) == 1:
            return ""
        tag = tag_of(self.models)
        if not tag:
            raise TypeError(f"nothing tells the sections named {self.key!r} apart")
        return tag


def grouped(sections: Iterable[Section]) -> dict[str, Group]:
    """Sections by key."""
    found: dict[str, tuple[Section, ...]] = {}
    for section in sections:
        found[section.key] = (*found.get(section.key, ()), section)
    return {key: Group(key, variants) for key, variants in found.items()}
