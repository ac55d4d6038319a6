"""`disco.lock` beside the stack file: figures of the team's artifacts, from their first use on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pydantic
from ruamel.yaml import YAML

from disco.engine.errors import DiscoError
from disco.engine.place import write_atomically
from disco.stack.model import Model
from disco.stack.problem import Problem, StackProblems
from disco.stack.typed import typed

FORMAT: Literal[1] = 1
LOCK_NAME = "disco.lock"
HEADER = "# Written by disco, for version control: what has a figure here never changes.\n"


class Locked(Model):
    """The figure of one artifact."""

    version: str
    source: str
    """`download` or `build`."""
    arch: str
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    """Of the download, or of what was built."""
    inputs: str = ""
    """Digest of what a build was made from, toolchain included; another one is another build."""
    verified: str
    """How the figure was verified when it was written."""
    when: str
    """Date of that, UTC."""


class _File(Model):
    format: Literal[1]
    artifacts: dict[str, list[Locked]]


@dataclass(frozen=True)
class Figure:
    """Which figure is meant: one artifact, version, source, architecture and input."""

    name: str
    version: str
    source: str
    arch: str
    inputs: str = ""


class Lock:
    """The file in memory; `save` writes it when something was added."""

    def __init__(self, path: Path, entries: dict[str, list[Locked]] | None = None) -> None:
        self.path = path
        self._entries = entries or {}

    @classmethod
    def beside(cls, stack_file: Path) -> Lock:
        return cls.load(stack_file.resolve().parent / LOCK_NAME)

    @classmethod
    def load(cls, path: Path) -> Lock:
        """Read a lock file; a missing one is empty. Raises DiscoError with the place of a fault."""
        if not path.exists():
            return cls(path)
        try:
            return cls(path, typed(path, _File).artifacts)
        except StackProblems as wrong:
            raise _corrupt(wrong.problems[0]) from None

    def find(self, figure: Figure) -> Locked | None:
        for entry in self._entries.get(figure.name, []):
            if _is(entry, figure):
                return entry
        return None

    def settle(self, figure: Figure, sha256: str, verified: str) -> None:
        """Compare with the figure that is held, or take this one as the first.

        Raises DiscoError that names both when they differ.
        """
        known = self.find(figure)
        if known is None:
            self._add(figure, sha256, verified)
        elif known.sha256 != sha256:
            raise differs(figure.name, known.sha256, sha256, where=str(self.path))

    def _add(self, figure: Figure, sha256: str, verified: str) -> None:
        entry = Locked(
            version=figure.version,
            source=figure.source,
            arch=figure.arch,
            sha256=sha256,
            inputs=figure.inputs,
            verified=verified,
            when=datetime.now(UTC).date().isoformat(),
        )
        # One figure for each source and architecture: older versions are git's to remember.
        kept = [
            e
            for e in self._entries.get(figure.name, [])
            if (e.source, e.arch) != (figure.source, figure.arch)
        ]
        self._entries[figure.name] = [*kept, entry]

    def save(self) -> None:
        """Write the file, sorted, so that a change reads well in a diff."""
        write_atomically(self.path, self._text().encode(), mode=0o644)

    def _text(self) -> str:
        artifacts = {
            name: [
                entry.model_dump(exclude_defaults=True)
                for entry in sorted(entries, key=lambda e: (e.source, e.arch))
            ]
            for name, entries in sorted(self._entries.items())
        }
        out = io.StringIO()
        yaml = YAML()
        yaml.width = 200
        yaml.dump({"format": FORMAT, "artifacts": artifacts}, out)
        return HEADER + out.getvalue()


def differs(name: str, expected: str, found: str, where: str = "", why: str = "") -> DiscoError:
    """The error of a figure that is not what it was."""
    return DiscoError(
        f"{name} is not what was expected: SHA-256 {expected} was, {found} is",
        where=where,
        why=why or "the content changed under one version: a broken transfer, or a replaced file",
        fix="run again; if it stays, ask upstream why, and only then remove the figure by hand",
    )


def _is(entry: Locked, figure: Figure) -> bool:
    return (entry.version, entry.source, entry.arch, entry.inputs) == (
        figure.version,
        figure.source,
        figure.arch,
        figure.inputs,
    )


def _corrupt(problem: Problem) -> DiscoError:
    return DiscoError(
        "the lock file can't be read",
        where=problem.place,
        why=": ".join(part for part in (problem.path, problem.message) if part),
        fix="restore it from version control, or resolve the conflict in it",
    )
