"""The template, installed once for all tests of this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plugin_packages import TEMPLATE, Disco, install


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    install(TEMPLATE, folder)
    return folder


@pytest.fixture
def disco(installed: Path, tmp_path: Path) -> Disco:
    """DISCO beside the installed template, in a folder with the template's stack file."""
    shutil.copy(TEMPLATE / "stack.yaml", tmp_path)
    return Disco(installed, tmp_path)
