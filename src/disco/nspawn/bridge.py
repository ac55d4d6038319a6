"""The network that the hosts of a stack are plugged into."""

from __future__ import annotations

from pathlib import Path

from disco.engine.errors import DiscoError
from disco.nspawn import boot, cgroups, running, shared
from disco.nspawn.machine import Machine, Network, link_prefix_of, prefix_of
from disco.nspawn.outside import run

LINKS = Path("/sys/class/net")
NETNS = Path("/run/netns")


async def make(network: Network) -> None:
    """Repeating it changes nothing, and completes what is half there."""
    shared.borrow(network)
    if not (LINKS / network.bridge).exists():
        await run(["ip", "link", "add", network.bridge, "address", network.mac, "type", "bridge"])
    address = network.interface(network.gateway)
    batch = f"addr replace {address} dev {network.bridge}\nlink set {network.bridge} up\n"
    await run(["ip", "-batch", "-"], stdin=batch)


async def remove(network: Network) -> None:
    """And everything else of the stack outside of its folder. Refused while a host runs."""
    for machine in strangers(network):
        now = running.read(machine)
        if now and now.has_keeper:
            raise DiscoError(
                f"the local host {machine.name} still runs",
                where=network.bridge,
                fix="stop the hosts before their network is removed",
            )
        await boot.clear(machine)
    for link in ports(network):
        await run(["ip", "link", "del", link])
    if (LINKS / network.bridge).exists():
        await run(["ip", "link", "del", network.bridge])
    await shared.give_back(network)
    network.record.unlink(missing_ok=True)
    shared.remove_if_empty(Path(network.folder))


def strangers(network: Network) -> list[Machine]:
    """Hosts that something is left of, by their names, whether the stack knows them or not."""
    prefix = prefix_of(network.id)
    names = {path.name for path in NETNS.glob(f"{prefix}*")}
    names |= {path.name for path in cgroups.named(prefix)}
    names |= {prefix + path.parent.name for path in Path(network.folder).glob("*/running.json")}
    address = network.gateway  # theirs is not known and does not matter here
    return [Machine(network, name.removeprefix(prefix), address) for name in sorted(names)]


def ports(network: Network) -> list[str]:
    found = (LINKS / network.bridge / "brif").glob(f"{link_prefix_of(network.id)}*")
    return sorted(path.name for path in found)
