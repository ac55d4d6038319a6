"""A stack in an empty folder, and the command line in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cli_said import Disco, Said

from disco.cli import opened
from disco.cli.ending import ended

NOBODY = 65534
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


@pytest.fixture
def disco(capsys: pytest.CaptureFixture[str]) -> Disco:
    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = ended(arguments)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def ordinary(stack: Path) -> Iterator[None]:
    """An account that is not root, whoever runs the tests; the stack belongs to it."""
    if os.geteuid() != 0:
        yield
        return
    for path in (stack.parent, stack):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
