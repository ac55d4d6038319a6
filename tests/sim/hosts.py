"""Hosts over a simulated SSH: what is on them is read from the state, not from what was done."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from disco.artifacts.catalogue import catalogue
from disco.engine.errors import DiscoError, NotThere, Retry
from disco.engine.gate import Report
from disco.engine.secret import Lookup
from disco.hosts.actions import (
    AwaitHost,
    HostAction,
    Images,
    Packages,
    Program,
    Put,
    Run,
    Unit,
)
from disco.hosts.facts import Facts
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.hosts.sessions import Result
from disco.layers.cluster.kubernetes import EMPTY
from disco.layers.cluster.node import CONTAINERD
from sim import scripts
from sim.artifacts import digest_of, images_of
from sim.cluster import is_up
from sim.simulation import Simulation
from sim.state import File, HostState, UnitState

LEFT = ("/etc/kubernetes/kubelet.conf", "/etc/kubernetes/admin.conf", scripts.ETCD)


class SimulatedHosts(Hosts):
    def __init__(self, simulation: Simulation, lookup: Lookup) -> None:
        self._simulation = simulation
        self._lookup = lookup

    async def facts(self, host: Host) -> Facts:
        there = self._reach(host)
        node = there.files.get("/etc/disco/node", File(""))
        return dataclasses.replace(
            EMPTY,
            os_version="12",
            cpus=4,
            memory_bytes=8 << 30,
            disk_free_bytes=50 << 30,
            boot_id=f"boot of {there.name}",
            machine_id=there.machine_id,
            ports=frozenset({6443, 2379, 2380} if self._serves(there) else ()),
            left=tuple(f for f in LEFT if f in there.files),
            ours=node.content.strip(),
        )

    def _serves(self, there: HostState) -> bool:
        return "kube-apiserver" in there.sandboxes or is_up(there, self._simulation.state.now)

    async def answers(self, host: Host) -> bool:
        try:
            self._reach(host)
        except DiscoError:
            return False
        return True

    async def satisfied(self, host: Host, actions: Iterable[HostAction]) -> frozenset[str]:
        there = self._reach(host)
        return frozenset(a.identity for a in actions if self._is(there, a))

    async def run(self, host: Host, argv: Sequence[str], within_s: float = 30.0) -> Result:
        raise self._simulation.refuse(f"nobody taught the simulation to read by {argv[0]}")

    def _reach(self, host: Host) -> HostState:
        there = self._simulation.state.reached(host.name, host.address)
        if there is None or not there.running:
            raise unreachable(host)
        if there.local:
            self._recognise(host, there)
        elif there.key and there.key != host.host_key:
            raise DiscoError("the server's host key is not the pinned one", where=host.name)
        return there

    def _recognise(self, host: Host, there: HostState) -> None:
        """The keys of both ends, as they were when the host was made."""
        pinned = host.host_key if isinstance(host.host_key, str) else self._lookup(host.host_key)
        if there.files["/etc/ssh/ssh_host_ed25519_key.pub"].content != pinned:
            raise self._simulation.refuse(f"the key of {host.name} is not the pinned one")

    def _is(self, there: HostState, action: HostAction) -> bool:
        try:
            return is_so(there, action, self._lookup, self._simulation)
        except NotThere:
            return False


def unreachable(host: Host) -> DiscoError:
    return DiscoError("the connection was lost or refused", where=host.name, retry=Retry.LIKELY)


def is_so(there: HostState, action: HostAction, lookup: Lookup, simulation: Simulation) -> bool:
    """Whether an action would change nothing."""
    match action:
        case Put():
            wanted = File(action.content.reveal(lookup), action.mode)
            return there.files.get(action.path) == wanted
        case Program():
            linked = all(there.links.get(n) == action.target for n in action.names)
            return action.target in there.files and linked
        case Images():
            has_ctr = there.is_active(CONTAINERD) and bool(action.images)
            return has_ctr and all(there.images.get(n) == d for n, d in action.images)
        case Unit():
            unit = there.units.get(action.unit, UnitState())
            runs = action.lent or (unit.enabled and unit.active)
            return runs and _started_with_what_it_reads(there, action, lookup)
        case Run():
            return bool(action.done) and scripts.probe(there, action.done, simulation)
        case Packages():
            return set(action.names) <= there.packages
        case AwaitHost():
            return _awaited(there, action, simulation)
    raise simulation.refuse(f"nobody taught the simulation to recognise {action.kind}")


def _started_with_what_it_reads(there: HostState, unit: Unit, lookup: Lookup) -> bool:
    stamp = there.files.get(unit.stamp)
    if stamp is None or stamp.content != f"{unit.config}\n":
        return False
    for reads in unit.reads:
        file = there.files.get(reads.path)
        if file is None or file.mode != reads.mode or file.written > stamp.written:
            return False
        if hashlib.sha256(file.content.encode()).hexdigest() != reads.digest(lookup):
            return False
    return True


def _awaited(there: HostState, action: AwaitHost, simulation: Simulation) -> bool:
    if action.test == "true":
        return True
    if "get --raw /readyz" in action.test:
        return is_up(there, simulation.state.now)
    raise simulation.refuse(f"nobody taught the simulation to wait until {action.what}")


class HostExecutors:
    """find: an artifact's file on this machine."""

    def __init__(self, simulation: Simulation, lookup: Lookup, find: Callable[[str], Path]) -> None:
        self._simulation, self._lookup, self._find = simulation, lookup, find

    async def put(self, action: Put, report: Report) -> None:
        there = self._simulation.host(action.host)
        content = action.content.reveal(self._lookup)
        there.files[f"{action.path}.disco-new"] = File(content[: len(content) // 2], 0o600)
        self._simulation.tick(f"while {action.path} is sent")
        del there.files[f"{action.path}.disco-new"]
        there.files[action.path] = File(content, action.mode, self._simulation.state.now)

    async def program(self, action: Program, report: Report) -> None:
        there = self._simulation.host(action.host)
        self._find(action.artifact)
        if action.sha256 != digest_of(action.artifact):
            raise self._simulation.refuse(f"{action.artifact} is not what the plan names")
        there.files[action.target] = File(action.sha256, 0o755)
        self._simulation.tick(f"after {action.artifact} was sent")
        for name in action.names:
            there.links[name] = action.target

    async def images(self, action: Images, report: Report) -> None:
        there = self._simulation.host(action.host)
        if not there.is_active(CONTAINERD):
            raise self._simulation.refuse(f"images for {there.name}, whose containerd is down")
        self._find(action.artifact)
        if dict(action.images) != images_of(catalogue(), action.artifact):
            raise self._simulation.refuse(f"{action.artifact} is not what the plan names")
        for name, digest in action.images:
            there.images[name] = digest
            self._simulation.tick(f"after {name} was imported")

    async def unit(self, action: Unit, report: Report) -> None:
        there = self._simulation.host(action.host)
        start = scripts.restart_lent if action.lent else scripts.start
        self._simulation.remotely(action.unit, start(there, action.unit, self._simulation))
        now = self._simulation.state.now
        there.files[action.stamp] = File(f"{action.config}\n", written=now)

    async def run(self, action: Run, report: Report) -> None:
        there = self._simulation.host(action.host)
        self._simulation.remotely(action.name, scripts.carry_out(there, action, self._simulation))

    async def packages(self, action: Packages, report: Report) -> None:
        there = self._simulation.host(action.host)
        for name in action.names:
            there.packages.add(name)
        self._simulation.tick("after packages were installed")

    async def await_host(self, action: AwaitHost, report: Report) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + action.within_s
        while loop.time() <= ends:
            there = self._simulation.state.hosts.get(action.host.name)
            if there and there.running and _awaited(there, action, self._simulation):
                return
            await asyncio.sleep(0.15)
        raise DiscoError(f"gave up waiting until {action.what}", where=action.host.name)
