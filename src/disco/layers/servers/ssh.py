"""Servers that exist already: any reachable hosts, host keys pinned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Component, Layer, StatusLine, Step, World
from disco.engine.errors import DiscoError, Several
from disco.hosts.facts import Facts
from disco.hosts.host import Host
from disco.hosts.reader import Hosts, is_away
from disco.layers.servers.outputs import ServersOutputs
from disco.layers.servers.preflight import unfit
from disco.stack.model import Model, var


class SshHost(Model):
    """One existing server."""

    name: str = var(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    """Its name, also as a node of the cluster."""
    address: str = var(min_length=1)
    """Address or name under which it is reached, and under which the others reach it."""
    port: int = var(22, ge=1, le=65535)
    """Port of its sshd."""
    user: str = "root"
    """Who logs in; another one than root must be allowed `sudo` without a password."""
    key: str = "~/.ssh/id_ed25519"
    """The private key file, without a passphrase."""
    host_key: str = ""
    """The server's public key (`ssh-ed25519 AAAA…`); else it must stand in ~/.ssh/known_hosts."""
    interface: str = "eth0"
    """The network interface between the servers."""


class SshServersSpec(Model):
    """Servers that exist already."""

    provider: Literal["ssh"]
    """Where servers come from."""
    hosts: tuple[SshHost, ...] = var(min_length=1)
    """The servers; the first one carries the control plane."""
    max_unavailable: int = var(0, ge=0)
    """So many of the others may be away, or fail, while the rest goes on."""


@dataclass(frozen=True)
class SshSeen:
    """away: servers that do not answer, as many as may."""

    facts: dict[str, Facts]
    away: tuple[str, ...] = ()


class SshServers(Component):
    """Any reachable hosts. They are only looked at; nothing is made or removed here."""

    layer = Layer.SERVERS
    section = "servers"
    spec: SshServersSpec

    @classmethod
    def dashboards(cls, spec: SshServersSpec) -> Mapping[str, str]:
        return {"servers": shipped("servers")}

    @property
    def hosts(self) -> tuple[Host, ...]:
        return tuple(
            Host(
                h.name,
                h.address,
                h.port,
                h.user,
                h.key,
                h.host_key or known_host_key(h.address, h.port),
                h.interface,
            )
            for h in self.spec.hosts
        )

    async def observe(self, world: World) -> SshSeen:
        """Every host that is not fit is named, all at once, before anything is changed."""
        reader, hosts = world[Hosts], self.hosts
        found = await asyncio.gather(*(reader.facts(h) for h in hosts), return_exceptions=True)
        errors: list[DiscoError] = []
        facts: dict[str, Facts] = {}
        away: dict[str, DiscoError] = {}
        for host, answer in zip(hosts, found, strict=True):
            if isinstance(answer, DiscoError) and is_away(answer) and host is not hosts[0]:
                away[host.name] = answer
            elif isinstance(answer, DiscoError):
                errors.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                facts[host.name] = answer
                errors.extend(unfit(host, answer, self.place.id))
        errors.extend(_twins(facts))
        if len(away) > self.spec.max_unavailable:
            errors.extend(away.values())
        if errors:
            raise Several(errors)
        return SshSeen(facts, tuple(away))

    def notes(self, seen: SshSeen) -> list[str]:
        return [f"{name} does not answer and is left out (max_unavailable)" for name in seen.away]

    def nothing(self) -> SshSeen:
        return SshSeen({})

    def steps(self, seen: SshSeen) -> Iterator[Step]:
        return iter(())

    def outputs(self, seen: SshSeen) -> ServersOutputs:
        return ServersOutputs(hosts=self.hosts, max_unavailable=self.spec.max_unavailable)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.servers.checks import checks

        return checks(self.hosts, world)

    async def status(self, world: World) -> list[StatusLine]:
        answers = await asyncio.gather(*(world[Hosts].answers(h) for h in self.hosts))
        return [
            StatusLine(h.name, "up" if up else "down", h.ssh(), up)
            for h, up in zip(self.hosts, answers, strict=True)
        ]


def known_host_key(address: str, port: int, file: Path | None = None) -> str:
    """The key that the person's known_hosts pins for an address, or nothing.

    Hashed names are not looked through; `ssh-keygen -F` lists those.
    """
    path = file or Path("~/.ssh/known_hosts").expanduser()
    wanted = address if port == 22 else f"[{address}]:{port}"
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        names, _, key = line.partition(" ")
        if wanted in names.split(",") and key.startswith("ssh-ed25519"):
            return key.strip()
    return ""


def _twins(facts: dict[str, Facts]) -> list[DiscoError]:
    """Two names for one machine, or cloned machines: Kubernetes can't tell them apart."""
    first: dict[str, str] = {}
    errors = []
    for name, f in facts.items():
        if f.machine_id in first:
            errors.append(
                DiscoError(
                    f"{first[f.machine_id]} and {name} have the same machine id",
                    where=name,
                    why=f.machine_id,
                    fix="if they are two machines: rm /etc/machine-id; "
                    "systemd-machine-id-setup; reboot",
                )
            )
        first.setdefault(f.machine_id, name)
    return errors
