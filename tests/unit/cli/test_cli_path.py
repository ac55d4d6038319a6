"""Programs that came with DISCO are found, and never before the machine's own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from disco.cli.main import with_own_programs


def test_what_came_with_disco_is_found_when_the_machine_has_none(tmp_path: Path) -> None:
    found = shutil.which("pip", path=with_own_programs(str(tmp_path)))
    assert found == f"{sys.prefix}/bin/pip"


def test_the_machines_own_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "pip"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert shutil.which("pip", path=with_own_programs(str(tmp_path))) == str(own)
