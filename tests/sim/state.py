"""What there is in the simulated world. It is data: it can be kept, compared and put back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sim.errors import SimulationError


@dataclass(frozen=True)
class File:
    """written: when, in seconds since the simulation began."""

    content: str
    mode: int = 0o644
    written: float = field(default=0.0, compare=False)


@dataclass
class UnitState:
    """stamp: what the unit file said when it was last started."""

    enabled: bool = False
    active: bool = False
    started_with: str = ""


@dataclass
class PodVault:
    """One pod of the vault.

    data_at: when its volume has (or will have) data; None: empty. up_at: when it answers.
    revision: what its StatefulSet said when it was started. given: shares since it is sealed.
    """

    data_at: float | None = None
    sealed: bool = True
    up_at: float = 0.0
    revision: str = ""
    given: list[str] = field(default_factory=list)


@dataclass
class VaultState:
    """What the vault holds, on the volumes of its pods together. keys: its shares, of which so
    many (threshold) open it. rotation: to other shares, under way in the memory of who leads."""

    pods: dict[int, PodVault] = field(default_factory=dict)
    root_token: str = ""
    keys: list[str] = field(default_factory=list)
    threshold: int = 1
    rotation: dict[str, Any] = field(default_factory=dict)
    mounts: dict[str, Any] = field(default_factory=dict)
    logins: dict[str, Any] = field(default_factory=dict)
    login_config: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)


@dataclass
class ClusterState:
    """What etcd on a control plane holds.

    ca:      the certificate of the authority that it was made with.
    up_at:   when its API answers.
    restarted: its host was, so that it was up before.
    nodes:   name -> when it joined. machines: name -> the machine's id that it joined with.
    orphans: names of nodes that are gone, whose DaemonSet's pods are still counted.
    objects: API path -> object.
    since:   API path of a workload -> when it was last changed.
    """

    ca: str
    up_at: float
    restarted: bool = False
    tokens: set[str] = field(default_factory=set)
    nodes: dict[str, float] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    cordoned: set[str] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    vault: VaultState | None = None


@dataclass
class HostState:
    """A machine. local: made by systemd-nspawn here; halves: what a cut-off make or boot left.

    key:       the public key that its sshd shows; empty for one that nobody pinned.
    sandboxes: pods that run, each held by a shim; they outlive their containerd.
    kubelet:   the version that its kubelet runs.
    """

    name: str
    address: str
    local: bool
    made: bool = False
    running: bool = False
    halves: list[str] = field(default_factory=list)
    packages: set[str] = field(default_factory=set)
    files: dict[str, File] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    cluster: ClusterState | None = None
    sandboxes: set[str] = field(default_factory=set)
    key: str = ""
    kubelet: str = "v1.36.3"
    reinstalled: int = 0

    @property
    def machine_id(self) -> str:
        return f"machine {self.name}.{self.reinstalled}"

    def is_active(self, unit: str) -> bool:
        return self.running and unit in self.units and self.units[unit].active

    def program(self, name: str) -> File | None:
        """The file that a path leads to, by one link."""
        return self.files.get(self.links.get(name, name))

    def text(self, path: str) -> str:
        """A file that something needs now; SimulationError when it is missing."""
        if path not in self.files:
            raise SimulationError(f"{path} is needed on {self.name} and is not there")
        return self.files[path].content


@dataclass
class State:
    """now: seconds since the simulation began. counts: what was done, and how often.
    made: how often each local host was; it is another machine each time.
    log: (run, step, action) as they were carried out."""

    now: float = 0.0
    hosts: dict[str, HostState] = field(default_factory=dict)
    networks: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    log: list[tuple[str, str, str]] = field(default_factory=list)

    def reached(self, name: str, address: str) -> HostState | None:
        """The machine that answers there; nearly always the one of that name."""
        there = self.hosts.get(name)
        return there if there and there.address == address else self.by_address(address)

    def by_address(self, address: str) -> HostState | None:
        found = (h for h in self.hosts.values() if h.address == address)
        return next(found, None)
