"""`disco validate`: whether a stack file can be used, and all that is wrong if not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from disco.cli import speak
from disco.engine.errors import Exit
from disco.stack.load import load
from disco.stack.problem import StackProblems
from disco.stack.section import Section


def validate(
    path: Path,
    sections: Sequence[Section],
    as_json: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Load a stack and say how that went. Returns the exit code."""
    try:
        loaded = load(path, sections, environ)
    except StackProblems as wrong:
        return speak.complain(wrong, as_json=as_json)
    if as_json:
        speak.data_json({"name": loaded.name, "components": [*loaded.specs], "problems": []})
    else:
        speak.talk(f"{path} is fine: {loaded.name} with {', '.join(loaded.specs) or 'nothing'}")
    return Exit.DONE
