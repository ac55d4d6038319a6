"""A new stack file in which every variable is explained, and the chosen ones are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic
from pydantic_core import PydanticUndefined, to_jsonable_python

from disco.stack.environment import meant, variable_name
from disco.stack.section import Group, Section, grouped
from disco.stack.shape import Variable, alternatives, choices, models, pinned, variables
from disco.stack.spell import spelled

NAME = "devnet"
WIDTH = 96
_HEADER = """\
# A stack for DISCO. Lines that begin with `#` and a space explain; the others that begin with
# `#` are variables with their defaults: remove the `#` to set them.
# Text may have ${env:NAME} in it, which is replaced by that variable of the environment.
"""

Answers = Mapping[str, Any]  # by dotted path; a section with no answer but itself: {"vault": None}


@dataclass(frozen=True)
class Question:
    """What must be known before a stack file can be written."""

    path: str
    meaning: str
    choices: tuple[str, ...] = ()
    default: str = ""


def questions(sections: Sequence[Section], answers: Answers) -> list[Question]:
    """What the chosen sections need and the answers don't say yet. Ask again after answering: an
    answer may raise other questions."""
    name = Question("name", "The name of the stack.", default=NAME)
    asked = [] if "name" in answers else [name]
    for group in grouped(sections).values():
        for path in _chosen_entries(group, answers):
            asked += _needed(group, path, answers)
    return asked


def optional(sections: Sequence[Section], answers: Answers) -> list[Question]:
    """Sections that a stack can do without and the answers don't mention. The answer to one of
    which there can be many is a name."""
    asked = []
    for group in grouped(sections).values():
        if group.implied is None and not _within(group.key, answers):
            words = () if group.many else ("yes", "no")
            what = f"A name for one of {group.key}, or nothing." if group.many else "Use it?"
            meaning = f"{group.doc} {what}".strip()
            asked.append(Question(group.key, meaning, words, "" if group.many else "no"))
    return asked


def render(sections: Sequence[Section], answers: Answers) -> str:
    """The text of a stack file. It loads if there are no more questions and the answers fit."""
    lines = [_HEADER, f"name: {spelled(answers.get('name', NAME))}"]
    for group in grouped(sections).values():
        lines += ["", *_group(group, answers)]
    return "\n".join(lines) + "\n"


def unused(sections: Sequence[Section], answers: Answers) -> list[str]:
    """Answers whose path leads to no variable."""
    known = {"name"}
    for group in grouped(sections).values():
        for path in _chosen_entries(group, answers):
            known |= {group.key, path, *_paths(group.models, path)}
    return [path for path in answers if path not in known]


def _paths(options: Sequence[type[pydantic.BaseModel]], path: str) -> Iterator[str]:
    for model in options:
        for variable in variables(model):
            here = f"{path}.{variable.key}"
            yield here
            yield from _paths(models(variable.info.annotation), here)


def _within(path: str, answers: Answers) -> bool:
    return any(key == path or key.startswith(f"{path}.") for key in answers)


def _chosen_entries(group: Group, answers: Answers) -> list[str]:
    """The paths of the specs that the answers ask for."""
    if not group.many:
        return [group.key] if group.implied or _within(group.key, answers) else []
    below = (key.split(".") for key in answers if key.startswith(f"{group.key}."))
    return list(dict.fromkeys(".".join(parts[:2]) for parts in below))


def _variant(group: Group, path: str, answers: Answers) -> type[pydantic.BaseModel] | None:
    """The model that the answers choose; None where they don't."""
    if not group.tag:
        return group.models[0]
    word = answers.get(f"{path}.{group.tag}")
    for model in group.models:
        if word in pinned(model, group.tag):
            return model
    return group.implied if word is None else None


def _needed(group: Group, path: str, answers: Answers) -> Iterator[Question]:
    model = _variant(group, path, answers)
    if model is None:
        words = tuple(word for m in group.models for word in pinned(m, group.tag))
        yield Question(f"{path}.{group.tag}", f"Which kind of {group.key}.", words)
        return
    for variable in variables(model):
        where = f"{path}.{variable.key}"
        if (
            variable.info.is_required()
            and variable.key != group.tag
            and not _within(where, answers)
        ):
            yield Question(where, variable.meaning, choices(variable.info.annotation))


def _group(group: Group, answers: Answers) -> Iterator[str]:
    yield from _comment(group.doc, "")
    paths = _chosen_entries(group, answers)
    chosen = _within(group.key, answers)
    yield f"{'' if chosen else '#'}{group.key}:"
    if not group.many:
        yield from _entry(group, group.key, answers, "  ")
        return
    for path in paths or [f"{group.key}.NAME"]:
        yield f"  {'' if paths else '#'}{path.split('.')[1]}:"
        yield from _entry(group, path, answers, "    ")


def _entry(group: Group, path: str, answers: Answers, indent: str) -> Iterator[str]:
    model = _variant(group, path, answers) or group.models[0]
    yield from _model(model, path, answers, indent, group)
    seen = {v.key for v in variables(model)}
    for other in group.models:
        extra = [v for v in variables(other) if v.key not in seen]
        if other is not model and extra:
            word = pinned(other, group.tag)[0]
            yield from _comment(f"With {group.tag}: {word}", indent)
            for variable in extra:
                yield from _variable(variable, path, {}, indent)


def _model(
    model: type[pydantic.BaseModel], path: str, answers: Answers, indent: str, group: Group | None
) -> Iterator[str]:
    for variable in variables(model):
        is_tag = group is not None and variable.key == group.tag
        words = [w for m in group.models for w in pinned(m, group.tag)] if group and is_tag else []
        yield from _variable(variable, path, answers, indent, words)


def _variable(
    variable: Variable, path: str, answers: Answers, indent: str, words: Sequence[str] = ()
) -> Iterator[str]:
    where = f"{path}.{variable.key}"
    inner = models(variable.info.annotation)
    yield from _comment(_about(variable, where, words), indent)
    if where in answers:
        answer = _answer(variable, answers[where])
        yield from _set(f"{indent}{variable.key}:", answer, indent)
    elif inner and _opens(variable):
        mark = "" if _within(where, answers) else "#"
        yield f"{indent}{mark}{variable.key}:"
        yield from _model(inner[0], where, answers, f"{indent}  ", None)
    else:
        yield f"{indent}#{variable.key}: {_default(variable)}".rstrip()


def _opens(variable: Variable) -> bool:
    """Whether a nested model's variables are shown: when one model is what it holds."""
    return len(models(variable.info.annotation)) == 1


def _answer(variable: Variable, value: Any) -> Any:
    """Text from a flag or a question is a number only where the variable is none of text."""
    annotation = variable.info.annotation
    text = {str, pydantic.SecretStr} & set(alternatives(annotation))
    if not isinstance(value, str) or text or value in choices(annotation):
        return value
    return meant(value)


def _set(start: str, value: Any, indent: str) -> Iterator[str]:
    value = to_jsonable_python(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield start
        yield from (f"{indent}  - {spelled(item)}" for item in value)
    else:
        yield f"{start} {spelled(value)}"


def _about(variable: Variable, where: str, words: Sequence[str]) -> str:
    kind = f"one of {', '.join(words)}" if words else variable.type
    facts = [kind[:1].upper() + kind[1:], variable.unit and f"in {variable.unit}"]
    parts = [variable.meaning, ", ".join(filter(None, facts)) + "."]
    if variable.info.is_required() and not words:
        parts.append("Required.")
    else:
        parts.append(f"Default {_default(variable)}." if _default(variable) else "")
    name = variable_name(tuple(where.split(".")))
    return " ".join(filter(None, [*parts, f"{name}."]))


def _default(variable: Variable) -> str:
    value = variable.default
    return "" if value is PydanticUndefined else spelled(to_jsonable_python(value))


def _comment(text: str, indent: str) -> Iterator[str]:
    """Words of a comment, in lines that fit; an environment name is never broken."""
    line = ""
    for word in text.split():
        if line and len(indent) + len(line) + len(word) + 3 > WIDTH:
            yield f"{indent}# {line}"
            line = ""
        line = f"{line} {word}".strip()
    if line:
        yield f"{indent}# {line}"
