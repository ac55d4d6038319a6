"""A stack's name: all that is needed to find what it keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from disco.stack.document import Document, Trail
from disco.stack.parse import parse
from disco.stack.problem import Problem, StackProblems
from disco.stack.read import read

MAX_NAME = 20
LABEL_PATTERN = "^[a-z]([a-z0-9-]*[a-z0-9])?$"
LABEL = re.compile(LABEL_PATTERN.replace("$", r"\Z"))
LABEL_HINT = "small letters, digits and dashes, a letter first, no dash last"


def stack_name(path: Path, environ: Mapping[str, str]) -> str:
    """The name in a stack file, whatever else is wrong with it. Raises StackProblems."""
    document = parse(read(path), str(path))
    refuse_other_roots(document)
    if "${" in str(document.get(("name",))):
        from disco.stack.environment import substitute  # takes a moment, and is seldom needed

        substitute(document, environ)
    name = name_in(document)
    if not name or any(p.path == "name" for p in document.problems):
        raise StackProblems(document.problems)
    return name


def refuse_other_roots(document: Document) -> None:
    if isinstance(document.root, dict):
        return
    if document.root is None and not document.problems:
        hint = "`disco init` writes a stack file"
        document.problems.append(Problem(document.file, 1, 1, "", "is empty", hint))
    elif not document.problems:
        document.complain((), "must be a mapping of sections" + _got(document, ()))
    raise StackProblems(document.problems)


def name_in(document: Document) -> str:
    """Empty where it is broken; what is wrong is noted in the document."""
    trail, name = ("name",), document.get(("name",))
    if trail in document.broken:
        return ""
    if trail not in document.origins:
        document.complain(trail, "is required", "add a line such as `name: devnet`")
    elif not isinstance(name, str):
        hint = f'put it in quotes: "{document.texts[trail]}"' if trail in document.texts else ""
        document.complain(trail, "must be text" + _got(document, trail), hint if name else "")
    elif len(name) > MAX_NAME:
        message = f"must have at most {MAX_NAME} characters, has {len(name)}"
        document.complain(trail, message)
    elif not LABEL.match(name):
        document.complain(trail, "must be a DNS label" + _got(document, trail), LABEL_HINT)
    return str(name)


def _got(document: Document, trail: Trail) -> str:
    from disco.stack.wording import got  # takes a moment, and is seldom needed

    return got(document, trail)
