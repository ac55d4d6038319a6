"""Alert rules as they are shipped: `rules/*.yaml`, each declared by the component it is about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from disco.engine.errors import DiscoError

FOLDER = Path(__file__).resolve().parents[3] / "rules"


def rules(*names: str) -> Mapping[str, str]:
    """The texts of `rules/NAME.yaml`, by file. Raises DiscoError where one is missing."""
    found = {}
    for name in names:
        path = FOLDER / f"{name}.yaml"
        try:
            found[path.name] = path.read_text()
        except FileNotFoundError:
            raise DiscoError(
                f"the rules {name} are missing",
                where=str(path),
                why="they are a part of DISCO",
                fix="install DISCO anew",
            ) from None
    return found
