"""Where obtained artifacts live on this machine: written whole or not at all, checked before use.

    programs/NAME/KEY/NAME      images/SET/KEY/images.tar      rootfs/KEY/root
    with a meta.json beside each; go/mod and go/build are Go's own caches.

A key is a digest of everything that decides the content, so a changed input is another folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from disco.artifacts.catalogue import ROOTFS, SET_PREFIX
from disco.artifacts.tree import file_sha256, size_bytes, tree_digest
from disco.engine.errors import DiscoError

META = "meta.json"
TEMPORARY = ".making-"
KEY_DIGITS = 32


@dataclass(frozen=True)
class Meta:
    """What is known of one held artifact.

    inputs:    digest of what it was made from, without the toolchain.
    toolchain: what made it, for example `go1.26.7`; empty when that can't matter.
    sha256:    of the file; of a root file system, its tree digest.
    size:      in bytes.
    origin:    `download`, `build` or `bundle`.
    """

    name: str
    version: str
    origin: str
    key: str
    inputs: str
    toolchain: str
    sha256: str
    size: int
    mtime_ns: int
    file: str
    more: dict[str, Any]


@dataclass(frozen=True)
class Held:
    """An artifact that is there. size: bytes; sha256: of a root file system, its tree digest."""

    name: str
    version: str
    path: Path
    sha256: str
    size: int
    origin: str
    key: str


def content_key(data: Any) -> str:
    """Digest (hex) of plain data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


class Cache:
    """The folder of this machine's artifacts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def default(cls) -> Cache:
        """`$DISCO_CACHE`, or `disco` in the user's cache folder."""
        named = os.environ.get("DISCO_CACHE")
        return cls(Path(named) if named else Path(platformdirs.user_cache_dir("disco")))

    @property
    def go_mod(self) -> Path:
        return self.go / "mod"

    @property
    def go_build(self) -> Path:
        return self.go / "build"

    @property
    def go(self) -> Path:
        return self.root / "go"

    def lock_file(self, group: str) -> Path:
        """Held while something is made, so that two runs don't make the same thing twice."""
        return self.root / "locks" / f"{group.replace('/', '-')}.lock"

    def shelf(self, name: str) -> Path:
        """The folder of all versions of an artifact."""
        if name == ROOTFS:
            return self.root / ROOTFS
        if name.startswith(SET_PREFIX):
            return self.root / "images" / name.removeprefix(SET_PREFIX)
        return self.root / "programs" / name

    def metas(self, name: str) -> list[Meta]:
        """All versions of an artifact whose meta.json can be read, the newest first."""
        found = []
        for file in self.shelf(name).glob(f"*/{META}"):
            meta = read_meta(file)
            if meta is not None and meta.name == name:
                found.append(meta)
        return sorted(found, key=lambda m: (-m.mtime_ns, m.key))

    def held(self, name: str, key: str) -> Held | None:
        """The artifact under this key if it is whole, as far as size and time can tell."""
        meta = read_meta(self.shelf(name) / key / META)
        if meta is None or meta.name != name:
            return None
        path = self.shelf(name) / key / meta.file
        if not (path.is_dir() if name == ROOTFS else self._unchanged(path, meta)):
            return None
        return Held(name, meta.version, path, meta.sha256, meta.size, meta.origin, key)

    def _unchanged(self, path: Path, meta: Meta) -> bool:
        try:
            info = path.stat()
        except FileNotFoundError:
            return False
        if info.st_size != meta.size:
            return False
        return info.st_mtime_ns == meta.mtime_ns or file_sha256(path) == meta.sha256

    def verify(self, held: Held) -> bool:
        """Whether every byte is still what was put there."""
        found = tree_digest(held.path) if held.name == ROOTFS else file_sha256(held.path)
        return found == held.sha256

    def put(self, making: Path, meta: Meta) -> Held:
        """Take a finished folder in under its key; it appears whole or not at all."""
        (making / META).write_text(json.dumps(asdict(meta), indent=1, sort_keys=True) + "\n")
        if meta.name != ROOTFS:
            sync_tree(making)
        else:
            os.sync()  # tens of thousands of files: one call for all
        home = self.shelf(meta.name) / meta.key
        home.parent.mkdir(parents=True, exist_ok=True)
        if home.exists():
            remove_tree(home)
        making.rename(home)
        sync_folder(home.parent)
        path = home / meta.file
        return Held(meta.name, meta.version, path, meta.sha256, meta.size, meta.origin, meta.key)

    @contextlib.contextmanager
    def making(self, shelf: Path) -> Iterator[Path]:
        """A temporary folder on a shelf's own disk; gone afterwards unless it was put."""
        with disk_errors(shelf):
            shelf.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=shelf))
            folder.chmod(0o755)
        try:
            with disk_errors(shelf):
                yield folder
        finally:
            if folder.exists():
                remove_tree(folder)

    def remove_leftovers(self, shelf: Path) -> int:
        """Remove what killed runs left on a shelf; returns the bytes freed.

        Only with the lock file of the shelf's group held: else it is another run's work.
        """
        freed = 0
        for folder in shelf.glob(f"{TEMPORARY}*"):
            freed += size_bytes(folder)
            remove_tree(folder)
        return freed

    def free_bytes(self) -> int:
        """Free space on the cache's disk, in bytes."""
        existing = next(p for p in (self.root, *self.root.parents) if p.exists())
        return shutil.disk_usage(existing).free


def read_meta(file: Path) -> Meta | None:
    """None when the file is missing or is not ours: then the artifact counts as not held."""
    try:
        return Meta(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """A full disk or a folder that may not be written, in words a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise disk_full(where) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DiscoError(
                "the artifact cache can't be written",
                where=str(error.filename or where),
                why=error.strerror or str(error),
                fix="set DISCO_CACHE to a folder of yours",
            ) from error
        raise


def disk_full(where: Path, why: str = "no space left on device") -> DiscoError:
    return DiscoError(
        "the disk is full",
        where=str(where),
        why=why,
        fix="free some space, for example by `disco artifacts clean`, and run again; "
        "what was finished is kept",
    )


def remove_tree(path: Path) -> None:
    """Remove a folder of ours, also with read-only folders in it; refuses to reach into a mount."""
    mounted = mounts_below(path)
    if mounted:
        raise DiscoError(
            "a folder of an interrupted run still has file systems mounted in it",
            where=str(path),
            why=", ".join(mounted),
            fix=f"run `umount -R {mounted[0]}` and try again",
        )
    for folder, _, _ in os.walk(path):
        mode = stat.S_IMODE(Path(folder).lstat().st_mode)
        if not mode & stat.S_IWUSR:
            Path(folder).chmod(mode | stat.S_IRWXU)
    shutil.rmtree(path)


def mounts_below(path: Path) -> list[str]:
    """Mount points below a folder, as the kernel lists them."""
    top = str(path.resolve()) + "/"
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return sorted(p for p in points if p.startswith(top))


def sync_tree(path: Path) -> None:
    """All files below a folder, and the folder, are on disk when this returns."""
    for folder, _, files in os.walk(path):
        for name in files:
            file = Path(folder, name)
            if not file.is_symlink():
                sync_file(file)
        sync_folder(Path(folder))


def sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


sync_folder = sync_file
