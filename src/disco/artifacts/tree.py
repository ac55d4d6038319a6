"""One digest for a whole file system, so that two people can compare what they built."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def tree_digest(root: Path) -> str:
    """SHA-256 (hex) over path, type, mode, owner, link target and content of all below `root`.

    Times are left out: they say when something was built, not what.
    """
    total = hashlib.sha256()
    for path in sorted(walk(root), key=lambda p: os.fsencode(p.relative_to(root))):
        total.update("\0".join(_facts(root, path)).encode("utf-8", "surrogateescape") + b"\n")
    return total.hexdigest()


def walk(root: Path) -> Iterator[Path]:
    """All below `root`, links not followed."""
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            yield Path(folder, name)


def size_bytes(root: Path) -> int:
    """Disk space that the files below `root` take, in bytes."""
    return sum(p.lstat().st_blocks * 512 for p in walk(root))


def _facts(root: Path, path: Path) -> Iterator[str]:
    info = path.lstat()
    yield str(path.relative_to(root))
    yield f"{stat.S_IFMT(info.st_mode):o}"
    yield f"{stat.S_IMODE(info.st_mode):o}"
    yield f"{info.st_uid}:{info.st_gid}"
    if stat.S_ISLNK(info.st_mode):
        yield str(path.readlink())
    elif stat.S_ISREG(info.st_mode):
        yield file_sha256(path)
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        yield str(info.st_rdev)
