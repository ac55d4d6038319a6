"""The charts that come with DISCO, and what identifies their content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "charts"


@cache
def source(chart: str, folder: Path = FOLDER) -> str:
    """SHA-256 (hex) over the names and contents of a chart's files."""
    digest = hashlib.sha256()
    top = folder / chart
    for path in sorted(p for p in top.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(top)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
