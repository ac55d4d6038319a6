"""What the tests of real processes share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from empty_stack import stack
from ssh_server import Server, sshd

__all__ = ["stack"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it when root starts it
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running
