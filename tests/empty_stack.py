"""A stack in an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from disco.cli import opened

STACK = """\
name: lab
servers: {provider: local, network: 10.88.219.0/24}
kubernetes: {}
prometheus: {}
vault: {}
chains:
  akash: {}
"""


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """stack.yaml, with its folder as the current one and an empty cache of artifacts."""
    with TemporaryDirectory(prefix="disco-") as folder:
        file = Path(folder) / "stack.yaml"
        file.write_text(STACK)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("DISCO_CACHE", f"{folder}/cache")
        monkeypatch.delenv("DISCO_STATE", raising=False)
        monkeypatch.setattr(opened, "_stores", [])
        yield file
