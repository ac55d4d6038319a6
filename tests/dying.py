"""Carry out one action in a process that dies by SIGKILL just before its Nth visible effect."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from disco.engine.action import Action
from disco.engine.secret import SecretRef
from disco.nspawn.executors import executors

# Programs started, files written, renamed and removed, locks taken, signals sent.
EFFECTS = {
    "fcntl.flock",
    "os.chmod",
    "os.kill",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.rmtree",
    "subprocess.Popen",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def dies_at(point: int, action: Action, secrets: Mapping[SecretRef, str]) -> bool:
    """Whether it died there; False when it came to its end before."""
    child = os.fork()
    if child == 0:
        _carry_out(point, action, secrets)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), f"{action.describe()} failed by itself at point {point}"
    return code != 0


def deaths(action: Action, secrets: Mapping[SecretRef, str]) -> Iterator[int]:
    """Every point in turn, until there is none left. Each has just been died at."""
    for point in count(1):
        if not dies_at(point, action, secrets):
            return
        yield point


def _carry_out(point: int, action: Action, secrets: Mapping[SecretRef, str]) -> None:
    passed = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal passed
        if event in EFFECTS or (event == "open" and args[2] & WRITING):
            passed += 1
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)

    async def run() -> None:
        await executors(lambda ref: secrets[ref])[action.kind](action, lambda note, share: None)

    try:
        sys.addaudithook(hook)
        asyncio.run(run())
        os._exit(0)
    finally:
        os._exit(1)
