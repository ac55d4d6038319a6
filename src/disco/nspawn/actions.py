"""What a plan may hold to get local hosts, and to get rid of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from disco.engine.action import Action
from disco.engine.secret import SecretRef
from disco.nspawn.launch import nspawn_argv
from disco.nspawn.machine import Machine, Network


@dataclass(frozen=True)
class MakeNetwork(Action):
    """The bridge that the hosts of a stack are plugged into."""

    kind: ClassVar[str] = "nspawn-network"
    network: Network

    @property
    def touches(self) -> str:
        return f"network {self.network.bridge}"

    def describe(self) -> str:
        return f"make the network {self.network.cidr} for local hosts ({self.network.bridge})"

    def command(self) -> str:
        bridge, address = self.network.bridge, self.network.interface(self.network.gateway)
        return (
            f"ip link add {bridge} type bridge && ip addr add {address} dev {bridge} && "
            f"ip link set {bridge} up"
        )


@dataclass(frozen=True)
class MakeHost(Action):
    """A host's root file system, not running yet.

    base:       a root file system to copy.
    private, public: the host's own SSH key.
    authorized: public keys that may log in as root.
    """

    kind: ClassVar[str] = "nspawn-make"
    machine: Machine
    base: str
    private: SecretRef
    public: SecretRef
    authorized: tuple[SecretRef, ...]

    @property
    def touches(self) -> str:
        return f"host {self.machine.name}"

    def describe(self) -> str:
        return f"make the local host {self.machine.name} ({self.machine.address})"

    def command(self) -> str:
        root = shlex.quote(str(self.machine.root))
        return f"cp -a {shlex.quote(self.base)} {root}  # then its name, address and SSH keys"


@dataclass(frozen=True)
class BootHost(Action):
    """Start a host that was made. It outlives the command that started it."""

    kind: ClassVar[str] = "nspawn-boot"
    machine: Machine

    @property
    def touches(self) -> str:
        return f"host {self.machine.name}"

    def describe(self) -> str:
        return f"boot the local host {self.machine.name}"

    def command(self) -> str:
        netns, link = self.machine.id, self.machine.link
        return (
            f"ip netns add {netns} && ip link add {link} type veth peer name eth0 netns {netns} && "
            f"{shlex.join(nspawn_argv(self.machine))} &"
        )


@dataclass(frozen=True)
class StopHost(Action):
    """Power a host off in order; what does not end is ended."""

    kind: ClassVar[str] = "nspawn-stop"
    machine: Machine

    @property
    def touches(self) -> str:
        return f"host {self.machine.name}"

    def describe(self) -> str:
        return f"power off the local host {self.machine.name}"

    def command(self) -> str:
        return f"pkill -TERM -f 'disco.nspawn.keeper .* {self.machine.id}$'"


@dataclass(frozen=True)
class RemoveHost(Action):
    """Power a host off and delete its file system."""

    kind: ClassVar[str] = "nspawn-remove"
    machine: Machine

    @property
    def touches(self) -> str:
        return f"host {self.machine.name}"

    def describe(self) -> str:
        return f"delete the local host {self.machine.name}"

    def command(self) -> str:
        return f"rm -rf --one-file-system {shlex.quote(str(self.machine.folder))}"

    @property
    def destroys(self) -> tuple[str, ...]:
        return (f"the local host {self.machine.name} with everything on its disk",)


@dataclass(frozen=True)
class RemoveNetwork(Action):
    """Remove the bridge, and put back the kernel settings that the hosts changed."""

    kind: ClassVar[str] = "nspawn-network-remove"
    network: Network

    @property
    def touches(self) -> str:
        return f"network {self.network.bridge}"

    def describe(self) -> str:
        return f"remove the network of the local hosts ({self.network.bridge})"

    def command(self) -> str:
        return f"ip link del {self.network.bridge}  # and sysctl -w what was noted down before"
