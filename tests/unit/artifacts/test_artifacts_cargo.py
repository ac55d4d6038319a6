"""Programs from Rust crates. cargo is a stand-in: what is tested is what is asked of it, and what
is done with what it leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from disco.artifacts import cargo
from disco.artifacts.cache import Cache
from disco.artifacts.catalogue import Build, CargoBuild
from disco.engine.errors import DiscoError, Retry

CRATE = b"the crate"
SPEC = CargoBuild(
    crate="tool",
    version="1.2.3",
    features=("soft",),
    sha256=hashlib.sha256(CRATE).hexdigest(),
    seconds=1,
    cache_bytes=0,
)
BUILDS = """#!/bin/sh
echo "$@" > {top}/asked
env > {top}/environment
echo "   Compiling tool v1.2.3"
while [ "$1" != --root ]; do shift; done
mkdir -p "$2/bin" {top}/home/registry/cache/index
echo built > "$2/bin/tool"
printf '{crate}' > {top}/home/registry/cache/index/tool-1.2.3.crate
"""
Cargo = Callable[[str], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cargo:
    """A cargo that does what this script says."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUSTFLAGS", "-C target-cpu=native")

    def install(script: str) -> None:
        (programs / "cargo").write_text(script)
        (programs / "cargo").chmod(0o755)

    return install


async def build(tmp_path: Path, said: list[str] | None = None) -> Path:
    out = tmp_path / "out"
    lines = said if said is not None else []
    return await cargo.build_cargo(
        Cache(tmp_path / "cache"), SPEC, out, lambda note, share: lines.append(note)
    )


async def test_the_crate_is_built_by_its_own_lock_file(tmp_path: Path, installed: Cargo) -> None:
    installed(BUILDS.format(top=tmp_path, crate=CRATE.decode()))
    said: list[str] = []
    made = await build(tmp_path, said)
    assert made.read_text() == "built\n"
    assert "--locked" in (tmp_path / "asked").read_text()
    assert "tool --version =1.2.3" in (tmp_path / "asked").read_text()
    assert "--features soft" in (tmp_path / "asked").read_text()
    assert said == ["Compiling tool v1.2.3 (1 compiled)"]


async def test_what_a_person_has_set_for_other_work_changes_nothing(
    tmp_path: Path, installed: Cargo
) -> None:
    installed(BUILDS.format(top=tmp_path, crate=CRATE.decode()))
    await build(tmp_path)
    assert "RUSTFLAGS" not in (tmp_path / "environment").read_text()


async def test_another_crate_under_the_name_is_not_taken(tmp_path: Path, installed: Cargo) -> None:
    installed(BUILDS.format(top=tmp_path, crate="another"))
    with pytest.raises(DiscoError, match="is not the pinned one") as caught:
        await build(tmp_path)
    assert SPEC.sha256 in caught.value.why


async def test_without_rust_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DiscoError, match="Rust is not installed") as caught:
        await build(tmp_path)
    assert "no other source" in caught.value.why
    assert cargo.toolchain() == ""


@pytest.mark.parametrize(
    ("line", "what", "retry"),
    [
        ("error: failed to fetch `index`", "can't be fetched", Retry.LIKELY),
        ("error[E0308]: mismatched types", "the build of tool failed", Retry.NEVER),
        ("No space left on device", "", Retry.NEVER),
    ],
)
async def test_a_failed_build_says_why(
    tmp_path: Path, installed: Cargo, line: str, what: str, retry: Retry
) -> None:
    installed(f"#!/bin/sh\necho '{line}'\nexit 101\n")
    with pytest.raises(DiscoError) as caught:
        await build(tmp_path)
    assert what in caught.value.what
    assert caught.value.retry is retry
    assert not (tmp_path / "cache" / "cargo" / "tool").exists()


def test_another_feature_or_crate_is_another_program() -> None:
    keys = {
        cargo.source_inputs(SPEC.model_copy(update=change))
        for change in ({}, {"features": ()}, {"version": "1.2.4"}, {"sha256": "0" * 64})
    }
    assert len(keys) == 4
    assert cargo.source_inputs(SPEC) == cargo.source_inputs(
        SPEC.model_copy(update={"seconds": 9.0, "cache_bytes": 9})
    )


def test_a_program_is_made_in_one_way() -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        Build.model_validate({"cargo": SPEC.model_dump(), "go": {"module": "m", "package": "."}})
    assert cargo.plain(SPEC) == (
        "cargo install tool --version =1.2.3 --locked --features soft --root ."
    )
