"""Facts of many hosts: as many real sshd processes on loopback, which share our two cores.

On a network every host has its own CPU for its end; how much of the time is theirs is told.
"""

from __future__ import annotations

import asyncio
import os
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from ssh_server import Server, sshd

HOSTS = 150
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")  # a second


def run() -> None:
    print(f"## facts of {HOSTS} hosts over SSH ({load()})")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [stack.enter_context(sshd(_made(folder / str(i)))) for i in range(HOSTS)]
        named = [replace(s.host, name=f"h{i}") for i, s in enumerate(servers)]
        one_s = asyncio.run(_facts(named[:1]))
        before_s, ours_s = _cpu(servers), time.process_time()
        all_s = asyncio.run(_facts(named))
        ours_s = time.process_time() - ours_s
        theirs_s = _cpu(servers) - before_s
    line("one host", f"{one_s:.2f} s")
    line(f"{HOSTS} hosts", f"{all_s:.2f} s", "aim: ≤ 8 s")
    line("  our CPU", f"{ours_s:.2f} s")
    line("  CPU of sshd and of what it runs", f"{theirs_s:.2f} s")
    line("  their share of all CPU", f"{theirs_s / (ours_s + theirs_s):.0%}")
    line(f"{HOSTS} hosts / one host", f"{all_s / one_s:.1f}×", f"one after the other: {HOSTS}×")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _cpu(servers: list[Server]) -> float:
    """CPU seconds of servers and of their children, when all of these have ended."""
    return sum(_cpu_of(server.process.pid) for server in servers)


def _cpu_of(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    ends = time.monotonic() + 10
    while children.read_text():
        assert time.monotonic() < ends, "a session of sshd does not end"
        time.sleep(0.01)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / CLOCK_TICKS  # its own and its children's


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
