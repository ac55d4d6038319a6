"""The secrets of a stack, and a watch over every process of the machine that may show one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import LabStack

from disco.store.redact import PUBLIC_FIELDS
from disco.store.store import Store

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


def secrets_of(stack: LabStack) -> dict[str, str]:
    """Every secret value in the store, by name and field; public halves are left out."""
    store = Store(stack.place)
    return {
        f"{name}#{field}": value
        for name in store.names()
        for field, value in store.fields(name).items()
        if field not in PUBLIC_FIELDS
    }
