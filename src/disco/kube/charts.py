"""Where charts are, DISCO's own and those in other packages, and what identifies their content."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from pathlib import Path

from disco.engine.errors import DiscoError

FOLDER = Path(__file__).resolve().parents[3] / "charts"


def folder(chart: str) -> Path:
    """Where a chart's files are.

    chart: `storage` for one of DISCO's own, `PACKAGE:PATH` for one in the data of an installed
    Python package (`disco_hello:charts/hello`): a plan then says the same on every machine.
    Raises DiscoError when no chart is there.
    """
    package, elsewhere, path = chart.partition(":")
    found = _inside(package, path) if elsewhere else FOLDER / chart
    if found is None or not (found / "Chart.yaml").is_file():
        raise DiscoError(
            f"there is no chart {chart}",
            where=str(found or package),
            why="no Chart.yaml is there" if found else f"no package is called {package}",
            fix="install that package anew, with its data" if elsewhere else "",
        )
    return found


def _inside(package: str, path: str) -> Path | None:
    try:
        return Path(str(resources.files(package))) / path
    except (ModuleNotFoundError, TypeError):
        return None


@cache
def source(chart: str) -> str:
    """SHA-256 (hex) over the names and contents of a chart's files. Raises DiscoError."""
    return digest_of(folder(chart))


def digest_of(top: Path) -> str:
    """SHA-256 (hex) over the names and contents of the files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in top.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(top)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
