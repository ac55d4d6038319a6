"""The command line in this process, in the folder of an empty stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_said import Disco, Said

from disco.cli.ending import ended
from empty_stack import stack

__all__ = ["stack"]
NOBODY = 65534


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
