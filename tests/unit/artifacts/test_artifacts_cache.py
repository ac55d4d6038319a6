"""The cache: whole or not at all, and checked before use."""

import errno
import os
from pathlib import Path

import pytest

from disco.artifacts.cache import META, TEMPORARY, Cache, Meta, content_key, disk_errors
from disco.artifacts.tree import file_sha256
from disco.engine.errors import DiscoError


def put(cache: Cache, name: str = "tool", key: str = "k1", content: bytes = b"abc") -> Path:
    with cache.making(cache.shelf(name)) as making:
        file = making / name
        file.write_bytes(content)
        info = file.stat()
        meta = Meta(
            name=name,
            version="1",
            origin="build",
            key=key,
            inputs="i",
            toolchain="",
            sha256=file_sha256(file),
            size=info.st_size,
            mtime_ns=info.st_mtime_ns,
            file=name,
            more={},
        )
        return cache.put(making, meta).path


def test_what_was_put_is_held_under_its_key_only(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    path = put(cache)
    held = cache.held("tool", "k1")
    assert held is not None and held.path == path and held.path.read_bytes() == b"abc"
    assert cache.held("tool", "k2") is None
    assert cache.held("other", "k1") is None


def test_a_file_that_changed_is_not_held(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    put(cache).write_bytes(b"abd")
    assert cache.held("tool", "k1") is None


def test_a_file_whose_time_changed_is_held_when_its_content_did_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    os.utime(put(cache), (1, 1))
    assert cache.held("tool", "k1") is not None


def test_a_change_behind_an_unchanged_time_is_seen_by_verify(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    path = put(cache)
    before = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    held = cache.held("tool", "k1")
    assert held is not None and not cache.verify(held)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "tool"}'])
def test_a_broken_description_counts_as_not_held(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path)
    put(cache).with_name(META).write_text(text)
    assert cache.held("tool", "k1") is None


def test_an_interrupted_making_leaves_nothing_held(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt), cache.making(cache.shelf("tool")) as making:
        (making / "tool").write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(cache.shelf("tool").iterdir()) == []


def test_leftovers_of_a_killed_run_are_removed_and_counted(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    kept = put(cache)
    left = cache.shelf("tool") / f"{TEMPORARY}x"
    left.mkdir()
    (left / "half").write_bytes(b"x" * 10_000)
    (left / "closed").mkdir()
    (left / "closed" / "file").touch()
    (left / "closed").chmod(0o555)
    assert cache.remove_leftovers(cache.shelf("tool")) >= 10_000
    assert not left.exists() and kept.exists()


def test_putting_again_replaces(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    put(cache)
    path = put(cache, content=b"new!")
    assert path.read_bytes() == b"new!" and cache.held("tool", "k1") is not None


def test_a_full_disk_is_told_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(DiscoError) as caught, disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.what == "the disk is full" and "clean" in caught.value.fix


def test_a_really_full_device_is_told_so() -> None:
    full = Path("/dev/full")
    with pytest.raises(DiscoError, match="disk is full"), disk_errors(full):
        full.write_bytes(b"x")


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_CACHE", "/somewhere")
    assert Cache.default().go_mod == Path("/somewhere/go/mod")
    monkeypatch.delenv("DISCO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/mine")
    assert Cache.default().go_build == Path("/mine/disco/go/build")


def test_a_key_depends_on_content_not_on_order() -> None:
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
