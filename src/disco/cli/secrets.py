"""`disco secrets`: what the stack keeps, by name; values are never shown."""

from __future__ import annotations

from pathlib import Path

from disco.cli import speak
from disco.cli.opened import opened
from disco.cli.wiring import located
from disco.engine.errors import Exit
from disco.store import Store

HEADINGS = ["secret", "fields"]


def list_all(file: Path, as_json: bool) -> int:
    """Print names and fields. Returns the exit code."""
    _, place = located(file)
    store = Store(place)
    opened(store)
    found = {name: sorted(store.fields(name)) for name in sorted(store.names())}
    if as_json:
        speak.data_json(found)
    elif found:
        speak.data_table(HEADINGS, [[name, ", ".join(fields)] for name, fields in found.items()])
    else:
        speak.talk("No secret yet: `disco plan` shows the steps that make them.")
    return int(Exit.DONE)
