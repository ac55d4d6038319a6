"""Servers on this machine: isolated hosts with their own network, systemd and sshd."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

import pydantic

from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Component, Layer, StatusLine, Step, World, pending
from disco.engine.errors import DiscoError, Several
from disco.engine.secret import SecretRef
from disco.hosts.actions import AwaitHost
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.layers.servers.outputs import ServersOutputs
from disco.nspawn.actions import (
    BootHost,
    MakeHost,
    MakeNetwork,
    RemoveHost,
    RemoveNetwork,
    StopHost,
)
from disco.nspawn.machine import Machine, Network
from disco.nspawn.reader import Nspawn, NspawnSeen
from disco.stack.model import Model, var
from disco.store.actions import Remember
from disco.store.generate import SshKey
from disco.store.store import Store

FIRST_ADDRESS = 11  # .1 is this machine, the rest below is kept free
ROOT = "rootfs"
LOGIN = "servers/login"


class LocalServersSpec(Model):
    """Isolated Linux hosts on this machine."""

    provider: Literal["local"] = "local"
    """Where servers come from."""
    count: int = var(1, ge=1, le=50)
    """How many there are."""
    network: str = var("10.88.0.0/24")
    """The addresses between them, an IPv4 network that nothing else here uses."""
    memory_mb: int | None = var(None, ge=512, unit="MiB")
    """Memory of each; not limited when it is not set."""
    cpus: float | None = var(None, gt=0)
    """Cores of each; not limited when it is not set."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""

    @pydantic.field_validator("network")
    @classmethod
    def _is_network(cls, value: str) -> str:
        network = IPv4Network(value)
        if network.prefixlen > 25:
            raise ValueError("must have room for 64 hosts: a /25 or wider")
        return value


@dataclass(frozen=True)
class LocalSeen:
    machines: NspawnSeen
    secrets: frozenset[str]
    answering: frozenset[str]


class LocalServers(Component):
    """Hosts h1, h2, … on one bridge."""

    layer = Layer.SERVERS
    section = "servers"
    is_ground = True
    spec: LocalServersSpec
    artifacts: ArtifactsOutputs

    @classmethod
    def wants(cls, spec: LocalServersSpec) -> tuple[str, ...]:
        return (ROOT,)

    @classmethod
    def dashboards(cls, spec: LocalServersSpec) -> Mapping[str, str]:
        return {"servers": shipped("servers")}

    @property
    def network(self) -> Network:
        return Network(self.place.id, self.spec.network, str(self.place.hosts))

    @property
    def machines(self) -> tuple[Machine, ...]:
        addresses = IPv4Network(self.spec.network)
        return tuple(
            Machine(
                self.network,
                f"h{i + 1}",
                str(addresses[FIRST_ADDRESS + i]),
                self.spec.memory_mb,
                self.spec.cpus,
            )
            for i in range(self.spec.count)
        )

    @property
    def hosts(self) -> tuple[Host, ...]:
        return tuple(
            Host(
                m.name,
                m.address,
                key=SecretRef(LOGIN, "private"),
                host_key=SecretRef(key_of(m.name), "public"),
            )
            for m in self.machines
        )

    def outputs(self, seen: LocalSeen) -> ServersOutputs:
        missing = frozenset(h.name for h in self.hosts) - seen.answering
        return ServersOutputs(hosts=self.hosts, missing=missing, disposable=True)

    def exists_partly(self, seen: LocalSeen) -> bool:
        """The first one carries the control plane, which can be asked about the others."""
        return self.hosts[0].name in seen.answering

    def nothing(self) -> LocalSeen:
        return LocalSeen(NspawnSeen(network=False), frozenset(), frozenset())

    async def observe(self, world: World) -> LocalSeen:
        reader = world[Nspawn]
        seen = await reader.seen(self.network, self.machines)
        if any(not seen.host(m.name).running for m in self.machines):
            errors = await reader.preflight(self.network, self.machines)
            if errors:
                raise Several(list(errors))
        secrets = frozenset(world[Store].names())
        return LocalSeen(seen, secrets, await self._answering(world[Hosts], seen, secrets))

    async def _answering(
        self, hosts: Hosts, seen: NspawnSeen, secrets: frozenset[str]
    ) -> frozenset[str]:
        asked = [
            h
            for h in self.hosts
            if seen.host(h.name).running and {LOGIN, key_of(h.name)} <= secrets
        ]
        answers = await asyncio.gather(*(hosts.answers(h) for h in asked))
        return frozenset(h.name for h, yes in zip(asked, answers, strict=True) if yes)

    def steps(self, seen: LocalSeen) -> Iterator[Step]:
        return pending(self._all_steps(seen), self._done(seen))

    def _all_steps(self, seen: LocalSeen) -> Iterator[Step]:
        yield Step("keys", "make the SSH key", (Remember(LOGIN, SshKey("disco")),))
        yield Step("network", "make the hosts' network", (MakeNetwork(self.network),))
        for machine, host in zip(self.machines, self.hosts, strict=True):
            yield Step(
                machine.name,
                f"boot {machine.name} ({machine.address})",
                (
                    Remember(key_of(machine.name), SshKey(machine.name)),
                    self._make(machine),
                    BootHost(machine),
                    AwaitHost(host, "SSH answers", "true", 60),
                ),
                ("keys", "network"),
                4,
            )

    def _make(self, machine: Machine) -> MakeHost:
        key = key_of(machine.name)
        return MakeHost(
            machine,
            self.artifacts.path(ROOT),
            SecretRef(key, "private"),
            SecretRef(key, "public"),
            (SecretRef(LOGIN, "public"),),
        )

    def _done(self, seen: LocalSeen) -> set[str]:
        done = {Remember(s, SshKey("")).identity for s in seen.secrets}
        if seen.machines.network:
            done.add(MakeNetwork(self.network).identity)
        for machine, host in zip(self.machines, self.hosts, strict=True):
            there = seen.machines.host(machine.name)
            if there.made:
                done.add(self._make(machine).identity)
            if there.running:
                done.add(BootHost(machine).identity)
            if machine.name in seen.answering:
                done.add(AwaitHost(host, "SSH answers", "true").identity)
        return done

    def removal(self, seen: LocalSeen, ground_goes: bool) -> Iterator[Step]:
        there = [m for m in self.machines if seen.machines.host(m.name).made or self._any(seen, m)]
        for m in there:
            yield Step(m.name, f"stop and remove {m.name}", (StopHost(m), RemoveHost(m)), (), 3)
        if seen.machines.network or seen.machines.half_network or there:
            yield Step(
                "network",
                "remove the hosts' network",
                (RemoveNetwork(self.network),),
                tuple(m.name for m in there),
            )

    def _any(self, seen: LocalSeen, machine: Machine) -> bool:
        there = seen.machines.host(machine.name)
        return there.running or bool(there.halves)

    async def observe_left(self, world: World, was: LocalServers) -> NspawnSeen:
        return await world[Nspawn].seen(was.network, was.machines)

    def refused(self, left: NspawnSeen, was: LocalServers) -> list[DiscoError]:
        if was.spec.network == self.spec.network or not any(h.made for h in left.hosts):
            return []
        return [
            DiscoError(
                "the servers' network can't be changed while there are servers in it",
                where="servers.network",
                why=f"they were made in {was.spec.network}",
                fix="put it back, or take the stack down first: disco down",
            )
        ]

    def leaving(self, left: NspawnSeen, was: LocalServers) -> Iterator[Step]:
        """Servers beyond the number that is declared now."""
        declared = {m.name for m in self.machines}
        for m in was.machines:
            there = left.host(m.name)
            if m.name not in declared and (there.made or there.running or there.halves):
                yield Step(m.name, f"stop and remove {m.name}", (StopHost(m), RemoveHost(m)), (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.servers.checks import checks

        return checks(self.hosts, world)

    async def status(self, world: World) -> list[StatusLine]:
        seen = await self.observe(world)
        return [
            StatusLine(
                h.name,
                "up" if h.name in seen.answering else "down",
                h.ssh(),
                h.name in seen.answering,
            )
            for h in self.hosts
        ]


def key_of(name: str) -> str:
    """The secret with a host's own SSH key."""
    return f"servers/{name}/host-key"
