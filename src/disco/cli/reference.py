"""Writes docs/reference and stack.schema.json from the code: `python -m disco.cli.reference`.

What is said there is said once, where it is declared; a test compares the files with the code.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pydantic
from pydantic_core import PydanticUndefined, to_jsonable_python

from disco import plugin
from disco.cli import commands, commands_store, commands_things, wiring
from disco.cli.app import app
from disco.engine.action import Action
from disco.engine.component import Outputs
from disco.engine.errors import Exit
from disco.layers import registry
from disco.stack.document import Trail, dotted
from disco.stack.environment import variable_name
from disco.stack.schema import schema_text
from disco.stack.section import Group, Section, grouped
from disco.stack.shape import Variable, is_model, pinned, variables
from disco.stack.spell import spelled

TOP = Path(__file__).resolve().parents[3]
DECLARED_IN = (
    commands,
    commands_store,
    commands_things,
    wiring,
)  # importing them declares commands and actions
NOTE = "<!-- Written by `python -m disco.cli.reference`. Don't edit. -->\n\n"
EXITS = {
    Exit.DONE: ("done", "What was asked for is so."),
    Exit.FAILED: ("failed", "Something went wrong, or a person said no; what is done stays."),
    Exit.WRONG_USE: (
        "wrong use",
        "The command line, the stack file or the environment asks for what can't be; nothing was "
        "touched.",
    ),
    Exit.RED: (
        "red",
        "A check failed, something in `disco status` is not up, an artifact is damaged, or `disco "
        "doctor` found something.",
    ),
    commands.CUT_OFF: (
        "cut off",
        "Ctrl-C ended it. In a run the first one lets running actions end and gives 1, the second "
        "one ends them.",
    ),
}
ENVIRONMENT = {
    "DISCO_STATE": "Folder of the stacks' state folders; else `.disco` beside the stack file.",
    "DISCO_CACHE": "Folder of artifacts; else `disco` in the user's cache folder.",
    "DISCO_BUILD": "Folder of the Go modules to build from; else `build` of the checkout.",
    "NO_COLOR": "No colours when it is set to anything.",
    "CI": "No lines that change, when it is set to anything but `false`.",
}


def files() -> dict[str, str]:
    """Paths below the repository and what has to be in them."""
    sections = registry.sections_of(registry.OWN)
    pages = {
        "commands": _commands(),
        "variables": "\n".join(_variables(sections)) + "\n",
        "exit-codes": "\n".join(_exit_codes()) + "\n",
        "actions": "\n".join(_actions()) + "\n",
        "plugin": "\n".join(_plugin()) + "\n",
    }
    found = {f"docs/reference/{name}.md": NOTE + text for name, text in pages.items()}
    return {**found, "stack.schema.json": schema_text(sections)}


def _commands() -> str:
    """Cyclopts takes the program's name from how this process was started."""
    before, sys.argv = sys.argv, ["disco"]
    try:
        return app.generate_docs(output_format="markdown", heading_level=1)
    finally:
        sys.argv = before


def _variables(sections: tuple[Section, ...]) -> Iterator[str]:
    yield "# Variables of a stack file\n"
    yield "Each can also be set by its variable of the environment, which wins over the file."
    yield "`disco config` shows the values of a stack and where each came from.\n"
    yield "`name`: text, a DNS label of at most 20 characters, required. The name of the stack."
    for group in grouped(sections).values():
        yield f"\n## {group.key}\n\n{group.doc}"
        for model in group.models:
            yield from _of_model(group, model)
    yield "\n## Of the environment alone\n"
    yield from _table(["name", "meaning"], ([f"`{k}`", v] for k, v in ENVIRONMENT.items()))


def _of_model(group: Group, model: type[pydantic.BaseModel]) -> Iterator[str]:
    word = pinned(model, group.tag)[0] if group.tag else ""
    yield f"\n### {group.tag}: {word}\n" if word else ""
    start: Trail = (group.key, "NAME") if group.many else (group.key,)
    headings = ["variable", "type", "default", "unit", "environment", "meaning"]
    yield from _table(headings, _rows(model, start))


def _rows(model: type[pydantic.BaseModel], start: Trail) -> Iterator[list[str]]:
    for variable in variables(model):
        trail = (*start, variable.key)
        yield [
            f"`{dotted(trail)}`",
            variable.type,
            _default(variable),
            variable.unit,
            f"`{variable_name(trail)}`",
            variable.meaning,
        ]
        for inner, more in _inner(variable.info.annotation):
            yield from _rows(inner, (*trail, *more))


def _inner(annotation: Any) -> Iterator[tuple[type[pydantic.BaseModel], Trail]]:
    """Models inside of a variable, with the way to them: an item's number, or a name."""
    if is_model(annotation):
        yield annotation, ()
        return
    origin = typing.get_origin(annotation)
    more: Trail = ("N",) if origin in (list, tuple) else ("NAME",) if origin is dict else ()
    for argument in typing.get_args(annotation):
        for model, trail in _inner(argument):
            yield model, (*more, *trail)


def _default(variable: Variable) -> str:
    value = variable.default
    if value is PydanticUndefined:
        return "required"
    return f"`{spelled(to_jsonable_python(value))}`" if value is not None else "not set"


def _exit_codes() -> Iterator[str]:
    yield "# Exit codes\n"
    rows = ([str(int(code)), name, meaning] for code, (name, meaning) in EXITS.items())
    yield from _table(["code", "name", "meaning"], rows)
    yield "\n`disco exec`, `disco shell` and `disco kubectl` pass on the code of what they run."


def _actions() -> Iterator[str]:
    yield "# Kinds of actions\n"
    yield "What a plan is made of. `disco plan --commands` shows each with the plain command that"
    yield "would do the same; `disco plan --json` has all of its fields."
    for kind, action in sorted(action_kinds().items()):
        yield f"\n## {kind}\n"
        yield " ".join((action.__doc__ or "").split("\n\n")[0].split()) + "\n"
        yield f"Fields: {', '.join(f'`{f.name}`' for f in fields(action))}."


def action_kinds() -> dict[str, type[Action]]:
    """Every kind of action that DISCO itself carries out."""
    found: dict[str, type[Action]] = {}
    todo = Action.__subclasses__()
    while todo:
        one = todo.pop()
        todo += one.__subclasses__()
        adapters = hasattr(one, "kind") and one.__module__.startswith("disco.")
        if adapters and not one.__module__.startswith("disco.engine."):
            found[one.kind] = one
    return found


def _plugin() -> Iterator[str]:
    yield "# What components of other packages import\n"
    yield f"All of it from `disco.plugin`, contract {plugin.CONTRACT}. docs/how-to/plugin.md shows"
    yield "how it is used.\n"
    named = ((n, inspect.unwrap(getattr(plugin, n))) for n in plugin.__all__)
    rows = ([f"`{name}`", _kind(value), _meaning(value)] for name, value in named)
    yield from _table(["name", "is", "meaning"], rows)


def _kind(value: Any) -> str:
    if inspect.isclass(value):
        return "action" if issubclass(value, Action) and value is not Action else "class"
    return "function" if inspect.isfunction(value) else "type" if callable(value) else "number"


def _meaning(value: Any) -> str:
    """The first paragraph of its docstring; for outputs what they hold; for types how they are."""
    if inspect.isclass(value) and issubclass(value, Outputs) and value is not Outputs:
        return f"Outputs: {', '.join(f'`{f}`' for f in value.model_fields)}."
    if inspect.isclass(value) or inspect.isfunction(value):
        return " ".join((value.__doc__ or "").split("\n\n")[0].split())
    return f"`{re.sub(r'[a-z_.]+[.](?=[A-Z])', '', str(value))}`"


def _table(headings: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def main(top: Path = TOP) -> None:
    for name, text in files().items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TOP)
