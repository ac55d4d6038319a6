"""Whether the servers are fit to carry the network, each question asked of every one of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence

from disco.checks.counted import counted
from disco.checks.shared import Once
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.layers.servers import health
from disco.layers.servers.health import Health
from disco.layers.servers.preflight import CLOCK_S
from disco.store.store import Store

Seen = dict[str, Health | str]  # by host; text says why there is none


def checks(hosts: Sequence[Host], world: World) -> Iterator[Check]:
    """Six questions; five of them are answered by one round trip to each host."""
    seen = Once(lambda: _look(hosts, world[Hosts]))

    def judged(
        judge: Callable[[Health], str], things: str, show: Callable[[Health], str]
    ) -> Callable[[], Awaitable[Answer]]:
        async def ask() -> Answer:
            return _judged(await seen(), judge, things, show)

        return ask

    yield Check(
        "servers/ssh",
        "Does SSH answer on every server, with the pinned host key?",
        "see that the machine is up and that sshd runs; if it was reinstalled on purpose, "
        "pin its new key",
        lambda: _ssh(hosts, world),
    )
    yield Check(
        "servers/clock",
        f"Are all clocks within {CLOCK_S:.0f} s of this machine's?",
        "timedatectl set-ntp true, or install chrony; and look at this machine's clock too",
        judged(
            health.clock, f"clocks within {CLOCK_S:.0f} s", lambda h: f"{h.clock_offset_s:+.1f} s"
        ),
    )
    yield Check(
        "servers/disk",
        "Is there room on the file systems that the node writes to?",
        "du -xh / | sort -h | tail shows what takes the room; journalctl --vacuum-size=200M, "
        "remove old images, or add a disk",
        judged(health.disk, "servers with room", health.fullest),
    )
    yield Check(
        "servers/memory",
        "Is memory left?",
        "ps --sort=-rss -eo rss,args | head shows who has it; move pods away, or add memory",
        judged(health.memory, "servers with memory left", lambda h: health.left(h.memory)),
    )
    yield Check(
        "servers/units",
        "Is every systemd unit well?",
        "systemctl --failed; journalctl -u UNIT says why; systemctl restart UNIT, or "
        "systemctl reset-failed UNIT when it is of no use",
        judged(health.units, "servers without a failed unit", lambda h: f"{h.units} units"),
    )
    yield Check(
        "servers/restart",
        "Do all servers run what is installed, with no restart due?",
        "restart one server after the other: kubectl drain NODE --ignore-daemonsets "
        "--delete-emptydir-data, systemctl reboot, kubectl uncordon NODE",
        judged(health.restart, "servers with no restart due", lambda h: f"up {_age(h.up_s)}"),
    )


async def _look(hosts: Sequence[Host], reader: Hosts) -> Seen:
    async def one(host: Host) -> Health | str:
        try:
            return await health.look(reader, host)
        except DiscoError as error:
            return f"{error.what} {error.why}".strip()

    found = await asyncio.gather(*(one(h) for h in hosts))
    return {h.name: f for h, f in zip(hosts, found, strict=True)}


def _judged(
    seen: Seen, judge: Callable[[Health], str], things: str, show: Callable[[Health], str]
) -> Answer:
    faults = {n: h if isinstance(h, str) else judge(h) for n, h in seen.items()}
    shown = ", ".join(f"{n} {show(h)}" for n, h in seen.items() if isinstance(h, Health))
    return counted(faults, things, shown)


async def _ssh(hosts: Sequence[Host], world: World) -> Answer:
    async def one(host: Host) -> str:
        try:
            done = await world[Hosts].run(host, ["true"], within_s=10)
        except DiscoError as error:
            return f"{error.what} {error.why}".strip()
        return "" if done.ok else f"`true` ended with {done.code}"

    found = await asyncio.gather(*(one(h) for h in hosts))
    faults = {h.name: f for h, f in zip(hosts, found, strict=True)}
    keys = ", ".join(f"{h.name} {_fingerprint(h, world[Store])}" for h in hosts)
    return counted(faults, "servers answer", keys)


def _fingerprint(host: Host, store: Store) -> str:
    """As `ssh-keygen -lf` prints it."""
    pinned = host.host_key
    line = store.lookup(pinned) if isinstance(pinned, SecretRef) else pinned
    blob = base64.b64decode(line.split()[1])
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"


def _age(seconds: float) -> str:
    days, hours, minutes = seconds // 86400, seconds // 3600, seconds // 60
    return f"{days:.0f} d" if days else f"{hours:.0f} h" if hours else f"{minutes:.0f} min"
