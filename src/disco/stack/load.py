"""The way from a stack file and the environment to typed specs, or to everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from disco.stack.document import Document, Origin, Trail
from disco.stack.environment import override, substitute
from disco.stack.faults import validate
from disco.stack.model import Model
from disco.stack.name import LABEL, LABEL_HINT, name_in, refuse_other_roots
from disco.stack.parse import parse
from disco.stack.problem import StackProblems
from disco.stack.read import read
from disco.stack.secret import BEGIN, SecretName
from disco.stack.section import Group, Section, grouped
from disco.stack.shape import alternatives, at, leaves, pinned
from disco.stack.wording import got, one_of, required, unknown, worded

MAX_ENTRY = 40


@dataclass(frozen=True)
class Loaded:
    """A stack file without problems.

    specs:   by section, `servers`; by section and name where there are many, `chains.akash`.
    origins: where each value came from, by the trail that leads to it.
    """

    path: Path
    name: str
    specs: dict[str, Model]
    origins: dict[Trail, Origin]

    def secrets(self) -> Iterator[tuple[Origin, SecretName]]:
        """The secrets that it names, each with where it does."""
        for key, spec in self.specs.items():
            for trail, _, value in leaves(spec, tuple(key.split(".", 1))):
                for named in _named(value):
                    yield self.origins.get(trail, Origin()), named


def _named(value: Any) -> Iterator[SecretName]:
    """The secrets in a variable's value: itself, or inside of it."""
    if isinstance(value, SecretName):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _named(inner)


def load(path: Path, sections: Sequence[Section], environ: Mapping[str, str]) -> Loaded:
    """The stack in a file, with what the environment says about it. Raises StackProblems."""
    return load_text(read(path), path, sections, environ)


def load_text(
    text: str, path: Path, sections: Sequence[Section], environ: Mapping[str, str]
) -> Loaded:
    """The same for text that is, or will be, in a file. Raises StackProblems."""
    groups = grouped(sections)
    document = parse(text, str(path))
    refuse_other_roots(document)
    substitute(document, environ)
    override(document, groups, environ)
    name = name_in(document)
    _refuse_unknown_sections(document, groups)
    specs = _specs(document, groups)
    if document.problems:
        raise StackProblems(document.problems)
    return Loaded(path, name, specs, _origins(document, specs))


def _refuse_unknown_sections(document: Document, groups: Mapping[str, Group]) -> None:
    known = ["name", *groups]
    for key in document.root:
        if key not in known:
            document.complain((key,), *unknown(key, known), key=True)


def _specs(document: Document, groups: Mapping[str, Group]) -> dict[str, Model]:
    specs: dict[str, Model] = {}
    for group in groups.values():
        for trail in _entries(document, group):
            if spec := _spec(document, group, trail):
                specs[".".join(map(str, trail))] = spec
    return specs


def _entries(document: Document, group: Group) -> list[Trail]:
    """The trails of a section's specs: none when it is absent, several when it has many."""
    trail: Trail = (group.key,)
    if group.key not in document.root:
        return [trail] if group.implied and not group.many else []
    if not group.many:
        return [trail]
    value = document.get(trail)
    if isinstance(value, dict):
        return [(*trail, name) for name in value if _is_entry_name(document, (*trail, name))]
    if value is not None and trail not in document.broken:
        document.complain(trail, "must be a mapping of names" + got(document, trail))
    return []


def _is_entry_name(document: Document, trail: Trail) -> bool:
    name = str(trail[-1])
    if LABEL.match(name) and len(name) <= MAX_ENTRY:
        return True
    message = f"a name here must be a DNS label of at most {MAX_ENTRY} characters"
    document.complain(trail, message, LABEL_HINT, key=True)
    return False


def _spec(document: Document, group: Group, trail: Trail) -> Model | None:
    if trail in document.broken:
        return None
    value = document.get(trail)
    if value is None:
        document.replace(trail, {})
    elif not isinstance(value, dict):
        document.complain(trail, "must be a mapping" + got(document, trail))
        return None
    model = _variant(document, group, trail)
    return _validated(document, model, trail) if model else None


def _variant(document: Document, group: Group, trail: Trail) -> type[Model] | None:
    """The model that a value is meant for."""
    if not group.tag:
        return group.models[0]
    tag = (*trail, group.tag)
    if tag in document.broken:
        return None
    value = document.get(trail)
    if group.tag not in value and group.implied:
        value[group.tag] = pinned(group.implied, group.tag)[0]
    if group.tag not in value:
        document.complain(tag, required(Literal[_tag_words(group)]))
        return None
    for model in group.models:
        if value[group.tag] in pinned(model, group.tag):
            return model
    document.complain(tag, *one_of(document, tag, _tag_words(group)))
    return None


def _tag_words(group: Group) -> tuple[str, ...]:
    return tuple(word for model in group.models for word in pinned(model, group.tag))


def _validated(document: Document, model: type[Model], trail: Trail) -> Model | None:
    spec, faults = validate(model, document.get(trail))
    texts = _text_instead(document, trail, [f.trail for f in faults])
    if texts:
        kept = {t: document.get(t) for t in texts}
        _put(document, texts)
        still = {(*trail, *f.trail) for f in validate(model, document.get(trail))[1]}
        _put(document, {t: v for t, v in kept.items() if t in still})
        spec, faults = validate(model, document.get(trail))
    for where in _secrets_elsewhere(document, model, trail):
        document.broken.add(where)
        document.complain(where, "no secret can be used here")
    for fault in faults:
        where = (*trail, *fault.trail)
        if not any(where[:end] in document.broken for end in range(len(where) + 1)):
            key = fault.key or fault.kind == "extra_forbidden"
            document.complain(where, *worded(document, trail, model, fault), key=key)
    return spec


def _secrets_elsewhere(document: Document, model: type[Model], start: Trail) -> list[Trail]:
    """Where a secret is named that would be taken as text."""
    return [
        trail
        for trail, text in document.texts.items()
        if trail[: len(start)] == start
        and BEGIN in text
        and SecretName not in alternatives(at(model, document.get(start), trail[len(start) :]))
    ]


def _text_instead(document: Document, start: Trail, refused: list[Trail]) -> dict[Trail, Any]:
    """Refused values from the environment as text: there, text can't be told by its quotes."""
    found = {}
    for trail in ((*start, *end) for end in refused):
        origin = document.origins.get(trail)
        if origin and origin.variables and not isinstance(document.get(trail), str):
            found[trail] = document.texts.get(trail, document.get(trail))
    return found


def _put(document: Document, values: Mapping[Trail, Any]) -> None:
    for trail, value in values.items():
        document.replace(trail, value)


def _origins(document: Document, specs: Mapping[str, Model]) -> dict[Trail, Origin]:
    """Where everything came from, defaults included."""
    found = {trail: origin for trail, origin in document.origins.items() if trail}
    for key, spec in specs.items():
        for trail, _, _ in leaves(spec, tuple(key.split(".", 1))):
            if trail not in found:
                found[trail] = _inherited(document, trail)
    return found


def _inherited(document: Document, trail: Trail) -> Origin:
    """A default, or a part of a value that was written in a shorter form."""
    for end in range(len(trail) - 1, 0, -1):
        if trail[:end] in document.origins:
            shorthand = not isinstance(document.get(trail[:end]), (dict, list, type(None)))
            return document.origins[trail[:end]] if shorthand else Origin()
    return Origin()
