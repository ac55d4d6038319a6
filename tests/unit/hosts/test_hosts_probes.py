"""What is asked of a host, asked of a real shell."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from disco.engine.secret import SecretRef, Text
from disco.hosts.actions import Reads

CONTENT = "as declared\n"


@pytest.mark.parametrize(
    ("content", "mode", "written", "so"),
    [
        (CONTENT, 0o644, 50, True),
        (CONTENT, 0o644, 150, False),
        (CONTENT, 0o600, 50, False),
        ("by hand\n", 0o644, 50, False),
        (None, 0o644, 50, False),
    ],
)
def test_a_file_is_as_the_unit_read_it(
    tmp_path: Path, content: str | None, mode: int, written: int, so: bool
) -> None:
    """written: in seconds; the unit was started at 100."""
    file, stamp = tmp_path / "it's a file", tmp_path / "stamp"
    stamp.touch()
    os.utime(stamp, (100, 100))
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
        os.utime(file, (written, written))

    plain = Reads(str(file), hashlib.sha256(CONTENT.encode()).hexdigest())
    secret = Reads(str(file), "", secret=Text.of(SecretRef("a/secret"), "\n"))
    for reads in (plain, secret):
        asked = reads.probe(str(stamp), lambda ref: CONTENT.strip())
        ended = subprocess.run(["sh", "-c", asked], check=False, capture_output=True)
        assert (ended.returncode == 0) is so
