from __future__ import annotations

import dataclasses

import pytest

from disco.nspawn.machine import Machine, Network

NETWORK = Network("0a1b2c3d", "10.88.210.0/24", "/state/hosts")


def machine(name: str, network: Network = NETWORK) -> Machine:
    return Machine(network, name, "10.88.210.11")


def test_every_outside_name_carries_the_stacks_id() -> None:
    host = machine("h1")
    assert NETWORK.bridge == "dsc0a1b2c"
    assert host.id == "disco-0a1b2c3d-h1"
    assert str(host.netns) == "/run/netns/disco-0a1b2c3d-h1"
    assert host.link == "d0a1b-h1"


def test_two_stacks_with_the_same_host_share_no_name() -> None:
    other = machine("h1", dataclasses.replace(NETWORK, id="ffffffff", folder="/other"))
    mine = machine("h1")
    for name in ("id", "netns", "link", "mac", "folder", "root"):
        assert getattr(mine, name) != getattr(other, name), name
    assert NETWORK.bridge != other.network.bridge


def test_long_names_get_links_that_fit_the_kernel_and_stay_apart() -> None:
    links = {machine(f"control-plane-{i}").link for i in range(1, 21)}
    assert len(links) == 20
    assert all(len(link) <= 15 for link in links)


def test_the_longest_allowed_name_makes_a_valid_machine_name() -> None:
    assert len(machine("a" * 40).id) <= 64


def test_the_first_address_is_this_machines_own() -> None:
    assert NETWORK.gateway == "10.88.210.1"
    assert NETWORK.interface("10.88.210.11") == "10.88.210.11/24"


def test_mac_addresses_are_local_unicast_and_stable() -> None:
    first, again = machine("h1").mac, machine("h1").mac
    assert first == again != machine("h2").mac
    assert int(first.split(":")[0], 16) & 0b11 == 0b10


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "../x", "a" * 41, "a\n"])
def test_a_name_that_is_no_dns_label_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        machine(name)


def test_an_address_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.1\.1\.1 is not in"):
        Machine(NETWORK, "h1", "10.1.1.1")


@pytest.mark.parametrize(
    ("stack_id", "cidr"), [("xyz", "10.0.0.0/24"), ("0a1b2c3d", "10.0.0.0/31")]
)
def test_an_impossible_network_is_refused(stack_id: str, cidr: str) -> None:
    with pytest.raises(ValueError, match=r"hex digits|no room"):
        Network(stack_id, cidr, "/state/hosts")
