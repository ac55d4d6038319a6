"""A team's store that is made once and copied: making one takes a hundred times as long."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from people import People, founded

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder in memory where there is such a place: disks that sync are not what is tested."""
    top = MEMORY if os.access(MEMORY, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="disco-store-", dir=top))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def first(memory: Path) -> People:
    """Not to be changed."""
    return founded(memory / "first")


@pytest.fixture
def people(first: People, memory: Path) -> Iterator[People]:
    """Everybody's clones and the remote, for one test to do with as it likes."""
    top = Path(tempfile.mkdtemp(dir=memory)) / "top"
    shutil.copytree(first.top, top)
    yield People(top)
    shutil.rmtree(top.parent)
