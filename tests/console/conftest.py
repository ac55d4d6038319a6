"""One console for all tests of a module: they only read, as it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from console_process import Console, console

STACK = """\
name: lab
servers: {provider: local, network: 10.88.219.0/24}
kubernetes: {metrics_server: false}
prometheus: {}
vault: {}
chains:
  akash: {}
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Path]:
    """stack.yaml in a folder of its own; nothing of it was made."""
    with TemporaryDirectory(prefix="disco-") as folder:
        file = Path(folder) / "stack.yaml"
        file.write_text(STACK)
        yield file


@pytest.fixture(scope="module")
def shown(stack: Path) -> Iterator[Console]:
    with console(stack) as found:
        yield found
