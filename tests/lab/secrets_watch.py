"""Watches every process of the machine for secrets in its arguments or environment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAUSE_S = 0.03


class Watch:
    """Everything that processes showed while it ran, each text once."""

    def __init__(self) -> None:
        self.texts: set[bytes] = set()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(PAUSE_S):
            for process in Path("/proc").glob("[0-9]*"):
                for part in ("cmdline", "environ"):
                    try:
                        self.texts.add((process / part).read_bytes())
                    except OSError:  # it has ended, or may not be read
                        continue

    def end(self) -> None:
        self._over.set()

    def showing(self, secrets: dict[str, str]) -> list[str]:
        """The names of those secrets that some process showed, with the text around."""
        found = []
        for name, value in secrets.items():
            for text in self.texts:
                if value.encode() in text:
                    found.append(f"{name} in {text[:120]!r}")
        return found


@contextmanager
def watching() -> Iterator[Watch]:
    watch = Watch()
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join(timeout=10)
