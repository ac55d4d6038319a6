"""Existing servers over SSH: whatever is wrong with a host is named before anything is changed."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import pytest
from stack import LabStack, lab_stack

from disco.engine.secret import SecretRef
from disco.hosts.execute import APT
from disco.store.store import Store

SERVERS = """
name: bare
servers: {provider: local, count: 2, network: 10.88.215.0/24}
"""

# What a cluster puts on a host: files, units that run, links, mounts, listening ports.
LEFT = """
ls -d /etc/disco /opt/disco /var/lib/disco /var/lib/kubelet /var/lib/etcd /etc/kubernetes \\
  /run/disco /etc/cni/net.d/* /etc/containerd /var/lib/containerd/* 2>/dev/null
find /etc/systemd/system /usr/local /opt -newermt @0 | sort
systemctl show -p MainPID,ActiveState containerd
ls /usr/local/bin; systemctl list-units --state=running --no-legend 'kube*' 'disco*'
ip -br link | cut -d' ' -f1 | grep -vE '^(lo|eth0)'; grep -c disco /etc/hosts
mount | grep -E 'kubelet|containerd'
nft list ruleset | sed 's/counter packets.*//'; ipset list -n; ls /etc/sysctl.d /etc/modules-load.d;
sysctl net.ipv4.ip_forward net.bridge vm kernel.panic kernel.keys 2>/dev/null
cut -d: -f1 /etc/passwd
ss -ltnH | awk '{print $4}' | sed 's/^127.0.0.1:.*/loopback/' | sort
true
"""


class Bare:
    """Two bare hosts, and stack files that take them over SSH as if they were anybody's."""

    def __init__(self, stack: LabStack) -> None:
        self.stack = stack
        store = Store(stack.place)
        self.key = stack.file.parent / "login"
        self.key.write_text(store.lookup(SecretRef("servers/login", "private")))
        self.key.chmod(0o600)
        self.host_keys = {
            h: " ".join(store.lookup(SecretRef(f"servers/{h}/host-key", "public")).split()[:2])
            for h in ("h1", "h2")
        }
        self.addresses = {"h1": "10.88.215.11", "h2": "10.88.215.12"}

    def file(self, **changes: str) -> LabStack:
        """A stack with both hosts; `changes` replaces a field of h2."""
        folder = self.stack.file.parent / f"ssh-{time.monotonic_ns()}"
        folder.mkdir()
        lines = ["name: taken", "kubernetes: {}", "servers:", "  provider: ssh", "  hosts:"]
        for name in ("h1", "h2"):
            fields = {
                "name": name,
                "address": self.addresses[name],
                "key": str(self.key),
                "host_key": self.host_keys[name],
                **(changes if name == "h2" else {}),
            }
            lines.append("    - " + "\n      ".join(f"{k}: {v}" for k, v in fields.items()))
        (folder / "stack.yaml").write_text("\n".join(lines) + "\n")
        return LabStack("taken", folder / "stack.yaml")

    def on(self, host: str, command: str) -> str:
        known = self.stack.file.parent / "known_hosts"
        known.write_text("".join(f"{self.addresses[h]} {k}\n" for h, k in self.host_keys.items()))
        done = subprocess.run(
            [
                "ssh", "-i", str(self.key), "-o", f"UserKnownHostsFile={known}",
                "-o", "BatchMode=yes", f"root@{self.addresses[host]}", command,
            ],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    with lab_stack(tmp_path_factory.mktemp("bare"), SERVERS) as stack:
        stack.must("apply", "--yes", within_s=300)
        yield Bare(stack)


def refused(bare: Bare, stack: LabStack, *words: str) -> None:
    """The plan is refused, every word is in the message, and the hosts are as they were."""
    done = stack.disco("apply", "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in (*words, "fix:"):
        assert word in done.stderr, done.stderr
    for host in bare.addresses:
        assert bare.on(host, "ls /etc/disco /opt/disco 2>/dev/null || true") == ""


def test_good_hosts_are_planned(bare: Bare) -> None:
    plan = bare.file().must("plan")
    assert "containerd on h2" in plan


def test_a_host_that_can_not_be_reached_is_named(bare: Bare) -> None:
    refused(bare, bare.file(address="10.88.215.99"), "h2 (root@10.88.215.99:22)")


def test_a_wrong_host_key_is_named_and_never_accepted(bare: Bare) -> None:
    refused(bare, bare.file(host_key=bare.host_keys["h1"]), "h2", "host key")


def test_a_key_that_is_not_accepted_is_named(bare: Bare) -> None:
    other = bare.stack.file.parent / "other"
    if not other.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True
        )
    refused(bare, bare.file(key=str(other)), "h2", "does not accept the key")


def test_an_unsupported_system_is_named(bare: Bare) -> None:
    bare.on("h2", "cp -L /etc/os-release /root/kept && sed -i s/^ID=.*/ID=plan9/ /etc/os-release")
    try:
        refused(bare, bare.file(), "h2 (10.88.215.12)", "plan9")
    finally:
        bare.on("h2", "cat /root/kept > /etc/os-release; rm /root/kept")


def test_a_taken_port_is_named(bare: Bare) -> None:
    bare.on(
        "h2",
        "systemd-run -q --unit taken python3 -c 'import socket,time; s=socket.socket(); "
        's.bind(("0.0.0.0",10250)); s.listen(); time.sleep(300)\'; '
        "for i in $(seq 50); do ss -ltn | grep -q :10250 && break; sleep 0.1; done",
    )
    try:
        refused(bare, bare.file(), "h2", "port 10250 is taken (kubelet)")
    finally:
        bare.on("h2", "systemctl stop taken")


def test_what_an_earlier_kubernetes_left_is_named(bare: Bare) -> None:
    bare.on("h2", "mkdir -p /etc/kubernetes && touch /etc/kubernetes/kubelet.conf")
    try:
        refused(bare, bare.file(), "h2", "an earlier Kubernetes", "/etc/kubernetes/kubelet.conf")
    finally:
        bare.on("h2", "rm -r /etc/kubernetes")


def test_two_faults_are_told_at_once(bare: Bare) -> None:
    bare.on("h1", "mkdir -p /etc/kubernetes && touch /etc/kubernetes/admin.conf")
    try:
        refused(bare, bare.file(address="10.88.215.99"), "h1", "admin.conf", "10.88.215.99")
    finally:
        bare.on("h1", "rm -r /etc/kubernetes")


HOLD = """import fcntl, time
f = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(f, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(5)
"""


def test_somebody_elses_apt_is_waited_for(bare: Bare) -> None:
    bare.on("h2", f"systemd-run -q --unit=other python3 -c {shlex.quote(HOLD)}")
    script = shlex.quote(APT)
    begun = time.monotonic()
    bare.on("h2", f"sleep 1; sh -c {script} sh runc")
    assert time.monotonic() - begun > 4


def test_a_missing_host_key_says_how_to_get_one(bare: Bare) -> None:
    refused(bare, bare.file(host_key="''"), "h2", "no host key is pinned", "ssh-keyscan")


def test_a_cluster_stands_on_them_by_sudo_too_and_leaves_them_as_it_found_them(bare: Bare) -> None:
    bare.on(
        "h2",
        "useradd -m op && mkdir -m 700 ~op/.ssh && cp /root/.ssh/authorized_keys ~op/.ssh/ && "
        "chown -R op: ~op/.ssh && echo 'op ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/op",
    )
    before = {h: bare.on(h, LEFT) for h in bare.addresses}
    assert all("ActiveState=active" in b for b in before.values()), "Debian's containerd runs there"
    stack = bare.file(user="op")
    try:
        stack.must("up", "--yes", within_s=600)
        nodes = stack.must("kubectl", "--", "get", "nodes", "-o", "name").split()
        assert sorted(nodes) == ["node/h1", "node/h2"]
        assert "Nothing to do" in stack.disco("apply", "--yes").stderr
    finally:
        stack.must("down", "--yes", "--allow-destroy", within_s=300)
    after = {h: bare.on(h, LEFT) for h in bare.addresses}
    for host, was in before.items():
        changed = list(unified_diff(was.splitlines(), after[host].splitlines(), host, "after"))
        assert not changed, "\n".join(changed)


def test_files_of_the_test_are_private(bare: Bare) -> None:
    assert Path(bare.key).stat().st_mode & 0o077 == 0
