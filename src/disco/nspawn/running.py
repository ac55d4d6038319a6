"""What a keeper tells of itself, believed only as far as its processes are still the same ones."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from disco.nspawn.machine import Machine
from disco.nspawn.process import is_alive, machine_boot


@dataclass(frozen=True)
class Running:
    """boot counts from 1; `ended` is nspawn's last exit code (negative: a signal)."""

    keeper: int
    nspawn: int
    boot: int
    has_keeper: bool
    has_nspawn: bool
    stopping: bool
    ended: int | None

    @property
    def is_whole(self) -> bool:
        return self.has_keeper and self.has_nspawn and not self.stopping


def read(machine: Machine) -> Running | None:
    """None when there is no word of a keeper, or only of one before this machine's last restart."""
    try:
        notes = json.loads(machine.running.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if notes["machine_boot"] != machine_boot():
        return None
    return Running(
        keeper=notes["keeper"],
        nspawn=notes["nspawn"],
        boot=notes["boot"],
        has_keeper=is_alive(notes["keeper"], notes["keeper_started"]),
        has_nspawn=is_alive(notes["nspawn"], notes["nspawn_started"]),
        stopping=notes.get("stopping", False),
        ended=notes.get("ended"),
    )


def try_lock(folder: Path) -> int | None:
    """A handle that holds the host's lock; None while a keeper (or who starts one) has it."""
    handle = os.open(folder / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
