"""Dashboards as they are shipped: `dashboards/*.json`, with their placeholders filled."""

from __future__ import annotations

import json
import re
from pathlib import Path

from disco.engine.errors import DiscoError

FOLDER = Path(__file__).resolve().parents[3] / "dashboards"
PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


def shipped(name: str, **values: str) -> str:
    """The JSON text of `dashboards/NAME.json` with `@NAME@` replaced by the value of that name.

    Raises DiscoError where the file is missing.
    """
    path = FOLDER / f"{name}.json"
    try:
        return filled(path.read_text(), **values)
    except FileNotFoundError:
        raise DiscoError(
            f"the dashboard {name} is missing",
            where=str(path),
            why="it is a part of DISCO",
            fix="install DISCO anew",
        ) from None


def filled(text: str, **values: str) -> str:
    """A text of JSON with its placeholders replaced. Raises KeyError for one without a value."""
    return PLACEHOLDER.sub(lambda m: json.dumps(values[m[1]])[1:-1], text)
