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
    closed: on purpose, until it starts anew.
    mounted: the certificate in its volume; shows: the one that it has read. Empty: it has no TLS.
    stale: it is unsealed with keys that the vault has no more, and leads nobody.
    """

    data_at: float | None = None
    sealed: bool = True
    up_at: float = 0.0
    revision: str = ""
    mounted: str = ""
    shows: str = ""
    stale: bool = False
    given: list[str] = field(default_factory=list)
    closed: bool = False


@dataclass
class VaultState:
    """What the vault holds, on the volumes of its pods together. keys: its shares, of which so
    many (threshold) open it. rotation: to other shares, under way in the memory of who leads.
    role: DISCO's own, of the login `approle`: its two halves. revoked: the root token is.
    attempt: at a root token, under way in the same memory. tokens: root tokens besides the first,
    each with when it ends. keys_inside: of its transit engine. inner: the certificate of the
    authority inside, and what it signs for whom. term: the number of the key that it
    writes with. lonely: whether a leader that lost all others still says that it leads."""

    pods: dict[int, PodVault] = field(default_factory=dict)
    root_token: str = ""
    revoked: bool = False
    role: dict[str, str] = field(default_factory=dict)
    role_limits: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    threshold: int = 1
    rotation: dict[str, Any] = field(default_factory=dict)
    attempt: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    term: int = 1
    mounts: dict[str, Any] = field(default_factory=dict)
    logins: dict[str, Any] = field(default_factory=dict)
    login_config: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    keys_inside: dict[str, Any] = field(default_factory=dict)
    inner: dict[str, Any] = field(default_factory=dict)
    lonely: bool = True


@dataclass
class ChainPod:
    """A pod that signs, or could. keyless: it leaves that to another. ends_at: it was asked to.

    told: what its first container said when it was done; refused: when it refused. began: the fence
    that a signer began with. spec: of the pod, as far as anybody reads it.
    """

    revision: str
    up_at: float
    keyless: bool
    kind: str
    ends_at: float = 0.0
    told: str | None = None
    refused: str = ""
    began: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)


@dataclass
class ChainVolume:
    """What such a pod keeps, as its first container left it. key: a validator's own is on it.
    height: that was signed last from a validator's home, as its program says, which forgets it
    without its key. going: its claim was deleted, and goes with the pod."""

    key: bool = False
    height: int = field(default=0, compare=False)  # it rises by itself
    files: dict[str, str] = field(default_factory=dict)
    going: bool = False


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
    uid:     of its first namespace. pods, volumes: `namespace/pod` -> of those that sign.
    signed:  `namespace/validator` -> the height that its key really signed last.
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
    uid: str = ""
    pods: dict[str, ChainPod] = field(default_factory=dict)
    volumes: dict[str, ChainVolume] = field(default_factory=dict)
    signed: dict[str, int] = field(default_factory=dict, compare=False)


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
    log: (run, step, action) as they were carried out.
    alerts: what Prometheus says of its alerts."""

    now: float = 0.0
    hosts: dict[str, HostState] = field(default_factory=dict)
    networks: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def reached(self, name: str, address: str) -> HostState | None:
        """The machine that answers there; nearly always the one of that name."""
        there = self.hosts.get(name)
        return there if there and there.address == address else self.by_address(address)

    def by_address(self, address: str) -> HostState | None:
        found = (h for h in self.hosts.values() if h.address == address)
        return next(found, None)
