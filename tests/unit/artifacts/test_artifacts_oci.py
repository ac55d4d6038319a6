"""The image writer: the same bytes everywhere, and what the format asks for."""

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from disco.artifacts import oci
from disco.artifacts.oci import Entry, Image, Layer, write_image_set
from disco.engine.errors import DiscoError


def sample(folder: Path) -> tuple[dict[str, Layer], dict[str, Image]]:
    folder.mkdir()
    (folder / "tool").write_bytes(b"program" * 1000)
    (folder / "tool").chmod(0o700)
    layers: dict[str, Layer] = {
        "tool": {
            "/usr/local/bin/tool": Entry(file=folder / "tool", mode=0o755),
            "/usr/local/bin/name": Entry(link="tool"),
            "/tmp": Entry(mode=0o1777),
        },
        "etc": {"/etc/hosts": Entry(file=folder / "tool", mode=0o644)},
    }
    images = {
        "localhost/b:1": Image(("etc", "tool"), entrypoint=("/usr/local/bin/tool",), user="1:2"),
        "localhost/a:1": Image(("tool",), cmd=("name",), env=("X=1",)),
    }
    return layers, images


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {m.name: f.read() for m in tar if (f := tar.extractfile(m)) is not None}


def blob(files: dict[str, bytes], digest: str) -> bytes:
    return files["blobs/sha256/" + digest.removeprefix("sha256:")]


def config_of(files: dict[str, bytes], digest: str) -> dict[str, Any]:
    manifest = json.loads(blob(files, digest))
    found: dict[str, Any] = json.loads(blob(files, manifest["config"]["digest"]))
    return found


def test_two_folders_at_two_times_give_the_same_bytes(tmp_path: Path) -> None:
    for name, when in (("one", 1), ("two", 1_000_000_000)):
        layers, images = sample(tmp_path / name)
        os.utime(tmp_path / name / "tool", (when, when))
        order = dict(reversed(images.items())) if when == 1 else images
        write_image_set(tmp_path / f"{name}.tar", layers, order, "amd64")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_every_blob_is_named_by_its_digest_and_referred_to(tmp_path: Path) -> None:
    layers, images = sample(tmp_path / "in")
    found = write_image_set(tmp_path / "o.tar", layers, images, "amd64")
    files = content(tmp_path / "o.tar")
    blobs = {n: c for n, c in files.items() if n.startswith("blobs/")}
    for name, data in blobs.items():
        assert name == "blobs/sha256/" + hashlib.sha256(data).hexdigest()
    used = set()
    for entry in json.loads(files["index.json"])["manifests"]:
        assert found[entry["annotations"]["io.containerd.image.name"]] == entry["digest"]
        manifest = json.loads(blob(files, entry["digest"]))
        for part in (manifest["config"], *manifest["layers"], entry):
            assert len(blob(files, part["digest"])) == part["size"]
            used.add("blobs/sha256/" + part["digest"].removeprefix("sha256:"))
    assert used == set(blobs)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_a_layer_that_two_images_share_is_stored_once(tmp_path: Path) -> None:
    layers, images = sample(tmp_path / "in")
    write_image_set(tmp_path / "o.tar", layers, images, "amd64")
    with tarfile.open(tmp_path / "o.tar") as tar:
        names = [m.name for m in tar]
    assert len(names) == len(set(names)) == 2 + 2 + 2 + 2  # head, layers, configs, manifests


def test_a_configuration_says_how_the_image_starts(tmp_path: Path) -> None:
    layers, images = sample(tmp_path / "in")
    found = write_image_set(tmp_path / "o.tar", layers, images, "arm64")
    files = content(tmp_path / "o.tar")
    config = config_of(files, found["localhost/b:1"])
    assert config["architecture"] == "arm64" and config["os"] == "linux"
    assert config["config"]["Entrypoint"] == ["/usr/local/bin/tool"]
    assert config["config"]["User"] == "1:2" and "Cmd" not in config["config"]
    other = config_of(files, found["localhost/a:1"])
    assert other["config"]["Cmd"] == ["name"] and "X=1" in other["config"]["Env"]


def test_a_layer_has_sorted_entries_of_root_without_times(tmp_path: Path) -> None:
    layers, _ = sample(tmp_path / "in")
    with (tmp_path / "layer.tar").open("wb") as out:
        oci.write_layer(layers["tool"], out)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        members = tar.getmembers()
    assert [(m.name, m.mode) for m in members] == [
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("usr/local", 0o755),
        ("usr/local/bin", 0o755),
        ("usr/local/bin/name", 0o777),
        ("usr/local/bin/tool", 0o755),
    ]
    assert {(m.uid, m.gid, m.uname, m.mtime) for m in members} == {(0, 0, "", 0)}


def test_a_file_that_changes_while_it_is_written_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, images = sample(tmp_path / "in")
    header = oci._header

    def grow_then_write(info: Any) -> bytes:
        with (tmp_path / "in" / "tool").open("ab") as file:
            file.write(b"more")
        return header(info)

    monkeypatch.setattr(oci, "_header", grow_then_write)
    with pytest.raises(DiscoError, match="changed while"):
        write_image_set(tmp_path / "o.tar", layers, images, "amd64")
