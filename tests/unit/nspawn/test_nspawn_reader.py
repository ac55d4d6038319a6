from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError, Exit
from disco.nspawn import reader
from disco.nspawn.machine import Machine, Network
from disco.nspawn.reader import Nspawn

needs_ip = pytest.mark.skipif(not shutil.which("ip"), reason="iproute2 is not installed")


def network(tmp_path: Path, cidr: str = "10.88.210.0/24") -> Network:
    return Network("0a1b2c3d", cidr, str(tmp_path / "hosts"))


def machine(net: Network) -> Machine:
    return Machine(net, "h1", str(net.addresses[11]))


async def preflight(net: Network) -> dict[str, DiscoError]:
    return {error.what: error for error in await Nspawn().preflight(net, [machine(net)])}


async def test_an_empty_place_is_seen_as_empty(tmp_path: Path) -> None:
    net = network(tmp_path)
    seen = await Nspawn().seen(net, [machine(net)])
    assert not seen.network
    assert seen.host("h1") == reader.HostSeen("h1", made=False, running=False)
    assert seen.others == ()


async def test_an_unfinished_copy_is_a_half_and_no_host(tmp_path: Path) -> None:
    net = network(tmp_path)
    (machine(net).folder / ".root.1234abcd").mkdir(parents=True)
    seen = (await Nspawn().seen(net, [machine(net)])).host("h1")
    assert not seen.made
    assert seen.halves == ("unfinished copy .root.1234abcd",)


async def test_a_host_that_was_not_asked_for_is_named(tmp_path: Path) -> None:
    net = network(tmp_path)
    (tmp_path / "hosts/old/root").mkdir(parents=True)
    (tmp_path / "hosts/notes").mkdir()
    assert (await Nspawn().seen(net, [machine(net)])).others == ("old",)


@needs_ip
async def test_a_network_that_this_machine_has_is_refused(tmp_path: Path) -> None:
    found = await preflight(network(tmp_path, "127.5.0.0/24"))
    error = found["the network 127.5.0.0/24 of the local hosts is taken"]
    assert "127.0.0.0/8 on lo" in error.why
    assert error.exit is Exit.WRONG_USE


@needs_ip
async def test_a_free_network_is_not_refused(tmp_path: Path) -> None:
    found = await preflight(network(tmp_path, "198.51.100.0/24"))
    assert not [what for what in found if "taken" in what]


async def test_another_user_than_root_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo" in (await preflight(network(tmp_path)))["local hosts need root"].fix


async def test_missing_programs_name_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await preflight(network(tmp_path))
    assert "systemd-container" in found["the program systemd-nspawn is missing on this machine"].fix
    assert "iproute2" in found["the program ip is missing on this machine"].fix


async def test_a_full_disk_is_told_with_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "HOST_MB", 10**12)
    error = (await preflight(network(tmp_path)))["not enough space for 1 local host"]
    assert "MB are free" in error.why


async def test_hosts_that_are_there_need_no_more_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "HOST_MB", 10**12)
    net = network(tmp_path)
    machine(net).root.mkdir(parents=True)
    assert not [what for what in await preflight(net) if "space" in what]


def test_a_stack_that_was_never_here_left_nothing() -> None:
    assert reader.leftovers("00000000") == []


@needs_ip
@pytest.mark.skipif(os.geteuid() != 0, reason="making a bridge needs root")
def test_a_bridge_that_has_no_address_yet_is_half_a_network(tmp_path: Path) -> None:
    """A run that was killed while it made the network left one."""
    net = network(tmp_path)
    net.record.parent.mkdir(parents=True)
    net.record.write_text("{}")
    subprocess.run(["ip", "link", "add", net.bridge, "type", "bridge"], check=True)
    try:
        seen = asyncio.run(Nspawn().seen(net, [machine(net)]))
    finally:
        subprocess.run(["ip", "link", "del", net.bridge], check=True)
    assert (seen.network, seen.half_network) == (False, True)
