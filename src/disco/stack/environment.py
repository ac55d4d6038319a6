"""Values from the environment: `${env:NAME}` in the file, and `DISCO_SECTION__KEY` over it.

Such a value may be a secret: it is put into the document, and never into a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from disco.stack.document import Document, Origin, Trail
from disco.stack.parse import parse, scalar
from disco.stack.problem import Problem, StackProblems, nearest
from disco.stack.section import Group
from disco.stack.shape import trails

PREFIX = "DISCO_"
NESTED = "__"
_REFERENCE = re.compile(r"\$\{env:([^{}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def variable_name(trail: Trail) -> str:
    """The variable of the environment that sets the value at a trail."""
    return PREFIX + NESTED.join(str(part).replace("-", "_").upper() for part in trail)


def substitute(document: Document, environ: Mapping[str, str]) -> None:
    """Replace every `${env:NAME}` in the document's text."""
    for trail in list(document.texts):
        value = document.get(trail)
        if isinstance(value, str) and "${env:" in value:
            _substitute_one(document, trail, value, environ)


def _substitute_one(
    document: Document, trail: Trail, text: str, environ: Mapping[str, str]
) -> None:
    found = list(_REFERENCE.finditer(text))
    for reference in found:
        if message := _wrong(reference, environ):
            document.broken.add(trail)
            document.complain(trail, *message)
            return
    names = tuple(dict.fromkeys(reference[1] for reference in found))
    result = _REFERENCE.sub(lambda reference: environ[reference[1]], text)
    whole = len(found) == 1 and found[0][0] == text
    document.replace(trail, scalar(result) if whole else result)
    document.texts[trail] = result
    document.origins[trail] = replace(document.origins[trail], variables=names)


def _wrong(reference: re.Match[str], environ: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with one reference, and a hint."""
    name = reference[1]
    if not reference[0].endswith("}"):
        return "${env: is not closed with }", ""
    if not _NAME.match(name):
        return f"${{env:{name}}} names no variable of the environment", "write ${env:NAME}"
    if name not in environ:
        return f"the environment variable {name} is not set", f"export {name}=…"
    if not _text(environ[name]):
        return f"the environment variable {name} is not UTF-8 text", ""
    return None


def override(document: Document, groups: Mapping[str, Group], environ: Mapping[str, str]) -> None:
    """Set what variables named `DISCO_…__…` say, outer values before what is inside of them."""
    names = [n for n in environ if n.startswith(PREFIX) and NESTED in n.removeprefix(PREFIX)]
    left = sorted(names, key=lambda n: (n.count(NESTED), n))
    known = _targets(document, groups)
    while name := next((n for n in left if n in known), ""):
        left.remove(name)
        if _text(environ[name]):
            _set(document, known[name], name, environ[name])
            # A list has other items now, a variant other variables.
            known = _targets(document, groups)
        else:
            _complain(document, name, "is not UTF-8 text", "")
    for name in left:
        _complain(document, name, "sets nothing that this stack has", nearest(name, known))


def _complain(document: Document, name: str, message: str, hint: str) -> None:
    document.problems.append(Problem(f"environment {name}", 0, 0, "", message, hint))


def _targets(document: Document, groups: Mapping[str, Group]) -> dict[str, Trail]:
    """Every variable that would set something, and what it sets."""
    found: dict[str, Trail] = {}
    for key, group in groups.items():
        value = document.get((key,))
        entries = [(key, name) for name in value] if isinstance(value, dict) else []
        for start in entries if group.many else [(key,)]:
            found.setdefault(variable_name(start), start)
            for trail in trails(group.annotation, document.get(start)):
                found.setdefault(variable_name((*start, *trail)), (*start, *trail))
    return found


def _set(document: Document, trail: Trail, name: str, text: str) -> None:
    origin = Origin(variables=(name,))
    for end in range(1, len(trail)):
        around = document.get(trail[:end])
        if around is None:
            document.replace(trail[:end], {})
            document.origins.setdefault(trail[:end], origin)
        elif not isinstance(around, (dict, list)):
            return  # it has a problem of its own: it should have been a mapping
    document.forget(trail)
    document.replace(trail, meant(text))
    for inner in _inside(document.get(trail)):
        document.origins[*trail, *inner] = origin
    document.texts[trail] = text
    document.broken.discard(trail)


def _inside(value: Any) -> Iterator[Trail]:
    """The ways to a value itself and to all that is in it."""
    yield ()
    items = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield from ((key, *trail) for trail in _inside(item))


def meant(text: str) -> Any:
    """What text from outside of the file means: a list or a mapping where it is written as one in
    YAML, otherwise one scalar, spaces and all."""
    if not text.lstrip().startswith(("[", "{")):
        return scalar(text)
    try:
        parsed = parse(text, "environment")
    except StackProblems:
        return text
    return text if parsed.problems else parsed.root


def _text(value: str) -> bool:
    """The environment can hold bytes that are no text; Python shows them as surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in value)
