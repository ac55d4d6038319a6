"""Deaths of a DISCO that uses a store: at a call of git, or at a note of what was seen."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disco.store.team import memory
from disco.store.team.git import Git


@dataclass
class Killer:
    """Counts these points in its process, and kills it at one of them.

    at: 0 for none. amid: some time after it, and not just before. group: with all that it started;
    else its own git goes with it, and a remote's git lives on, as on another machine.
    """

    at: int = 0
    amid: bool = False
    after_s: float = 0.0
    group: bool = True
    seen: list[str] = field(default_factory=list)

    def point(self, name: str) -> None:
        self.seen.append(name)
        if len(self.seen) != self.at:
            return
        victim = os.pidfd_open(os.getpid())
        if self.amid:
            if os.fork():
                return
            time.sleep(self.after_s)
        if self.group:
            os.killpg(0, signal.SIGKILL)
        signal.pidfd_send_signal(victim, signal.SIGKILL)
        os._exit(0)

    def watch(self) -> None:
        """In this process, from here on."""
        run, write = Git._run, memory.write_atomically

        def watched_run(git: Git, words: tuple[str, ...], *more: Any) -> Any:
            self.point(f"git {words[0]}")
            return run(git, words, *more)

        def watched_write(path: Path, content: bytes, mode: int = 0o600) -> None:
            self.point(f"note {path.name}")
            write(path, content, mode)

        Git._run = watched_run  # type: ignore[method-assign]
        memory.write_atomically = watched_write  # type: ignore[attr-defined]
