"""What is there of local hosts: for plans, before the first one, and as proof at the end."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.engine.errors import DiscoError, WrongUse
from disco.nspawn import cgroups, root, running, shared
from disco.nspawn.machine import Machine, Network, bridge_of, link_prefix_of, prefix_of
from disco.nspawn.outside import PACKAGES, install_hint, run

HOST_MB = 300
HEADROOM_MB = 1024
LINKS = Path("/sys/class/net")


@dataclass(frozen=True)
class HostSeen:
    """address: the one it was made with. halves: what is left of a host that does not run."""

    name: str
    made: bool
    running: bool
    address: str = ""
    boot: int = 0
    halves: tuple[str, ...] = ()


@dataclass(frozen=True)
class NspawnSeen:
    """half_network: something of the network is there, and maybe all of it. others: hosts in the
    stack's folder that were not asked for."""

    network: bool
    hosts: tuple[HostSeen, ...] = ()
    others: tuple[str, ...] = ()
    half_network: bool = False

    def host(self, name: str) -> HostSeen:
        return next((h for h in self.hosts if h.name == name), HostSeen(name, False, False))


class Nspawn:
    """Reads only."""

    async def seen(self, network: Network, machines: Sequence[Machine]) -> NspawnSeen:
        groups = {path.name for path in cgroups.named(prefix_of(network.id))}
        asked = {machine.name for machine in machines}
        return NspawnSeen(
            network=await _has_network(network),
            half_network=_has_half(network),
            hosts=tuple(_host(machine, machine.id in groups) for machine in machines),
            others=tuple(name for name in _folders(network) if name not in asked),
        )

    async def preflight(
        self, network: Network, machines: Sequence[Machine]
    ) -> tuple[DiscoError, ...]:
        """What is in the way of local hosts here; empty when nothing is."""
        found = [*_rights(), *_programs(), *_space(network, machines)]
        if shutil.which("ip"):
            found += await _addresses(network)
        return tuple(found)


def leftovers(stack_id: str) -> list[str]:
    """Everything of a stack outside of its folder, one line each; empty after an orderly end."""
    prefix = prefix_of(stack_id)
    return [
        *(f"process {pid}: {line}" for pid, line in _processes(prefix)),
        *(f"cgroup {path}" for path in cgroups.named(prefix)),
        *(f"link {name}" for name in _links(stack_id)),
        *(f"network namespace {path.name}" for path in _matching("/run/netns", prefix)),
        *(f"mount {line}" for line in _mounts(prefix)),
        *(f"file {path}" for path in _matching("/run/systemd/nspawn/propagate", prefix)),
        *(f"file {path}" for path in _matching("/run/systemd/nspawn/unix-export", prefix)),
        *(f"file {path}" for path in _matching("/run/systemd/nspawn/locks", f"name-{prefix}")),
        *([f"kernel settings noted in {shared.RECORD}"] if shared.holds(stack_id) else []),
    ]


async def _has_network(network: Network) -> bool:
    if not (LINKS / network.bridge).exists() or not network.record.exists():
        return False
    # One that has no address yet is not listed.
    found = json.loads(await run(["ip", "-j", "-4", "addr", "show", "dev", network.bridge]))
    return any(
        "UP" in link["flags"] and network.gateway in [a["local"] for a in link["addr_info"]]
        for link in found
        if link
    )


def _has_half(network: Network) -> bool:
    return (LINKS / network.bridge).exists() or network.record.exists()


def _host(machine: Machine, has_group: bool) -> HostSeen:
    now = running.read(machine)
    up = now is not None and now.is_whole
    return HostSeen(
        name=machine.name,
        made=machine.root.is_dir(),
        running=up,
        address=_address(machine),
        boot=now.boot if now and up else 0,
        halves=() if up else tuple(_halves(machine, has_group)),
    )


def _halves(machine: Machine, has_group: bool) -> Iterator[str]:
    if has_group:
        yield f"cgroup {machine.id}"
    if machine.netns.exists():
        yield f"network namespace {machine.id}"
    if (LINKS / machine.link).exists():
        yield f"link {machine.link}"
    yield from (f"unfinished copy {path.name}" for path in root.halves(machine))


def _address(machine: Machine) -> str:
    try:
        return str(json.loads((machine.folder / "host.json").read_text())["address"])
    except (OSError, ValueError):
        return ""


def _folders(network: Network) -> list[str]:
    """Only what looks like a host: a folder with a root, or with the beginning of one."""
    found = Path(network.folder).glob("*/")
    return sorted(p.name for p in found if (p / "root").is_dir() or any(p.glob(f"{root.HALF}*")))


def _rights() -> Iterator[DiscoError]:
    if os.geteuid() != 0:
        yield WrongUse(
            "local hosts need root",
            why=f"this is user {os.geteuid()}, who may make neither namespaces nor cgroups",
            fix="run the same with sudo, or use servers that are reached over SSH",
        )


def _programs() -> Iterator[DiscoError]:
    for program in PACKAGES:
        if not shutil.which(program):
            yield DiscoError(
                f"the program {program} is missing on this machine", fix=install_hint(program)
            )


def _space(network: Network, machines: Sequence[Machine]) -> Iterator[DiscoError]:
    missing = sum(not machine.root.is_dir() for machine in machines)
    folder = Path(network.folder)
    while not folder.is_dir():
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free >> 20
    need_mb = missing * HOST_MB + HEADROOM_MB
    if missing and free_mb < need_mb:
        yield DiscoError(
            f"not enough space for {missing} local host{'s' if missing > 1 else ''}",
            where=str(folder),
            why=f"{free_mb} MB are free, {need_mb} MB are needed",
            fix="free some, or put the state folder on a larger disk with DISCO_STATE",
        )


async def _addresses(network: Network) -> list[DiscoError]:
    links = json.loads(await run(["ip", "-j", "-4", "addr", "show"]))
    return [
        _taken(network, link["ifname"], address)
        for link in links
        if link["ifname"] != network.bridge
        for address in _networks(link)
        if address.overlaps(network.addresses)
    ]


def _networks(link: dict[str, Any]) -> list[ipaddress.IPv4Network]:
    return [
        ipaddress.IPv4Network((a["local"], a["prefixlen"]), strict=False)
        for a in link["addr_info"]
        if "local" in a
    ]


def _taken(network: Network, link: str, address: ipaddress.IPv4Network) -> DiscoError:
    owner = "another stack's local hosts have" if link.startswith("dsc") else "this machine has"
    return WrongUse(
        f"the network {network.cidr} of the local hosts is taken",
        where=network.bridge,
        why=f"{owner} {address} on {link}",
        fix="give this stack's local hosts another network in its stack file",
    )


def _processes(prefix: str) -> Iterator[tuple[int, str]]:
    """nspawn and the keeper carry the host's name in their arguments."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # ended meanwhile
        if any(word.removeprefix("--machine=").startswith(prefix) for word in words):
            yield int(folder.name), " ".join(words)[:120]


def _links(stack_id: str) -> list[str]:
    """A cable's name holds half of the id only; the bridge that it is plugged into tells."""
    ours = bridge_of(stack_id)
    ports = [path.name for path in (LINKS / ours / "brif").glob(f"{link_prefix_of(stack_id)}*")]
    loose = [
        path.name
        for path in LINKS.glob(f"{link_prefix_of(stack_id)}*")
        if not (path / "master").exists()
    ]
    return sorted({*ports, *loose, *([ours] if (LINKS / ours).exists() else [])})


def _mounts(prefix: str) -> list[str]:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (line.split(" ")[4] for line in mounts)
    return [p for p in points if any(part.startswith(prefix) for part in p.split("/"))]


def _matching(folder: str, prefix: str) -> list[Path]:
    return sorted(Path(folder).glob(f"{prefix}*"))
