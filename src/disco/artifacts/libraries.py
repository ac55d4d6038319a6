"""What a program of a file system needs to run elsewhere: the links to it, and all that it loads.

The file system's own loader is asked, so nothing of this machine slips in, and no root is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from disco.engine.errors import DiscoError

ELF = b"\x7fELF"
LOADERS = ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1")
STATIC = ("not a dynamic executable", "statically linked")
TIMEOUT_S = 30
LINKS_LIMIT = 40


def closure(root: Path, programs: Iterable[str]) -> dict[str, Path]:
    """Paths in the file system, and where each stands on this machine (links as links)."""
    found: dict[str, Path] = {}
    todo = list(programs)
    while todo:
        path = settled(root, todo.pop())
        if path in found:
            continue
        real = root / path.lstrip("/")
        found[path] = real
        if real.is_symlink():
            todo.append(_target(path, real.readlink()))
        elif is_elf(real):
            todo += _loads(root, path)
    return found


def tree(root: Path, folder: str) -> dict[str, Path]:
    """All files and links below a folder of the file system, with what they load."""
    top = root / settled(root, folder).lstrip("/")
    files = [p for p in sorted(top.rglob("*")) if p.is_symlink() or p.is_file()]
    if not files:
        raise _missing(root, folder)
    return closure(root, ["/" + str(p.relative_to(root)) for p in files])


def settled(root: Path, path: str) -> str:
    """The path with links among its folders followed: `/lib/x` is `/usr/lib/x` when merged."""
    for _ in range(LINKS_LIMIT):
        link = _link_above(root, path)
        if link is None:
            break
        rest = path[len(link) :]
        path = _target(link, (root / link.lstrip("/")).readlink()) + rest
    if not os.path.lexists(root / path.lstrip("/")):
        raise _missing(root, path)
    return path


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == ELF


def _link_above(root: Path, path: str) -> str | None:
    for parent in list(PurePosixPath(path).parents)[::-1][1:]:
        if (root / str(parent).lstrip("/")).is_symlink():
            return str(parent)
    return None


def _target(link: str, target: Path) -> str:
    return os.path.normpath(Path(link).parent / target)


def _loads(root: Path, path: str) -> list[str]:
    """Paths of the libraries that a program or library of the file system loads, and its loader."""
    loader = next((x for x in LOADERS if os.path.lexists(root / x)), None)
    if loader is None:
        raise _missing(root, "/" + LOADERS[0])
    loader_file = root / _followed(root, "/" + loader).lstrip("/")
    places = ("*-linux-gnu", "*-linux-gnu/systemd")  # the second only systemd's programs know
    folders = [root / "usr/lib", *(f for p in places for f in sorted((root / "usr/lib").glob(p)))]
    asked = subprocess.run(
        [
            *(loader_file, "--inhibit-cache", "--library-path", ":".join(map(str, folders))),
            *("--list", root / path.lstrip("/")),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"LC_ALL": "C"},
        check=False,
    )
    text = asked.stdout + asked.stderr
    if any(sign in text for sign in STATIC):
        return []
    if asked.returncode != 0 or "not found" in text:
        raise DiscoError(
            f"the libraries of {path} can't be found",
            where=str(root),
            why=text.strip(),
            fix="make the root file system anew: `disco artifacts clean`, then run again",
        )
    return ["/" + loader, *_inside(root, re.findall(r"(/\S+) \(0x", asked.stdout))]


def _inside(root: Path, paths: list[str]) -> list[str]:
    """The listed libraries as paths of the file system; the loader's own line is left out."""
    top = str(root).rstrip("/")
    return [p[len(top) :] for p in paths if p.startswith(top + "/") and "/ld-linux" not in p]


def _followed(root: Path, path: str) -> str:
    """The file that a link of the file system leads to, absolute links taken inside of it."""
    for _ in range(LINKS_LIMIT):
        path = settled(root, path)
        real = root / path.lstrip("/")
        if not real.is_symlink():
            return path
        path = _target(path, real.readlink())
    raise _missing(root, path)


def _missing(root: Path, path: str) -> DiscoError:
    return DiscoError(
        f"no {path} in the root file system",
        where=str(root),
        fix="make the root file system anew: `disco artifacts clean`, then run again",
    )
