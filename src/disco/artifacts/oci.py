"""OCI images without a container engine: the same files give the same bytes, on every machine.

A set is one tar in the OCI image layout, for `ctr images import`. Layers are compressed by zstd, so
that less goes over SSH to every node, and unpacking stays faster than the network.
Source of the format: OCI image specification 1.1, image-layout.md, manifest.md, config.md.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any, Protocol, cast

import zstandard

from disco.engine.errors import DiscoError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
LEVEL = 3  # higher ones take much longer for a few per cent
PATH_VARIABLE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BLOCK_BYTES = 512
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One thing in a layer: a file of this machine, a link, or an empty folder."""

    file: Path | None = None
    link: str | None = None
    mode: int | None = None  # of a file: its own when None; of a folder: 0755 when None


Layer = Mapping[str, Entry]  # by absolute path in the image


@dataclass(frozen=True)
class Image:
    """One image: its layers by name, the lowest first, and how it starts."""

    layers: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    env: tuple[str, ...] = ()


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _Measure:
    """A sink that keeps only the digest and the size; passes on what it is given to another."""

    def __init__(self, onward: _Sink | None = None) -> None:
        self._digest = hashlib.sha256()
        self._onward = onward
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._digest.update(data)
        self.size += len(data)
        if self._onward is not None:
            self._onward.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return "sha256:" + self._digest.hexdigest()


@dataclass(frozen=True)
class _Blob:
    """digest and size as it is stored; plain: the digest of a layer before compression."""

    digest: str
    size: int
    content: bytes | Path
    plain: str = ""


def write_image_set(
    out: Path, layers: Mapping[str, Layer], images: Mapping[str, Image], arch: str
) -> dict[str, str]:
    """Write images as one tar; returns their manifest digests by reference."""
    with TemporaryDirectory(dir=out.parent, prefix=".layers-") as spool:
        packed = {n: _packed(layer, Path(spool) / n) for n, layer in sorted(layers.items())}
        return _write_set(out, packed, images, arch)


def _write_set(
    out: Path, packed: Mapping[str, _Blob], images: Mapping[str, Image], arch: str
) -> dict[str, str]:
    blobs = {blob.digest: blob for blob in packed.values()}
    manifests = []
    for reference, image in sorted(images.items()):
        used = [packed[name] for name in image.layers]
        config = _json_blob(_config(image, used, arch))
        manifest = _json_blob(_manifest(config, used))
        blobs |= {config.digest: config, manifest.digest: manifest}
        manifests.append(_index_entry(reference, manifest, arch))
    with out.open("wb") as file:
        _write_layout(file, manifests, blobs)
    return {m["annotations"]["io.containerd.image.name"]: m["digest"] for m in manifests}


def write_pulled(
    out: Path, reference: str, manifest: bytes, kind: str, blobs: Mapping[str, Path], arch: str
) -> dict[str, str]:
    """Write one image that was made elsewhere as such a tar; returns its manifest's digest.

    kind: the media type of its manifest. blobs: what that names, by digest.
    """
    top = _Blob("sha256:" + hashlib.sha256(manifest).hexdigest(), len(manifest), manifest)
    entry = _index_entry(reference, top, arch) | {"mediaType": kind}
    found = {d: _Blob(d, p.stat().st_size, p) for d, p in blobs.items()} | {top.digest: top}
    with out.open("wb") as file:
        _write_layout(file, [entry], found)
    return {reference: top.digest}


def write_layer(layer: Layer, sink: _Sink) -> None:
    """The layer as a tar: sorted, owned by root, without times."""
    made: set[str] = set()
    for path in sorted(layer, key=lambda p: PurePosixPath(p).parts):
        for parent in list(PurePosixPath(path).parents)[-2::-1]:
            if str(parent) not in made and str(parent) not in layer:
                _write_folder(sink, str(parent), 0o755)
                made.add(str(parent))
        _write_entry(sink, path, layer[path])
    sink.write(bytes(2 * BLOCK_BYTES))


def _write_entry(sink: _Sink, path: str, entry: Entry) -> None:
    if entry.link is not None:
        info = _info(path, tarfile.SYMTYPE, 0o777)
        info.linkname = entry.link
        sink.write(_header(info))
    elif entry.file is not None:
        _write_file(sink, path, entry.file, entry.mode)
    else:
        _write_folder(sink, path, entry.mode or 0o755)


def _write_folder(sink: _Sink, path: str, mode: int) -> None:
    sink.write(_header(_info(path, tarfile.DIRTYPE, mode)))


def _write_file(sink: _Sink, path: str, file: Path, mode: int | None) -> None:
    with file.open("rb") as source:
        found = file.stat()
        info = _info(path, tarfile.REGTYPE, stat.S_IMODE(found.st_mode) if mode is None else mode)
        info.size = found.st_size
        sink.write(_header(info))
        left = info.size
        while data := source.read(COPY_BYTES):
            sink.write(data)
            left -= len(data)
        if left:
            raise DiscoError(
                "a file changed while its image was written",
                where=str(file),
                fix="run again while nothing else writes to the artifact cache",
            )
        sink.write(bytes(-info.size % BLOCK_BYTES))


def _info(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path.strip("/"))
    info.type, info.mode = kind, mode
    return info


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(format=tarfile.GNU_FORMAT)


def _packed(layer: Layer, file: Path) -> _Blob:
    """Compress a layer into `file`."""
    with file.open("wb") as out:
        stored = _Measure(out)
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=False)
        with compressor.stream_writer(cast(IO[bytes], stored), closefd=False) as onward:
            plain = _Measure(onward)
            write_layer(layer, plain)
    return _Blob(stored.digest, stored.size, file, plain.digest)


def _json(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _json_blob(data: Any) -> _Blob:
    content = _json(data)
    return _Blob("sha256:" + hashlib.sha256(content).hexdigest(), len(content), content)


def _config(image: Image, layers: Iterable[_Blob], arch: str) -> dict[str, Any]:
    start = {"Entrypoint": image.entrypoint, "Cmd": image.cmd, "User": image.user}
    return {
        "architecture": arch,
        "os": "linux",
        "config": {"Env": [PATH_VARIABLE, *image.env]} | {k: v for k, v in start.items() if v},
        "rootfs": {"type": "layers", "diff_ids": [blob.plain for blob in layers]},
    }


def _manifest(config: _Blob, layers: Iterable[_Blob]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
        "layers": [{"mediaType": LAYER, "digest": b.digest, "size": b.size} for b in layers],
    }


def _index_entry(reference: str, manifest: _Blob, arch: str) -> dict[str, Any]:
    return {
        "mediaType": MANIFEST,
        "digest": manifest.digest,
        "size": manifest.size,
        "platform": {"architecture": arch, "os": "linux"},
        "annotations": {"io.containerd.image.name": reference},
    }


def _write_layout(
    out: IO[bytes], manifests: list[dict[str, Any]], blobs: Mapping[str, _Blob]
) -> None:
    _write_bytes(out, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    _write_bytes(out, "index.json", _json({"schemaVersion": 2, "manifests": manifests}))
    for digest in sorted(blobs):
        _write_blob(out, blobs[digest])
    out.write(bytes(2 * BLOCK_BYTES))


def _write_bytes(out: IO[bytes], name: str, content: bytes) -> None:
    info = _info(name, tarfile.REGTYPE, 0o644)
    info.size = len(content)
    out.write(_header(info))
    out.write(content)
    out.write(bytes(-info.size % BLOCK_BYTES))


def _write_blob(out: IO[bytes], blob: _Blob) -> None:
    name = "blobs/sha256/" + blob.digest.removeprefix("sha256:")
    if isinstance(blob.content, bytes):
        _write_bytes(out, name, blob.content)
        return
    info = _info(name, tarfile.REGTYPE, 0o644)
    info.size = blob.size
    out.write(_header(info))
    with blob.content.open("rb") as source:
        shutil.copyfileobj(source, out, COPY_BYTES)
    out.write(bytes(-info.size % BLOCK_BYTES))
