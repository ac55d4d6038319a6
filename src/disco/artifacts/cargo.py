"""Programs from Rust crates: `cargo install` of a pinned crate, with the crate's own lock file.

The lock file has the checksum of every crate that is compiled in; the crate's own is pinned here.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from disco.artifacts.cache import Cache, content_key, disk_full
from disco.artifacts.catalogue import CargoBuild, entry_data
from disco.artifacts.gobuild import NETWORK_SIGNS, check_space
from disco.artifacts.machine import this_arch
from disco.artifacts.process import run
from disco.artifacts.tree import file_sha256
from disco.engine.errors import DiscoError, Retry

Report = Callable[[str, float | None], None]

ASK_TIMEOUT_S = 30
# What a person may have set for other work and would change the result.
UNSET = ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER")
SIGNS = (*NETWORK_SIGNS, "failed to fetch", "Could not resolve host", "spurious network error")


def toolchain() -> str:
    """The installed Rust and the linker that it uses, in a line; empty when there is no Rust.

    The linker is whatever C compiler the machine has, and it decides bytes, too.
    """
    if shutil.which("cargo") is None:
        return ""
    return f"{_first_line('rustc')}, {_first_line('cc')}"


def _first_line(program: str) -> str:
    try:
        asked = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return f"no {program}"
    if asked.returncode != 0:
        raise DiscoError(f"the installed {program} does not run", why=asked.stderr.strip())
    return asked.stdout.partition("\n")[0].strip()


def source_inputs(spec: CargoBuild) -> str:
    """Digest of everything but the toolchain that decides a program's bytes. Where cargo keeps its
    sources is in them, so that the same figure is only asked of builds below the same folder."""
    return content_key([entry_data(spec, {"seconds", "cache_bytes"}), this_arch(), str(_home())])


def install_command(spec: CargoBuild, root: str) -> list[str]:
    """The build as a plain command."""
    features = ["--features", ",".join(spec.features)] if spec.features else []
    wanted = [spec.crate, "--version", f"={spec.version}", "--locked", *features]
    return ["cargo", "install", *wanted, "--root", root]


def plain(spec: CargoBuild) -> str:
    return shlex.join(install_command(spec, "."))


async def build_cargo(cache: Cache, spec: CargoBuild, out: Path, report: Report) -> Path:
    """Build the crate's program; its file below `out`. Raises DiscoError when Rust is missing, the
    disk too full, the build fails, or the crate is not the pinned one."""
    if shutil.which("cargo") is None:
        raise DiscoError(
            "Rust is not installed",
            why=f"{spec.crate} {spec.version} is built from its crate; there is no other source",
            fix="install Rust with its cargo and a C compiler, for example Debian's rustup and gcc",
        )
    check_space(cache, spec.cache_bytes)
    # Beside the result, and the same each time: its path gets into the program.
    target = cache.root / "cargo" / spec.crate
    env = {k: v for k, v in os.environ.items() if k not in UNSET}
    env |= {"CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
    argv = ["nice", "-n", "10", *install_command(spec, str(out)), "--no-track"]
    count = 0

    def on_line(line: str) -> None:
        nonlocal count
        count += line.strip().startswith("Compiling")
        report(f"{line.strip()} ({count} compiled)", None)

    try:
        ended = await run(argv, env=env, on_line=on_line)
    finally:
        shutil.rmtree(target, ignore_errors=True)
    if not ended.ok:
        raise _failed(cache, spec, ended.tail)
    _must_be_pinned(spec)
    return out / "bin" / spec.crate


def _home() -> Path:
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")


def _must_be_pinned(spec: CargoBuild) -> None:
    file = f"{spec.crate}-{spec.version}.crate"
    found = {file_sha256(p) for p in _home().glob(f"registry/cache/*/{file}")}
    if found != {spec.sha256}:
        raise DiscoError(
            f"the crate {spec.crate} {spec.version} is not the pinned one",
            where=str(_home() / "registry" / "cache"),
            why=f"expected SHA-256 {spec.sha256}, found {', '.join(sorted(found)) or 'none'}",
            fix="find out which registry cargo is told to use, and why it has another one",
        )


def _failed(cache: Cache, spec: CargoBuild, tail: tuple[str, ...]) -> DiscoError:
    text = "\n".join(tail[-15:])
    if "No space left on device" in text:
        return disk_full(cache.root, text)
    if any(sign in text for sign in SIGNS):
        return DiscoError(
            f"the sources of {spec.crate} can't be fetched",
            why=text,
            fix="check that cargo reaches its registry from here, and run again",
            retry=Retry.LIKELY,
        )
    return DiscoError(
        f"the build of {spec.crate} failed",
        why=text,
        fix="run again; if it stays, report it as a bug with these lines",
    )
