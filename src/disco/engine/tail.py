"""A file of records that others append to, followed whatever is done to it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from disco.engine.journal import record_of


class Tail:
    """The whole lines of a file that were not read yet, whatever is done to the file.

    It may be cut, written anew, or moved away for another one in its place: what was told before
    and stands in the same place is not told again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None
        self._told: list[bytes] = []  # all lines that were told, in the order of the file
        self._count, self._read = 0, 0  # lines and bytes of the file that were read

    def new(self) -> list[dict[str, Any]]:
        """What was added since; a line that is not finished is left for the next time."""
        lines = self._added()
        if self._is_another():
            lines += self._added()
        return [r for line in lines if (r := record_of(line))]

    def _is_another(self) -> bool:
        """Open what is at the path now, if that is another file than the one that was read."""
        try:
            found = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        if self._file and os.path.sameopenfile(found.fileno(), self._file.fileno()):
            found.close()
            return False
        if self._file:
            self._file.close()
        self._file = found
        return True

    def _added(self) -> list[bytes]:
        if self._file is None:
            return []
        if not self._stands():
            self._count = self._read = 0
        return [line for line in self._whole_lines() if self._is_new(line)]

    def _stands(self) -> bool:
        """Whether the last line that was read is still in its place."""
        assert self._file is not None
        last = self._told[self._count - 1] if self._count else b""
        self._file.seek(self._read - len(last))
        return self._file.read(len(last)) == last

    def _whole_lines(self) -> list[bytes]:
        assert self._file is not None
        self._file.seek(self._read)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.splitlines(keepends=True)

    def _is_new(self, line: bytes) -> bool:
        """Whether it was not told before in this place of the file."""
        here = self._count
        self._count += 1
        if self._told[here : here + 1] == [line]:
            return False
        self._told[here:] = [line]
        return True
