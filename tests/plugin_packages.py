"""Packages that bring something to DISCO: the template, built and installed, and written ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import disco

TOP = Path(__file__).parents[1]
TEMPLATE = TOP / "examples" / "plugin"
OWN_SOURCE = Path(disco.__file__).parents[1]
SOUND = '''\
from disco.plugin import Component, Layer, Model, Outputs


class S(Model):
    """S."""


class O(Outputs):
    pass


class C(Component):
    """C."""

    contract = 1
    layer = Layer.SERVICES
    section = "other"
    spec: S

    async def observe(self, world):
        return None

    def nothing(self):
        return None

    def steps(self, seen):
        return iter(())

    def outputs(self, seen) -> O:
        return O()
'''


def install(source: Path, folder: Path) -> None:
    """Build a package's wheel and unpack it into a folder, offline."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--root-user-action=ignore"]
    command = [*pip, *offline, "--target", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def write(folder: Path, name: str, code: str, entry: str, group: str = "disco.components") -> None:
    """An installed package of one module. entry: what of the module its entry point names."""
    (folder / f"{name}.py").write_text(code)
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\nthing = {name}:{entry}\n")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Disco:
    """DISCO as a process beside the packages of a folder, with a current folder of its own."""

    packages: Path
    folder: Path

    @property
    def environ(self) -> Mapping[str, str]:
        paths = f"{self.packages}{os.pathsep}{OWN_SOURCE}{os.pathsep}{TOP / 'tests'}"
        cache, plain = str(self.folder / "cache"), {"NO_COLOR": "1", "COLUMNS": "200"}
        return {**os.environ, **plain, "PYTHONPATH": paths, "DISCO_CACHE": cache}

    def __call__(self, *arguments: str) -> Said:
        return self.python("-m", "disco.cli.main", *arguments)

    def python(self, *arguments: str, within_s: float = 120) -> Said:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=within_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)
