"""Where a stack keeps what it must remember: one folder that only its owner can read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from disco.engine.errors import WrongUse
from disco.stack.problem import visible

FORMAT = 2
ID = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True)
class Place:
    """The state folder of one stack.

    root: `.disco/NAME` beside the stack file, or `$DISCO_STATE/NAME`.
    stack_folder: where the stack file is, for paths in it.
    id:   8 hex digits, for names of things outside of it (bridges, network namespaces, cgroups) and
          the mark on servers, so that two stacks of one name never meet: of the folder's path, or,
          for all who share a stack, of the path where it began.
    """

    root: Path
    stack_folder: Path = Path()

    @classmethod
    def of(cls, stack_file: Path, name: str) -> Place:
        top = os.environ.get("DISCO_STATE")
        folder = stack_file.resolve().parent
        return cls((Path(top).resolve() if top else folder / ".disco") / name, folder)

    @property
    def id(self) -> str:
        try:
            shared = self.shared_id.read_text().strip()
        except OSError:
            shared = ""
        if ID.fullmatch(shared):
            return shared
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def shared_id(self) -> Path:
        """There only where a team shares the stack."""
        return self.root / "id"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def declared(self) -> Path:
        return self.root / "declared.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def identity(self) -> Path:
        """The key of a store that the stack has for itself."""
        return self.root / "identity"

    @property
    def hosts(self) -> Path:
        return self.root / "hosts"

    def open(self) -> None:
        """Make the folder, or check that this program and this machine may use it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
        except OSError as error:
            raise WrongUse(
                "the state folder can't be made",
                where=str(self.root),
                why=error.strerror or str(error),
                fix="mend the rights there, or name another folder with DISCO_STATE",
            ) from None
        here = {"format": FORMAT, "machine": machine_id(), "host": socket.gethostname()}
        if not self.marker.exists():
            write_atomically(self.marker, json.dumps(here).encode() + b"\n")
        self.must_be_ours()

    @property
    def marker(self) -> Path:
        return self.root / "state.json"

    def must_be_ours(self) -> None:
        """Raise WrongUse for a folder of a newer DISCO or of another machine. Makes nothing."""
        marker = self.marker
        if not marker.exists():
            return
        try:
            found = json.loads(marker.read_text())
            version = int(found["format"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise WrongUse(
                "the state folder's marker can't be read",
                where=str(marker),
                why=str(error),
                fix="restore the file from a backup, or move the folder away to start anew",
            ) from None
        if version > FORMAT:
            raise WrongUse(
                f"the state folder was written by a newer DISCO (format {version})",
                where=str(self.root),
                why=f"this DISCO knows formats up to {FORMAT}",
                fix="use the newer DISCO with this stack",
            )
        if version < FORMAT:
            raise WrongUse(
                f"the state folder was written by an older DISCO (format {version})",
                where=str(self.root),
                why=f"this DISCO keeps secrets in another way (format {FORMAT})",
                fix="take the stack down with the older DISCO, then come up with this one",
            )
        if found.get("machine") not in (None, machine_id()):
            host = visible(str(found.get("host", "unknown")))
            raise WrongUse(
                f"the state folder belongs to another machine ({host})",
                where=str(self.root),
                why="local servers and pinned keys in it are that machine's",
                fix=f"run there, or remove {self.root} to start anew here",
            )


def machine_id() -> str:
    """This machine's /etc/machine-id, or its boot-independent host name when it has none."""
    try:
        return Path("/etc/machine-id").read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """All of it or none: temporary file, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
