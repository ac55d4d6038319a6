from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef
from disco.nspawn import root
from disco.nspawn.actions import MakeHost
from disco.nspawn.machine import Machine, Network
from dying import deaths

PRIVATE, PUBLIC = SecretRef("h1", "private"), SecretRef("h1", "public")
LOGIN = SecretRef("login", "public")
SECRETS = {PRIVATE: "-----PRIVATE-----", PUBLIC: "ssh-ed25519 AAAAhost h1", LOGIN: "ssh-rsa BBBB"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    top = tmp_path / "base"
    for folder in ("sbin", "etc/ssh", "root"):
        (top / folder).mkdir(parents=True)
    (top / "sbin/init").symlink_to("/lib/systemd/systemd")
    (top / "lib/systemd").mkdir(parents=True)
    (top / "usr/lib/systemd").mkdir(parents=True)
    (top / "usr/lib/systemd/systemd").write_text("init")
    (top / "etc/hostname").write_text("base")
    return top


@pytest.fixture
def make(tmp_path: Path, base: Path) -> MakeHost:
    network = Network("0a1b2c3d", "10.88.210.0/24", str(tmp_path / "hosts"))
    host = Machine(network, "h1", "10.88.210.11")
    return MakeHost(host, str(base), PRIVATE, PUBLIC, (LOGIN,))


def is_running(word: str) -> bool:
    """Whether a process has the word among its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes().split(b"\0"):
                return True
    return False


def carry_out(make: MakeHost) -> None:
    asyncio.run(root.make(make, lambda ref: SECRETS[ref], lambda note, share: None))


def test_a_host_gets_its_name_its_addresses_and_its_keys(make: MakeHost) -> None:
    carry_out(make)
    etc = make.machine.root / "etc"
    assert (etc / "hostname").read_text() == "h1\n"
    assert (etc / "hosts").read_text() == "127.0.0.1 localhost\n10.88.210.11 h1\n"
    assert (etc / "resolv.conf").read_text() == "nameserver 10.88.210.1\n"
    assert len((etc / "machine-id").read_text()) == 33
    assert (etc / "ssh/ssh_host_ed25519_key").read_text() == "-----PRIVATE-----\n"
    assert (etc / "ssh/ssh_host_ed25519_key.pub").read_text() == "ssh-ed25519 AAAAhost h1\n"
    authorized = make.machine.root / "root/.ssh/authorized_keys"
    assert authorized.read_text() == "ssh-rsa BBBB\n"


def test_nobody_else_can_read_the_keys(make: MakeHost) -> None:
    carry_out(make)
    key = make.machine.root / "etc/ssh/ssh_host_ed25519_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(make.machine.folder.stat().st_mode) == 0o700


def test_a_link_in_the_base_never_leads_out_of_the_host(
    make: MakeHost, base: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("untouched")
    (base / "etc/resolv.conf").symlink_to(precious)
    carry_out(make)
    assert precious.read_text() == "untouched"
    assert not (make.machine.root / "etc/resolv.conf").is_symlink()


def test_a_host_that_was_made_is_left_as_it_is(make: MakeHost) -> None:
    carry_out(make)
    (make.machine.root / "etc/hostname").write_text("changed since\n")
    carry_out(make)
    assert (make.machine.root / "etc/hostname").read_text() == "changed since\n"


def test_a_base_that_cannot_boot_is_refused(make: MakeHost, base: Path) -> None:
    (base / "sbin/init").unlink()
    (base / "usr/lib/systemd/systemd").unlink()
    with pytest.raises(DiscoError, match="no base file system"):
        carry_out(make)
    assert not make.machine.folder.exists()


def test_killed_at_any_point_it_is_made_by_the_next_run(make: MakeHost) -> None:
    points = 0
    for point in deaths(make, SECRETS):
        if make.machine.root.is_dir():
            assert (make.machine.root / "root/.ssh/authorized_keys").exists(), f"half at {point}"
        carry_out(make)
        assert (make.machine.root / "etc/hostname").read_text() == "h1\n"
        assert root.halves(make.machine) == []
        asyncio.run(root.remove(make.machine))
        points = point
    assert points >= 10


def test_the_copy_ends_with_the_one_who_wanted_it(make: MakeHost, base: Path) -> None:
    for number in range(2000):
        (base / f"etc/{number}").touch()
    child = os.fork()
    if child == 0:
        carry_out(make)
        os._exit(0)
    while not root.halves(make.machine):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (half,) = root.halves(make.machine)
    while is_running(str(half)):
        time.sleep(0.01)
    assert len(list(half.rglob("*"))) < 2000


def test_removal_leaves_nothing_and_can_be_repeated(make: MakeHost) -> None:
    carry_out(make)
    asyncio.run(root.remove(make.machine))
    assert not make.machine.folder.exists()
    asyncio.run(root.remove(make.machine))
