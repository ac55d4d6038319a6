"""A folder with OpenTofu's files: does it keep its state where it is asked to?"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from disco.engine.errors import DiscoError, WrongUse

BACKEND = re.compile(r'^[^#\n]*?\b(?:backend\s+"(?P<kind>[^"]*)"\s*\{(?P<empty>\s*\})?|cloud\s*\{)',
                     re.MULTILINE)  # fmt: skip
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|#[^\n]*", re.DOTALL)
HOW = 'terraform { backend "http" {} }'
# What OpenTofu writes beside its files when a state can't be kept.
ERRORED = "errored.tfstate"
MEMORY = Path("/dev/shm")


def must_keep_it_here(folder: Path) -> None:
    """Raises WrongUse where its files say that the state goes elsewhere, or nothing of it: that
    would be a file in plain text."""
    if not folder.is_dir():
        raise WrongUse("there is no such folder", where=str(folder))
    found = [place for path in _files(folder) for place in _backends(path)]
    if not found:
        raise WrongUse(
            "the files do not say that the state is kept by DISCO",
            where=str(folder),
            why="without that OpenTofu writes it beside them in plain text",
            fix=f"write into {folder / 'backend.tf'}: {HOW}",
        )
    for where, kind, empty in found:
        if kind != "http" or not empty:
            told = f'backend "{kind}"' if kind else "cloud"
            raise WrongUse(
                f"the state goes elsewhere: {told}" + (" with settings" if kind == "http" else ""),
                where=where,
                fix=f"write {HOW}; where a state is moved from: disco tofu DIR -- init "
                "-migrate-state asks OpenTofu to",
            )


def _files(folder: Path) -> list[Path]:
    names = ("*.tf", "*.tofu", "*.tf.json", "*.tofu.json")
    return sorted(path for name in names for path in folder.glob(name) if path.is_file())


def _backends(path: Path) -> Iterator[tuple[str, str, bool]]:
    """(place, kind, whether it has no settings) of each backend in a file; no kind for a cloud."""
    text = path.read_text(errors="replace")
    if path.suffix == ".json":
        yield from _in_json(path, text)
        return
    text = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for match in BACKEND.finditer(text):
        at = match.start() + len(match.group()) - len(match.group().lstrip())
        line = text.count("\n", 0, at) + 1
        column = at - text.rfind("\n", 0, at)
        yield f"{path}:{line}:{column}", match["kind"] or "", match["empty"] is not None


def _in_json(path: Path, text: str) -> Iterator[tuple[str, str, bool]]:
    try:
        settings = json.loads(text).get("terraform", {})
        blocks = settings if isinstance(settings, list) else [settings]
        found = [(k, v) for b in blocks for k, v in b.get("backend", {}).items()]
        clouds = any("cloud" in b for b in blocks)
    except (ValueError, AttributeError):
        return  # OpenTofu tells what is wrong with it, before it has a state
    for kind, value in found:
        yield str(path), kind, not value
    if clouds:
        yield str(path), "", True


@contextmanager
def plain_text_in_memory(folder: Path) -> Iterator[None]:
    """While OpenTofu runs, what it writes when a state can't be kept goes to a file in memory.

    A file that is there stays, and is told by `refuse_what_was_not_kept`. Where there is no file
    system in memory, it goes to the folder, for its owner alone.
    """
    link = folder / ERRORED
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)) or os.path.lexists(link):
        yield
        return
    hidden = Path(tempfile.mkdtemp(prefix="disco-tofu-", dir=MEMORY))
    link.symlink_to(hidden / ERRORED)
    try:
        yield
    finally:
        if not (hidden / ERRORED).exists():
            link.unlink(missing_ok=True)
            shutil.rmtree(hidden, ignore_errors=True)


def refuse_what_was_not_kept(folder: Path) -> None:
    """Raises DiscoError where an earlier run left a state that could not be kept. A link to
    nothing, of a run that was killed, is removed."""
    link = folder / ERRORED
    if link.exists():
        raise DiscoError(
            "a state that could not be kept is here, and is newer than the one in the store",
            where=f"{link} -> {link.readlink()}" if link.is_symlink() else str(link),
            why="the store could not be written when OpenTofu ended",
            fix=f"disco tofu {folder} -- state push {ERRORED}; then remove the file",
        )
    if link.is_symlink():
        old = link.readlink().parent
        if old.name.startswith("disco-tofu-"):
            shutil.rmtree(old, ignore_errors=True)
        link.unlink()
