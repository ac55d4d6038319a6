"""What a program of a file system needs, asked of this machine's own file system."""

from pathlib import Path

import pytest

from disco.artifacts.libraries import closure, settled, tree
from disco.engine.errors import DiscoError

ROOT = Path("/")
loader = next((p for p in ("lib64/ld-linux-x86-64.so.2",) if (ROOT / p).exists()), "")
needs_loader = pytest.mark.skipif(not loader, reason="needs glibc on x86_64")


@needs_loader
def test_a_program_comes_with_its_libraries_and_its_loader() -> None:
    names = {Path(p).name for p in closure(ROOT, ["/bin/ls"])}
    assert {"ls", "libc.so.6", "ld-linux-x86-64.so.2"} <= names


def test_links_are_kept_as_links_and_lead_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/real").write_text("#!/bin/sh\n")
    (tmp_path / "usr/bin/near").symlink_to("real")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/alternative").symlink_to("/usr/bin/near")
    found = closure(tmp_path, ["/etc/alternative"])
    assert set(found) == {"/etc/alternative", "/usr/bin/near", "/usr/bin/real"}


def test_a_merged_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/x.so").touch()
    (tmp_path / "lib").symlink_to("usr/lib")
    assert settled(tmp_path, "/lib/x.so") == "/usr/lib/x.so"


def test_a_tree_holds_all_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "usr/share/a/b").mkdir(parents=True)
    (tmp_path / "usr/share/a/b/one").touch()
    (tmp_path / "usr/share/a/two").touch()
    assert set(tree(tmp_path, "/usr/share/a")) == {"/usr/share/a/b/one", "/usr/share/a/two"}


def test_a_missing_program_or_an_empty_tree_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DiscoError, match="/usr/bin/gone"):
        closure(tmp_path, ["/usr/bin/gone"])
    with pytest.raises(DiscoError, match="/empty"):
        tree(tmp_path, "/empty")
