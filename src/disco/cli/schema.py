"""`disco schema`: what a stack file may hold, as JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Sequence

from disco.cli import speak
from disco.engine.errors import Exit
from disco.stack.schema import schema_text
from disco.stack.section import Section


def schema(sections: Sequence[Section]) -> int:
    """Print the schema. Returns the exit code."""
    speak.data(schema_text(sections))
    return Exit.DONE
