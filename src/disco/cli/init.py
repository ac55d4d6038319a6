"""`disco init`: a new stack file with every variable explained, from flags or from questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from disco.cli import speak
from disco.engine.errors import Exit, WrongUse
from disco.engine.place import write_atomically
from disco.stack.init import Question, optional, questions, render, unused
from disco.stack.load import load_text
from disco.stack.problem import StackProblems
from disco.stack.section import Section

Ask = Callable[[Question], str]


def init(
    path: Path,
    sections: Sequence[Section],
    answers: Mapping[str, Any],
    force: bool = False,
    ask: Ask | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Write a stack file. Asks what is missing only at a terminal. Returns the exit code."""
    if path.exists() and not force:
        raise WrongUse("the file exists already", str(path), fix="name another, or pass --force")
    if wrong := unused(sections, answers):
        raise WrongUse(f"no variable is named {wrong[0]}", fix="`disco schema` has all of them")
    ask = ask or (_ask if sys.stdin.isatty() else None)
    complete = _asked(sections, answers, ask) if ask else _unasked(sections, answers)
    text = render(sections, complete)
    try:
        load_text(text, path, sections, environ)
    except StackProblems as problems:
        apart = [replace(p, file="answers", line=0, column=0) for p in problems.problems]
        return speak.complain(StackProblems(apart))
    write_atomically(path.absolute(), text.encode(), mode=0o644)
    speak.talk(f"wrote {path}; look at it, then `disco plan`")
    return Exit.DONE


def answers(settings: Sequence[str]) -> dict[str, str | None]:
    """What `--set path=value` says; a section by its name alone is taken with its defaults."""
    found: dict[str, str | None] = {}
    for setting in settings:
        path, sign, value = setting.partition("=")
        found[path] = value if sign else None
    return found


def _asked(sections: Sequence[Section], answers: Mapping[str, Any], ask: Ask) -> dict[str, Any]:
    known = dict(answers)
    for question in optional(sections, known):
        word = ask(question)
        if word not in ("", "no"):
            known[question.path if word == "yes" else f"{question.path}.{word}"] = None
    while left := questions(sections, known):
        for question in left:
            if word := ask(question) or question.default:
                known[question.path] = word
    return known


def _unasked(sections: Sequence[Section], answers: Mapping[str, Any]) -> Mapping[str, Any]:
    left = [q.path for q in questions(sections, answers) if not q.default]
    if left:
        fix = " ".join(f"--set {path}=…" for path in left)
        raise WrongUse(f"{', '.join(left)} must be answered", fix=fix)
    return answers


def _ask(question: Question) -> str:
    words = f" ({', '.join(question.choices)})" if question.choices else ""
    default = f" [{question.default}]" if question.default else ""
    speak.talk(f"{question.meaning}{words}")
    sys.stderr.write(f"{question.path}{default}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise WrongUse(f"{question.path} was not answered", fix=f"--set {question.path}=…")
    return line.strip()
