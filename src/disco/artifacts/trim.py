"""`disco artifacts clean`: give disk space back without losing what the catalogue still needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from disco.artifacts.cache import META, TEMPORARY, Cache, read_meta, remove_tree
from disco.artifacts.catalogue import ROOTFS, SET_PREFIX
from disco.artifacts.gobuild import clean_go
from disco.artifacts.images import image_set_key
from disco.artifacts.obtain import GO_GROUP
from disco.artifacts.reader import Artifacts
from disco.artifacts.rootfs import rootfs_key
from disco.artifacts.tree import size_bytes


@dataclass(frozen=True)
class Freed:
    """What was removed: bytes on disk, and the folders of artifacts by `name/key`."""

    size_bytes: int
    removed: tuple[str, ...]


async def clean(artifacts: Artifacts, modules: bool = False) -> Freed:
    """Empty Go's build cache, remove old versions and what killed runs left behind.

    modules: also Go's downloaded sources, which a next build has to fetch again.
    What another run works on just now is left alone.
    """
    cache = artifacts.cache
    before = size_bytes(cache.go)
    if _quiet(cache, GO_GROUP):
        await clean_go(cache, modules)
        cache.remove_leftovers(cache.go)
    freed = before - size_bytes(cache.go)
    removed = []
    for name, folder in list(_outdated(artifacts)):
        freed += size_bytes(folder)
        remove_tree(folder)
        removed.append(f"{name}/{folder.name}")
    return Freed(freed, tuple(removed))


def _outdated(artifacts: Artifacts) -> Iterator[tuple[str, Path]]:
    for name, shelf in _shelves(artifacts.cache):
        if not _quiet(artifacts.cache, name):
            continue
        current = _current(artifacts, name)
        for folder in sorted(p for p in shelf.iterdir() if p.is_dir()):
            if folder.name.startswith(TEMPORARY) or not _wanted(folder, current):
                yield name, folder


def _shelves(cache: Cache) -> Iterator[tuple[str, Path]]:
    if (cache.root / ROOTFS).is_dir():
        yield ROOTFS, cache.root / ROOTFS
    for shelf in sorted(cache.root.glob("programs/*")):
        yield shelf.name, shelf
    for shelf in sorted(cache.root.glob("images/*")):
        yield SET_PREFIX + shelf.name, shelf


def _current(artifacts: Artifacts, name: str) -> set[str]:
    """Keys and inputs that today's catalogue leads to."""
    if name not in artifacts.catalogue.names:
        return set()
    if name == ROOTFS:
        return {rootfs_key(artifacts.catalogue.rootfs)}
    if name.startswith(SET_PREFIX):
        parts = artifacts.needed(name)
        return set() if parts is None else {image_set_key(artifacts.catalogue, name, parts)}
    found = (artifacts.keys(name, source) for source in ("download", "build"))
    return {part for keys in found for part in keys if part}


def _wanted(folder: Path, current: set[str]) -> bool:
    """Also what another Go built from today's sources: it serves machines without Go."""
    meta = read_meta(folder / META)
    return meta is not None and bool({meta.key, meta.inputs} & current)


def _quiet(cache: Cache, group: str) -> bool:
    """Whether no other run is making something of this group."""
    file = cache.lock_file(group)
    if not file.exists():
        return True
    lock = FileLock(str(file))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True
