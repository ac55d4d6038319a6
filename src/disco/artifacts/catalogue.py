"""Every third-party thing that DISCO uses, typed: version, licence, and where it comes from."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from disco.artifacts.machine import TRIPLETS
from disco.engine.errors import WrongUse
from disco.stack.model import Model

OUR_CATALOGUE = Path(__file__).with_name("catalogue.yaml")
REPOSITORY = "localhost"  # any other name without a dot would mean a public registry
ROOTFS = "rootfs"
SET_PREFIX = "images/"

Arch = Literal["amd64", "arm64"]
Pins = dict[Arch, str]
NOTHING: Any = pydantic.Field(default_factory=dict)
PLAIN = r"^[A-Za-z0-9 .*(),_=-]+$"  # as sed and a shell take it, in quotes


def _only_sha256(pins: dict[str, str]) -> dict[str, str]:
    for arch, figure in pins.items():
        if not re.fullmatch(r"[0-9a-f]{64}", figure):
            raise ValueError(f"{arch}: not a SHA-256 in hex: {figure!r}")
    return pins


class Download(Model):
    """Upstream's own release."""

    url: str
    """Address, with {version} and {arch}."""
    member: str = ""
    """File inside the archive; empty when the download is the file itself."""
    sha256: Pins = NOTHING
    """SHA-256 of the download by architecture, where it is known."""
    checksum_url: str = ""
    """Where upstream publishes the figure of a version that is not pinned here."""
    archs: tuple[Arch, ...] = ("amd64", "arm64")
    """Architectures that upstream publishes."""

    _pins = pydantic.field_validator("sha256")(_only_sha256)

    @pydantic.model_validator(mode="after")
    def _verifiable(self) -> Self:
        if not self.sha256 and not self.checksum_url:
            raise ValueError("a download needs sha256 or checksum_url")
        for url in filter(None, (self.url, self.checksum_url.replace("{url}", self.url))):
            if not _safe(url):
                raise ValueError(f"only https is verified on the way: {url}")
        return self


class GoBuild(Model):
    """A program of one of the Go modules below build/."""

    module: str
    """Key in `modules`."""
    package: str
    """Import path, or a folder of the module."""


class WheelBuild(Model):
    """A program that comes inside a Python wheel."""

    name: str
    """The distribution's name."""
    version: str
    """The distribution's version."""
    member: str
    """File inside the wheel, with {version}."""
    sha256: Pins = NOTHING
    """SHA-256 of the wheel by architecture."""
    seconds: float = 15
    """What it usually takes, in seconds."""

    _pins = pydantic.field_validator("sha256")(_only_sha256)


class CargoBuild(Model):
    """A program that is made from a Rust crate."""

    crate: str
    """The crate's name, and its program's."""
    version: str
    """The crate's version."""
    features: tuple[str, ...] = ()
    """What is compiled in of what the crate offers."""
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the crate; its lock file has those of all that it needs."""
    seconds: float
    """What it usually takes, in seconds."""
    cache_bytes: int
    """What it takes on the disk meanwhile, in bytes."""


class Build(Model):
    """How to make it from language packages; exactly one way."""

    go: GoBuild | None = None
    wheel: WheelBuild | None = None
    cargo: CargoBuild | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.go, self.wheel, self.cargo)) != 1:
            raise ValueError("name exactly one of: go, wheel, cargo")
        return self


class Replaced(Model):
    """Words of one line of a file, and what stands there instead."""

    file: str
    """Its path in the module."""
    old: str = pydantic.Field(pattern=PLAIN)
    """As it stands there, once."""
    new: str = pydantic.Field(pattern=PLAIN)


class Changed(Model):
    """A Go module that is built otherwise than it is published."""

    module: str
    """Its path."""
    files: dict[str, str] = NOTHING
    """Files that upstream makes for its releases and that are not in it: what is written instead,
    by the file's path in the module."""
    replaces: tuple[Replaced, ...] = ()
    """What upstream has no setting for."""


class GoModule(Model):
    """A Go module below build/, with what holds for all of its programs."""

    dir: str
    """Folder, relative to build/."""
    tags: tuple[str, ...] = ()
    """Build tags."""
    ldflags: tuple[str, ...] = ()
    """Flags of the linker."""
    changes: Changed | None = None
    """What is otherwise in one of the modules that it needs."""
    seconds: float
    """What a cold build usually takes, in seconds."""
    cache_bytes: int
    """What a cold build adds to Go's caches, in bytes."""


class Program(Model):
    """One executable file."""

    version: str
    parts: dict[str, str] = NOTHING
    """Other things inside, with their versions."""
    licence: str
    download: Download | None = None
    build: Build | None = None
    bytes: int
    """Size of the file, roughly."""

    @pydantic.model_validator(mode="after")
    def _some_source(self) -> Self:
        if self.download is None and self.build is None:
            raise ValueError("a program needs download or build")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(s for s in ("download", "build") if getattr(self, s) is not None)


class RootFs(Model):
    """A Debian file system made by debootstrap."""

    version: str
    licence: str
    suite: str
    """The Debian release's code name."""
    packages: tuple[str, ...]
    """What is installed beside the essential packages."""
    masked: tuple[str, ...] = ()
    """systemd units that shall never start."""
    seconds: float
    """What it usually takes, in seconds."""
    bytes: int
    """Size on disk, roughly."""


class LayerSpec(Model):
    """What one layer of an image is made of."""

    programs: dict[str, str] = NOTHING
    """Programs of the catalogue, with their paths in the image."""
    links: dict[str, str] = NOTHING
    """Symbolic links: path and target."""
    dirs: tuple[str, ...] = ()
    """Empty folders that everyone may write to."""
    base_programs: tuple[str, ...] = ()
    """Programs of the root file system; their libraries come with them."""
    base_trees: tuple[str, ...] = ()
    """Folders of the root file system; what their libraries load comes with them."""
    base_files: tuple[str, ...] = ()
    """Single files of the root file system."""
    applets: tuple[str, ...] = ()
    """Names that busybox answers to."""

    @property
    def needs_rootfs(self) -> bool:
        return bool(self.base_programs or self.base_trees or self.base_files)


class ImageSpec(Model):
    """One image of a set."""

    tag: str
    layers: tuple[str, ...] = pydantic.Field(min_length=1)
    """Keys in `layers`, the lowest first."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = pydantic.Field("", pattern=r"^(\d+(:\d+)?)?$")
    """Numeric `uid:gid`; empty for root."""
    env: tuple[str, ...] = ()


class PulledImage(Model):
    """Upstream's own image, which can't be made here."""

    repository: str = pydantic.Field(pattern=r"^[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+$")
    """Its registry and its name there."""
    tag: str
    digest: str = pydantic.Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """Of its manifest, or of the index that lists one for each architecture."""
    licence: str
    bytes: int
    """Size of what is fetched, roughly."""

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self.tag}"


class ImageSet(Model):
    """Images that are laid on a node together, as one file: made here, or one of upstream's."""

    images: dict[str, ImageSpec] = NOTHING
    """Images by name, without repository and tag."""
    pulled: PulledImage | None = None
    """What is fetched from a registry instead, under its own name."""
    seconds: float = 3
    """What writing it usually takes, in seconds."""

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.images) == bool(self.pulled):
            raise ValueError("name exactly one of: images, pulled")
        return self

    def references(self) -> dict[str, ImageSpec]:
        """Images that are made here by full reference, for example `localhost/pause:3.10.2`."""
        return {f"{REPOSITORY}/{name}:{spec.tag}": spec for name, spec in self.images.items()}

    @property
    def all_references(self) -> tuple[str, ...]:
        return (*self.references(), *((self.pulled.reference,) if self.pulled else ()))


class Catalogue(Model):
    """The whole file. Names of artifacts: programs as they are, `rootfs`, `images/SET`."""

    modules: dict[str, GoModule]
    rootfs: RootFs
    programs: dict[str, Program]
    layers: dict[str, LayerSpec]
    image_sets: dict[str, ImageSet]

    @pydantic.model_validator(mode="after")
    def _known_names(self) -> Self:
        for name, program in self.programs.items():
            go = program.build and program.build.go
            if go and go.module not in self.modules:
                raise ValueError(f"programs.{name}: no module {go.module}")
        for name, layer in self.layers.items():
            for program_name in layer.programs:
                if program_name not in self.programs:
                    raise ValueError(f"layers.{name}: no program {program_name}")
        for set_name, images in self.image_sets.items():
            for image, spec in images.images.items():
                for used in spec.layers:
                    if used not in self.layers:
                        raise ValueError(f"image_sets.{set_name}.{image}: no layer {used}")
        return self

    @classmethod
    def load(cls, path: Path = OUR_CATALOGUE) -> Catalogue:
        """Read a catalogue file. Raises WrongUse that names each wrong place."""
        try:
            return cls.model_validate(YAML(typ="safe").load(path.read_text()))
        except YAMLError as error:
            raise WrongUse("the catalogue is not YAML", where=str(path), why=str(error)) from None
        except pydantic.ValidationError as error:
            reasons = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise WrongUse(
                "the catalogue is wrong", where=str(path), why="; ".join(reasons)
            ) from None

    @property
    def names(self) -> tuple[str, ...]:
        """All artifacts in the order in which they can be made."""
        sets = (SET_PREFIX + name for name in self.image_sets)
        return (ROOTFS, *self.programs, *sets)

    def with_program_image(self, name: str, program: str, tag: str = "") -> Catalogue:
        """This catalogue with one more set: an image of a program and a busybox shell.

        name:    of the set and its image, for example a chain's.
        program: a program of this catalogue.
        """
        layer = LayerSpec(programs={program: f"/usr/local/bin/{program}"})
        image = ImageSpec(
            tag=tag or self.program(program).version,
            layers=("busybox", program),
            entrypoint=(f"/usr/local/bin/{program}",),
            user="1000:1000",
        )
        return self.model_copy(
            update={
                "layers": {**self.layers, program: layer},
                "image_sets": {**self.image_sets, name: ImageSet(images={name: image})},
            }
        )

    def program(self, name: str) -> Program:
        self.check(name)
        return self.programs[name]

    def image_set(self, name: str) -> ImageSet:
        """The set of an artifact name like `images/node`."""
        self.check(name)
        return self.image_sets[name.removeprefix(SET_PREFIX)]

    def layers_of(self, images: ImageSet) -> dict[str, LayerSpec]:
        used = {name for spec in images.images.values() for name in spec.layers}
        return {name: spec for name, spec in self.layers.items() if name in used}

    def image(self, name: str) -> str:
        """The full reference of an image by its short name: `pause` -> `localhost/pause:3.10.2`."""
        for images in self.image_sets.values():
            if name in images.images:
                return f"{REPOSITORY}/{name}:{images.images[name].tag}"
            if images.pulled and images.pulled.repository.rpartition("/")[2] == name:
                return images.pulled.reference
        raise WrongUse(f"no image {name} in the catalogue")

    def needs(self, name: str) -> tuple[str, ...]:
        """Artifacts that must be held before this one can be made."""
        if not name.startswith(SET_PREFIX):
            return ()
        layers = self.layers_of(self.image_set(name)).values()
        programs = {program for layer in layers for program in layer.programs}
        base = (ROOTFS,) if any(layer.needs_rootfs for layer in layers) else ()
        return base + tuple(p for p in self.programs if p in programs)

    def version(self, name: str) -> str:
        if name == ROOTFS:
            return self.rootfs.version
        if name.startswith(SET_PREFIX):
            if pulled := self.image_set(name).pulled:
                return f"{pulled.repository.rpartition('/')[2]}:{pulled.tag}"
            images = self.image_set(name).images
            return ", ".join(f"{image}:{spec.tag}" for image, spec in images.items())
        return self.program(name).version

    def check(self, name: str) -> None:
        """Raise WrongUse when no artifact has this name."""
        if name not in self.names:
            raise WrongUse(
                f"no artifact {name} in the catalogue", fix=f"use one of: {', '.join(self.names)}"
            )


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue that this DISCO ships."""
    return Catalogue.load()


def filled(template: str, *, version: str, arch: str, url: str = "") -> str:
    """A template of the catalogue with its placeholders replaced."""
    values = {"version": version, "arch": arch, "url": url, "triplet": TRIPLETS[arch]}
    return re.sub(r"\{(\w+)\}", lambda m: values[m[1]], template)


def entry_data(model: Model, leave_out: set[str] | None = None) -> dict[str, Any]:
    """A catalogue entry as plain data for a content key."""
    return model.model_dump(mode="json", exclude=leave_out)


def _safe(url: str) -> bool:
    """TLS on the way; plain HTTP never leaves this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    )
