"""What a local host and its network are, and every name that is derived from them.

Things outside of the state folder (links, namespaces, cgroups) carry the stack's id in their
names, so that two stacks never meet and what is left of one can be found without its records.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{8}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_NETNS = Path("/run/netns")


def prefix_of(stack_id: str) -> str:
    """How the namespaces, cgroups and machines of a stack begin."""
    return f"disco-{stack_id}-"


def bridge_of(stack_id: str) -> str:
    return f"dsc{stack_id[:6]}"


def link_prefix_of(stack_id: str) -> str:
    return f"d{stack_id[:4]}-"


@dataclass(frozen=True)
class Network:
    """One bridge of one stack. The first address is this machine's own.

    id:     8 hex digits, `Place.id`.
    cidr:   for example `10.88.0.0/24`.
    folder: where the hosts of the stack are kept, `Place.hosts`.
    """

    id: str
    cidr: str
    folder: str

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"a stack id is 8 hex digits, not {self.id!r}")
        if self.addresses.num_addresses < 4:
            raise ValueError(f"{self.cidr} has no room for hosts")

    @property
    def addresses(self) -> IPv4Network:
        return IPv4Network(self.cidr)

    @property
    def gateway(self) -> str:
        return str(self.addresses[1])

    @property
    def bridge(self) -> str:
        return bridge_of(self.id)

    @property
    def mac(self) -> str:
        """Fixed: else it changes with the hosts that come and go, and neighbours lose it."""
        return _mac(self.id)

    @property
    def record(self) -> Path:
        """What this machine was like before the network was made."""
        return Path(self.folder) / "network.json"

    def interface(self, address: str) -> str:
        return str(IPv4Interface((address, self.addresses.prefixlen)))


@dataclass(frozen=True)
class Machine:
    """One host. Limits hold for everything in it together.

    name:      a DNS label of at most 40 characters.
    memory_mb: MiB; cpus: cores, may be a fraction. None: as much as there is.
    """

    network: Network
    name: str
    address: str
    memory_mb: int | None = None
    cpus: float | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"not a host name of at most 40 characters: {self.name!r}")
        if IPv4Address(self.address) not in self.network.addresses:
            raise ValueError(f"{self.address} is not in {self.network.cidr}")

    @property
    def id(self) -> str:
        """Its network namespace, cgroup and nspawn machine are called so."""
        return prefix_of(self.network.id) + self.name

    @property
    def netns(self) -> Path:
        return _NETNS / self.id

    @property
    def link(self) -> str:
        """The outer end of its cable; the kernel allows 15 characters."""
        prefix = link_prefix_of(self.network.id)
        if len(prefix) + len(self.name) <= 15:
            return prefix + self.name
        return f"{prefix}{self.name[:3]}_{_hash(self.name)[:5]}"

    @property
    def mac(self) -> str:
        """The same after every boot, so that neighbours need not learn a new one."""
        return _mac(self.id)

    @property
    def folder(self) -> Path:
        return Path(self.network.folder) / self.name

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def orders(self) -> Path:
        """What the keeper is to run."""
        return self.folder / "keeper.json"

    @property
    def running(self) -> Path:
        """What the keeper tells of itself."""
        return self.folder / "running.json"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _mac(text: str) -> str:
    """A locally administered address."""
    digits = _hash(text)
    return ":".join(["02", *(digits[i : i + 2] for i in range(0, 10, 2))])
