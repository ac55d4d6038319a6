"""The base file system: what is settled in it, its digest, and where its packages come from."""

import os
from pathlib import Path

import pytest

from disco.artifacts.apt import MIRROR_VARIABLE, AptSource, choose_mirror, read_sources
from disco.artifacts.catalogue import catalogue
from disco.artifacts.rootfs import check_machine, debootstrap_command, rootfs_key, settle
from disco.artifacts.tree import tree_digest
from disco.engine.errors import DiscoError

ONE_LINE = """# comment
deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian bookworm main contrib # trailing
deb-src http://one.example/debian bookworm main
"""
DEB822 = """Types: deb
# a comment between
URIs: http://two.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://src.example/debian
Suites: bookworm
Components: main
"""


def base(folder: Path, day: int) -> Path:
    """A file system as debootstrap leaves it, with what differs between two builds."""
    files = {
        "etc/shadow": f"root:*:{day}:0:99999:7:::\n",
        "etc/shadow-": f"{day}",
        "etc/machine-id": f"{day}\n",
        "etc/hostname": f"builder{day}",
        "etc/ssh/ssh_host_ed25519_key": f"{day}",
        "var/log/dpkg.log": f"{day}",
        "var/log/journal/keep/system.journal": f"{day}",
        "var/cache/ldconfig/aux-cache": f"{day}",
        "var/lib/dpkg/status-old": f"{day}",
        "var/lib/systemd/random-seed": f"{day}",
        "var/cache/apt/archives/x.deb": f"{day}",
        "usr/lib/python3/__pycache__/x.pyc": f"{day}",
        "usr/bin/tool": "tool",
        "var/lib/dpkg/status": "Package: tool",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_two_builds_settle_to_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for day in (1000, 2000):
        root = base(tmp_path / str(day), day)
        assert tree_digest(root) not in digests
        settle(root, masked=("getty.target",))
        digests.add(tree_digest(root))
    assert len(digests) == 1


def test_what_hosts_need_stays_and_is_added(tmp_path: Path) -> None:
    root = base(tmp_path / "root", 1)
    settle(root, masked=("getty.target",))
    assert (root / "usr/bin/tool").read_text() == "tool"
    assert (root / "var/lib/dpkg/status").exists()
    assert (root / "etc/machine-id").read_text() == ""
    assert not (root / "etc/hostname").exists()
    assert (root / "var/log/journal").is_dir()
    assert str((root / "opt/cni/bin").readlink()) == "/usr/lib/cni"
    assert str((root / "etc/systemd/system/getty.target").readlink()) == "/dev/null"
    assert str((root / "etc/alternatives/iptables").readlink()) == "/usr/sbin/iptables-nft"
    assert "DefaultTimeoutStopSec=8s" in (root / "etc/systemd/system.conf.d/stop.conf").read_text()


def test_no_password_has_to_be_changed_at_the_first_login(tmp_path: Path) -> None:
    root = base(tmp_path / "root", 5)
    settle(root)
    last_change = (root / "etc/shadow").read_text().split(":")[2]
    assert int(last_change) > 0


def test_settling_twice_changes_nothing(tmp_path: Path) -> None:
    root = base(tmp_path / "root", 5)
    settle(root)
    first = tree_digest(root)
    settle(root)
    assert tree_digest(root) == first


@pytest.mark.parametrize("change", ["content", "mode", "link", "name", "kind"])
def test_the_tree_digest_sees_every_change(tmp_path: Path, change: str) -> None:
    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to("file")
    before = tree_digest(tmp_path)
    os.utime(tmp_path / "file", (1, 1))
    assert tree_digest(tmp_path) == before
    if change == "content":
        (tmp_path / "file").write_text("b")
    elif change == "mode":
        (tmp_path / "file").chmod(0o600)
    elif change == "link":
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("other")
    elif change == "name":
        (tmp_path / "file").rename(tmp_path / "file2")
    else:
        (tmp_path / "file").unlink()
        (tmp_path / "file").mkdir()
    assert tree_digest(tmp_path) != before


def test_both_formats_of_apt_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert read_sources(tmp_path) == [
        AptSource("http://one.example/debian", ("bookworm",), ("main", "contrib"), "/k.gpg"),
        AptSource("http://two.example/debian", ("bookworm", "bookworm-updates"), ("main",)),
    ]


def test_the_mirror_is_the_one_this_machine_uses_for_the_release() -> None:
    other = AptSource("http://other.example/tools", ("stable",), ("main",))
    newer = AptSource("http://a.example/debian", ("trixie",), ("main",))
    exact = AptSource("http://b.example/archive", ("bookworm",), ("main",))
    assert choose_mirror([other, newer, exact], "bookworm", {}) == exact
    assert choose_mirror([other, newer], "bookworm", {}) == newer
    forced = {MIRROR_VARIABLE: "http://c.example/d/"}
    assert choose_mirror([exact], "bookworm", forced).uri == "http://c.example/d"


def test_a_machine_without_a_debian_mirror_is_told_what_to_set() -> None:
    with pytest.raises(DiscoError) as caught:
        choose_mirror([AptSource("http://x.example/ubuntu", ("noble",), ("main",))], "bookworm", {})
    assert MIRROR_VARIABLE in caught.value.fix


def test_a_machine_without_debootstrap_is_told_the_package(tmp_path: Path) -> None:
    with pytest.raises(DiscoError) as caught:
        check_machine(str(tmp_path))
    assert "apt-get install debootstrap" in caught.value.fix


def test_the_mirrors_signature_is_always_checked() -> None:
    command = debootstrap_command(catalogue().rootfs, "/r", "http://m", "/k.gpg")
    assert "--force-check-gpg" in command and "--keyring=/k.gpg" in command
    assert command[-3:] == ["bookworm", "/r", "http://m"]


def test_another_package_makes_another_file_system() -> None:
    spec = catalogue().rootfs
    more = spec.model_copy(update={"packages": (*spec.packages, "vim")})
    slower = spec.model_copy(update={"seconds": 1000.0})
    assert rootfs_key(more) != rootfs_key(spec) == rootfs_key(slower)
