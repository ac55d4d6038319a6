"""Local hosts without root: made, booted, stopped and removed in memory."""

from __future__ import annotations

from collections.abc import Sequence

from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.engine.secret import Lookup
from disco.nspawn.actions import (
    BootHost,
    MakeHost,
    MakeNetwork,
    RemoveHost,
    RemoveNetwork,
    StopHost,
)
from disco.nspawn.machine import Machine, Network
from disco.nspawn.reader import HostSeen, Nspawn, NspawnSeen
from sim.artifacts import NOWHERE
from sim.simulation import Simulation
from sim.state import ClusterState, File, HostState

# What the root file system of local hosts comes with; the rest of what nodes need is on top.
PACKAGES = frozenset(
    [
        "runc",
        "containernetworking-plugins",
        "conntrack",
        "iptables",
        "nftables",
        "ipset",
        "socat",
        "ethtool",
        "kmod",
    ]
)


class SimulatedNspawn(Nspawn):
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def seen(self, network: Network, machines: Sequence[Machine]) -> NspawnSeen:
        state = self._simulation.state
        asked = {m.name for m in machines}
        return NspawnSeen(
            network=network.bridge in state.networks,
            hosts=tuple(_seen(m, state.hosts.get(m.name)) for m in machines),
            others=tuple(sorted(n for n, h in state.hosts.items() if h.local and n not in asked)),
        )

    async def preflight(
        self, network: Network, machines: Sequence[Machine]
    ) -> tuple[DiscoError, ...]:
        return ()


def _seen(machine: Machine, there: HostState | None) -> HostSeen:
    if there is None:
        return HostSeen(machine.name, made=False, running=False)
    halves = () if there.running else tuple(there.halves)
    return HostSeen(machine.name, there.made, there.running, there.address, halves=halves)


class NspawnExecutors:
    def __init__(self, simulation: Simulation, lookup: Lookup) -> None:
        self._simulation, self._lookup = simulation, lookup

    async def make_network(self, action: MakeNetwork, report: Report) -> None:
        self._simulation.state.networks.add(action.network.bridge)
        self._simulation.tick("after the bridge was made")

    async def make(self, action: MakeHost, report: Report) -> None:
        state, machine = self._simulation.state, action.machine
        if action.base != str(NOWHERE / "rootfs") or "rootfs" not in state.held:
            raise self._simulation.refuse(f"there is no base file system at {action.base}")
        public = self._lookup(action.public)
        self._lookup(action.private)
        authorized = "".join(self._lookup(ref) for ref in action.authorized)
        there = state.hosts.setdefault(
            machine.name, HostState(machine.name, machine.address, local=True)
        )
        if there.made:
            return
        there.halves = ["unfinished copy"]
        self._simulation.tick("while the file system is copied")
        there.halves = []
        there.packages = set(PACKAGES)
        there.files = {
            "/etc/hosts": File(f"127.0.0.1 localhost\n{machine.address} {machine.name}\n"),
            "/etc/ssh/ssh_host_ed25519_key.pub": File(public),
            "/root/.ssh/authorized_keys": File(authorized, 0o600),
        }
        there.made, there.reinstalled = True, state.made[machine.name]
        state.made[machine.name] += 1
        self._simulation.tick("after the host was made")

    async def boot(self, action: BootHost, report: Report) -> None:
        state, machine = self._simulation.state, action.machine
        there = state.hosts.get(machine.name)
        if there is None or not there.made:
            raise self._simulation.refuse(f"{machine.name} is booted before it is made")
        if machine.network.bridge not in state.networks:
            raise self._simulation.refuse(f"{machine.name} is booted without its network")
        if there.running:
            return
        there.halves = ["network namespace", "cgroup"]
        self._simulation.tick("after the host was plugged in")
        self._start(there)
        self._simulation.tick("after the host was booted")

    def _start(self, there: HostState) -> None:
        """Enabled units start; pods start too, and a vault comes up sealed."""
        there.halves, there.running = [], True
        for unit in there.units.values():
            unit.active = unit.enabled
        if there.cluster:
            restart(there.cluster, self._simulation.state.now)

    async def stop(self, action: StopHost, report: Report) -> None:
        self._halt(action.machine)
        self._simulation.tick("after the host was stopped")

    def _halt(self, machine: Machine) -> None:
        there = self._simulation.state.hosts.get(machine.name)
        if there:
            there.running, there.halves = False, []
            for unit in there.units.values():
                unit.active = False

    async def remove(self, action: RemoveHost, report: Report) -> None:
        self._halt(action.machine)
        self._simulation.state.hosts.pop(action.machine.name, None)
        self._simulation.tick("after the host was removed")

    async def remove_network(self, action: RemoveNetwork, report: Report) -> None:
        on_it = [h.name for h in self._simulation.state.hosts.values() if h.local and h.running]
        if on_it:
            raise self._simulation.refuse(f"the network goes while {on_it} are plugged in")
        self._simulation.state.networks.discard(action.network.bridge)
        self._simulation.tick("after the bridge was removed")


def restart(cluster: ClusterState, now: float) -> None:
    """What a reboot of its machine does to a cluster."""
    cluster.up_at = now + 1.0
    for pod in cluster.vault.pods.values() if cluster.vault else ():
        pod.sealed, pod.stale = True, False
