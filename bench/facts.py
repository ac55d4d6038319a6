"""Facts of fifty hosts: fifty real sshd processes on loopback."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.measure import line, load
from disco.engine.secret import SecretRef
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.hosts.sessions import Sessions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit" / "hosts"))
from ssh_server import sshd

HOSTS = 50


def run() -> None:
    print(f"## facts of {HOSTS} hosts over SSH ({load()})")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = [stack.enter_context(sshd(_made(folder / str(i)))).host for i in range(HOSTS)]
        named = [replace(h, name=f"h{i}") for i, h in enumerate(hosts)]
        one_s = asyncio.run(_facts(named[:1]))
        all_s = asyncio.run(_facts(named))
    line("one host", f"{one_s:.2f} s")
    line(f"{HOSTS} hosts", f"{all_s:.2f} s", "aim: ≤ 5 s")
    line(f"{HOSTS} hosts / one host", f"{all_s / one_s:.1f}×", f"one after the other: {HOSTS}×")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _facts(hosts: list[Host]) -> float:
    def lookup(ref: SecretRef) -> str:
        raise LookupError(ref.name)

    sessions = Sessions(lookup)
    begun = time.monotonic()
    try:
        reader = Hosts(sessions, lookup)
        found = await asyncio.gather(*(reader.facts(h) for h in hosts))
        assert len(found) == len(hosts)
    finally:
        await sessions.close()
    return time.monotonic() - begun
