"""`disco config`: every variable, its value, where it came from, and how to set it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from disco.cli import speak
from disco.engine.errors import Exit
from disco.stack.explain import Row, explain
from disco.stack.load import load
from disco.stack.problem import StackProblems
from disco.stack.section import Section

HEADINGS = ["variable", "value", "from", "environment", "meaning"]


def config(
    path: Path,
    sections: Sequence[Section],
    as_json: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Print the variables of a stack. Returns the exit code."""
    try:
        rows = explain(load(path, sections, environ))
    except StackProblems as wrong:
        return speak.complain(wrong, as_json=as_json)
    if as_json:
        speak.data_json([asdict(row) for row in rows])
    else:
        speak.data_table(HEADINGS, [_cells(row) for row in rows])
    return Exit.DONE


def _cells(row: Row) -> list[str]:
    value = f"{row.value} {row.unit}".strip()
    return [row.path, value, row.origin, row.environment, row.meaning]
