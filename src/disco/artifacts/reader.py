"""What is held on this machine, what is missing, and the plan to obtain it. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property

from disco.artifacts import cargo, pull, wheel
from disco.artifacts.actions import Obtain
from disco.artifacts.cache import Cache, Held, content_key
from disco.artifacts.catalogue import (
    ROOTFS,
    SET_PREFIX,
    Catalogue,
    Download,
    PulledImage,
    catalogue,
    entry_data,
    filled,
)
from disco.artifacts.download import published_figure
from disco.artifacts.gobuild import source_inputs, target_of, toolchain
from disco.artifacts.images import INDEX, image_set_key
from disco.artifacts.lock import Figure, Lock
from disco.artifacts.machine import this_arch
from disco.artifacts.pull import pulled_key
from disco.artifacts.rootfs import debootstrap_command, rootfs_key
from disco.engine.action import Action
from disco.engine.errors import WrongUse

SOURCES = ("download", "build", "bundle")
ASSEMBLE, PULL = "assemble", "pull"
WARM_SHARE = 0.1  # of a cold build, when only something small changed


class Artifacts:
    """The reader that components find in their world.

    lock: of the stack; without one only figures of the catalogue count.
    """

    def __init__(
        self,
        cache: Cache | None = None,
        known: Catalogue | None = None,
        lock: Lock | None = None,
    ) -> None:
        self.cache = cache or Cache.default()
        self.catalogue = known or catalogue()
        self.lock = lock

    @cached_property
    def toolchain(self) -> str:
        return toolchain()

    @cached_property
    def rust(self) -> str:
        return cargo.toolchain()

    def held(self, name: str, sources: Sequence[str] = SOURCES) -> Held | None:
        """The artifact when it is here and whole, from the first source that gave it."""
        self.catalogue.check(name)
        if name.startswith(SET_PREFIX):
            return self._held_images(name)
        if name == ROOTFS:
            return self.cache.held(name, rootfs_key(self.catalogue.rootfs))
        found = (self._held_program(name, source) for source in sources)
        return next((held for held in found if held is not None), None)

    def images(self, name: str) -> dict[str, str]:
        """Manifest digests of a held set by image reference; empty when it is not held."""
        held = self.held(name)
        if held is None:
            return {}
        index: dict[str, str] = json.loads(held.path.with_name(INDEX).read_text())
        return index

    def missing(self, names: Iterable[str], sources: Sequence[str] = SOURCES) -> list[str]:
        """What must be obtained for these, what they are made of included, in build order."""
        wanted: set[str] = set()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in wanted and self.held(name, sources) is None:
                wanted.add(name)
                todo += self.catalogue.needs(name)
        return [name for name in self.catalogue.names if name in wanted]

    def estimate(self, names: Iterable[str], sources: Sequence[str] = SOURCES) -> tuple[float, int]:
        """Seconds, and bytes on disk, that obtaining what is missing usually takes."""
        missing = self.missing(names, sources)
        modules = {m for n in missing if (m := self._module(n, sources))}
        seconds, size = 0.0, 0
        for module in modules:
            warm = WARM_SHARE if self._compiled_before(module) else 1
            seconds += self.catalogue.modules[module].seconds * warm
            size += round(self.catalogue.modules[module].cache_bytes * warm)
        for name in missing:
            own_seconds, own_bytes = self._own_estimate(name)
            seconds += own_seconds
            size += own_bytes
        return seconds, size

    def plan(self, names: Iterable[str], sources: Sequence[str] = SOURCES) -> list[Obtain]:
        """Actions that obtain what is missing, each from the first source that has it.

        Raises WrongUse when a source is unknown, or when none of them has an artifact.
        """
        for source in sources:
            if source not in SOURCES:
                raise WrongUse(f"no source {source}", fix=f"use: {', '.join(SOURCES)}")
        groups: dict[tuple[str, str], list[str]] = {}
        for name in self.missing(names, sources):
            groups.setdefault(self._group(name, sources), []).append(name)
        # A module's programs are built together, where the first of them stands.
        return [self._obtain(kind, key, found) for (kind, key), found in groups.items()]

    async def pin(self, names: Iterable[str]) -> list[str]:
        """Learn what upstream publishes for downloads without a figure; returns their names.

        Writes the lock. The figures are read over TLS from where the release itself comes.
        """
        if self.lock is None:
            raise WrongUse("figures can only be pinned for a stack", fix="name its stack file")
        learnt = []
        for name in names:
            self.catalogue.check(name)
            found = self.catalogue.programs.get(name)
            if not found or not self._offers(found.download) or self.download_figure(name):
                continue
            assert found.download is not None
            url = self.url(name)
            where = self._fill(name, found.download.checksum_url, url)
            figure = await published_figure(where, url.rsplit("/", 1)[-1])
            self.lock.settle(self.figure(name, "download"), figure, f"published at {where}")
            learnt.append(name)
        if learnt:
            self.lock.save()
        return learnt

    def pulled(self, name: str) -> PulledImage:
        """Upstream's image that a set is. Raises WrongUse when it is none."""
        found = self.catalogue.image_set(name).pulled
        if found is None:
            raise WrongUse(f"{name} is no image of upstream's")
        return found

    async def reach(self, planned: Iterable[Action]) -> None:
        """Ask the registries of what is to be pulled whether they have it: before anything is
        changed. Raises DiscoError with what can't be had."""
        for action in planned:
            if isinstance(action, Obtain) and action.source == PULL:
                await pull.reach(self.pulled(action.names[0]))

    def figure(self, name: str, source: str, inputs: str = "") -> Figure:
        """Which entry of the lock is meant for an artifact of this machine's architecture."""
        return Figure(name, self.catalogue.version(name), source, this_arch(), inputs)

    def download_figure(self, name: str) -> str:
        """The SHA-256 that a download must have; the catalogue wins, then the lock; else empty."""
        download = self.catalogue.program(name).download
        if not self._offers(download):
            return ""
        assert download is not None
        pinned = {str(arch): figure for arch, figure in download.sha256.items()}.get(this_arch())
        locked = self.lock.find(self.figure(name, "download")) if self.lock else None
        return pinned or (locked.sha256 if locked else "")

    def url(self, name: str) -> str:
        """The address of an artifact's download for this machine."""
        download = self.catalogue.program(name).download
        assert download is not None
        return self._fill(name, download.url)

    def member(self, name: str) -> str:
        """The file inside the download; empty when the download is the file."""
        download = self.catalogue.program(name).download
        assert download is not None
        return self._fill(name, download.member)

    def keys(self, name: str, source: str) -> tuple[str, str]:
        """Content key and inputs of a program from a source; empty while they can't be known."""
        program = self.catalogue.program(name)
        if source == "download":
            figure = self.download_figure(name)
            key = content_key([self.url(name), figure, self.member(name)]) if figure else ""
            return key, key
        if source != "build" or program.build is None:
            return "", ""
        if program.build.wheel:
            key = content_key([entry_data(program.build.wheel, {"seconds"}), this_arch()])
            return key, key
        if program.build.cargo:
            inputs = cargo.source_inputs(program.build.cargo)
            return content_key([inputs, self.rust]), inputs
        assert program.build.go is not None
        inputs = source_inputs(self.catalogue, name, program.build.go)
        return content_key([inputs, self.toolchain]), inputs

    def needed(self, name: str) -> dict[str, Held] | None:
        """What an image set is made of; None when some of it is not held."""
        parts = {n: self.held(n) for n in self.catalogue.needs(name)}
        held = {n: h for n, h in parts.items() if h is not None}
        return held if len(held) == len(parts) else None

    def _held_program(self, name: str, source: str) -> Held | None:
        key, inputs = self.keys(name, source)
        exact = self.cache.held(name, key) if key else None
        if exact is not None or not inputs or self._compiler(name):
            return exact
        # Without a compiler here, what another one built from the same sources will do.
        same = (m for m in self.cache.metas(name) if m.inputs == inputs)
        found = (self.cache.held(name, m.key) for m in same)
        return next((held for held in found if held is not None), None)

    def _held_images(self, name: str) -> Held | None:
        if pulled := self.catalogue.image_set(name).pulled:
            return self._with_index(self.cache.held(name, pulled_key(pulled)))
        parts = self.needed(name)
        if parts is None:
            return None
        return self._with_index(self.cache.held(name, image_set_key(self.catalogue, name, parts)))

    def _with_index(self, held: Held | None) -> Held | None:
        return held if held is not None and held.path.with_name(INDEX).exists() else None

    def _group(self, name: str, sources: Sequence[str]) -> tuple[str, str]:
        """What an artifact is obtained together with: kind and key."""
        if name.startswith(SET_PREFIX):
            pulled = self.catalogue.image_set(name).pulled
            if pulled and "download" not in sources:
                raise _only_pulled(name, pulled, sources)
            return (PULL if pulled else ASSEMBLE), name
        if name == ROOTFS:
            if "build" not in sources:
                raise self._nowhere(name, ("build",), sources)
            return "build", name
        for source in sources:
            if source == "download" and self.download_figure(name):
                return source, self.url(name)
            if source == "build" and self.catalogue.program(name).build:
                return source, self._module(name, ("build",)) or name
        raise self._nowhere(name, self.catalogue.program(name).sources, sources)

    def _nowhere(self, name: str, has: Sequence[str], asked: Sequence[str]) -> WrongUse:
        unpinned = "download" in has and "download" in asked
        return WrongUse(
            f"{name} can't be had from {' or '.join(asked)}",
            why="the figure of its download is not known yet"
            if unpinned
            else f"the catalogue has it from: {', '.join(has)}",
            fix="run `disco artifacts pin`" if unpinned else f"add {has[0]} to the stack's sources",
        )

    def _obtain(self, kind: str, key: str, names: list[str]) -> Obtain:
        figures = tuple(self.download_figure(n) for n in names) if kind == "download" else ()
        if kind == PULL:
            figures = (self.pulled(key).digest.removeprefix("sha256:"),)
        return Obtain(
            names=tuple(names),
            source=kind,
            versions=tuple(self.catalogue.version(n) for n in names),
            how=self._how(kind, key, names),
            figures=figures,
        )

    def _how(self, kind: str, key: str, names: list[str]) -> str:
        if kind == "download":
            members = " ".join(filter(None, (self.member(n) for n in names)))
            unpack = f" && tar -xf {key.rsplit('/', 1)[-1]} {members}" if members else ""
            return f"curl -fLO {key}{unpack}"
        if kind == PULL:
            pulled = self.pulled(key)
            source = f"docker://{pulled.repository}@{pulled.digest}"
            return f"skopeo copy {source} oci-archive:images.tar:{pulled.reference}"
        if kind == ASSEMBLE:
            return f"disco artifacts obtain {key}"
        if key == ROOTFS:
            return " ".join(debootstrap_command(self.catalogue.rootfs, "./rootfs", "MIRROR"))
        if key in self.catalogue.modules and self._module(names[0], ("build",)) == key:
            return target_of(self.catalogue, key, names).plain()
        build = self.catalogue.program(names[0]).build
        assert build is not None
        if build.cargo:
            return cargo.plain(build.cargo)
        assert build.wheel is not None
        return wheel.plain(build.wheel)

    def _compiler(self, name: str) -> str:
        """The one here that a program is built with; empty when there is none."""
        build = self.catalogue.program(name).build
        return self.rust if build and build.cargo else self.toolchain

    def _module(self, name: str, sources: Sequence[str]) -> str:
        """The Go module that a program would be built from; empty when it is not."""
        program = self.catalogue.programs.get(name)
        if program is None or program.build is None or program.build.go is None:
            return ""
        first = next((s for s in sources if s != "download" or self.download_figure(name)), "")
        return program.build.go.module if first == "build" else ""

    def _compiled_before(self, module: str) -> bool:
        """Whether Go's cache most likely has what a module's programs share."""
        programs = (n for n in self.catalogue.programs if self._module(n, ("build",)) == module)
        return self.cache.go_build.exists() and any(self.cache.metas(n) for n in programs)

    def _own_estimate(self, name: str) -> tuple[float, int]:
        if name == ROOTFS:
            return self.catalogue.rootfs.seconds, self.catalogue.rootfs.bytes
        if name.startswith(SET_PREFIX):
            programs = [n for n in self.catalogue.needs(name) if n != ROOTFS]
            size = sum(self.catalogue.program(n).bytes for n in programs)
            if pulled := self.catalogue.image_set(name).pulled:
                size = pulled.bytes
            return self.catalogue.image_set(name).seconds, size
        program = self.catalogue.program(name)
        build = program.build and (program.build.wheel or program.build.cargo)
        seconds = build.seconds if build else 0.0
        return seconds, program.bytes

    def _fill(self, name: str, template: str, url: str = "") -> str:
        version = self.catalogue.version(name)
        return filled(template, version=version, arch=this_arch(), url=url)

    def _offers(self, download: Download | None) -> bool:
        return download is not None and this_arch() in download.archs


def _only_pulled(name: str, pulled: PulledImage, asked: Sequence[str]) -> WrongUse:
    return WrongUse(
        f"the image {pulled.reference} can't be had from {' or '.join(asked)}",
        why="it is upstream's own, which is downloaded or not had at all",
        fix="write `artifacts: {sources: [build, download]}` into the stack file, or leave out "
        f"what needs {name}",
    )
