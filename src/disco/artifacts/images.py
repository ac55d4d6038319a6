"""Image sets of the catalogue: layers put together from held programs and the root file system."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from disco.artifacts.cache import Held, content_key
from disco.artifacts.catalogue import ROOTFS, Catalogue, LayerSpec, entry_data, filled
from disco.artifacts.libraries import closure, settled, tree
from disco.artifacts.machine import this_arch
from disco.artifacts.oci import Entry, Image, Layer, write_image_set

WRITER = 2  # raise it when the same inputs shall give other bytes
IMAGES_TAR = "images.tar"
INDEX = "index.json"  # manifest digests by image reference
MERGED = ("bin", "sbin", "lib", "lib64")  # links to /usr/X in a Debian file system
BUSYBOX = "/usr/bin/busybox"
PROGRAM_MODE = 0o755
OPEN_MODE = 0o1777
PLAIN_USER = "1000:1000"


def image_set_key(catalogue: Catalogue, name: str, needed: Mapping[str, Held]) -> str:
    """Digest of all that decides the bytes of a set; `needed` is what it is made of."""
    images = catalogue.image_set(name)
    layers = {n: entry_data(s) for n, s in catalogue.layers_of(images).items()}
    made_of = {n: held.sha256 for n, held in needed.items()}
    return content_key([WRITER, this_arch(), entry_data(images, {"seconds"}), layers, made_of])


def build_images(
    catalogue: Catalogue, name: str, needed: Mapping[str, Held], folder: Path
) -> dict[str, str]:
    """Write a set's images.tar and index.json; returns manifest digests by image reference."""
    images = catalogue.image_set(name)
    layers = {n: build_layer(s, needed) for n, s in catalogue.layers_of(images).items()}
    specs = {
        reference: Image(spec.layers, spec.entrypoint, spec.cmd, spec.user, spec.env)
        for reference, spec in images.references().items()
    }
    index = write_image_set(folder / IMAGES_TAR, layers, specs, this_arch())
    write_index(folder, index)
    return index


def write_index(folder: Path, index: Mapping[str, str]) -> None:
    """What a set holds, beside its file."""
    (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def write_program_image(
    catalogue: Catalogue, reference: str, program: Path, base: Held, out: Path
) -> str:
    """An image of any program file, for example a chain's own, with a busybox shell beside it.

    base: the held root file system. Returns the manifest digest.
    """
    path = f"/usr/local/bin/{program.name}"
    layers = {
        "busybox": build_layer(catalogue.layers["busybox"], {ROOTFS: base}),
        "program": {path: Entry(file=program, mode=PROGRAM_MODE)},
    }
    image = Image(("busybox", "program"), entrypoint=(path,), user=PLAIN_USER)
    return write_image_set(out, layers, {reference: image}, this_arch())[reference]


def build_layer(spec: LayerSpec, held: Mapping[str, Held]) -> Layer:
    """All entries of a layer."""
    entries: dict[str, Entry] = {}
    if spec.needs_rootfs:
        entries |= _from_base(spec, held[ROOTFS].path)
    for program, path in spec.programs.items():
        entries[path] = Entry(file=held[program].path, mode=PROGRAM_MODE)
    entries |= {path: Entry(link=target) for path, target in spec.links.items()}
    entries |= {f"/usr/bin/{name}": Entry(link=BUSYBOX) for name in spec.applets}
    entries |= {path: Entry(mode=OPEN_MODE) for path in spec.dirs}
    return entries


def _from_base(spec: LayerSpec, root: Path) -> dict[str, Entry]:
    arch = this_arch()
    programs = [filled(p, version="", arch=arch) for p in spec.base_programs]
    found = closure(root, programs)
    for folder in spec.base_trees:
        found |= tree(root, filled(folder, version="", arch=arch))
    for file in spec.base_files:
        path = settled(root, file)
        found[path] = root / path.lstrip("/")
    entries = {path: _entry(real) for path, real in found.items()}
    for name in MERGED:
        if (root / name).is_symlink():
            entries[f"/{name}"] = Entry(link=f"usr/{name}")
    return entries


def _entry(real: Path) -> Entry:
    if real.is_symlink():
        return Entry(link=str(real.readlink()))
    return Entry(file=real)
