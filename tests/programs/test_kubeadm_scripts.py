"""The scripts around kubeadm, run for real: in a folder, with programs that act as kubeadm does.

Facts of kubeadm are those of its source, 1.36.3: `cmd/kubeadm/app/preflight/checks.go` for what it
refuses, `cmd/phases/reset/cleanupnode.go` for what it leaves.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from disco.hosts.actions import Run
from disco.hosts.host import Host
from disco.layers.cluster import kubeadm
from disco.layers.cluster.kubernetes import EMPTY

HOST = Host("h2", "192.0.2.12")
FOLDERS = ("/etc/kubernetes", "/var/lib/disco", "/var/lib/kubelet", "/var/log", "/run/disco")

# FAIL says where it is cut off: before or after the kubelet got its certificate.
KUBEADM = """
echo "kubeadm $1" >> "$TOP/said"
case $1 in
  reset) rm -rf "$ETC"; rm -f "$TOP/kubelet-runs"; exit 0 ;;
esac
for f in "$ETC/pki/ca.crt" "$ETC/bootstrap-kubelet.conf" "$ETC/kubelet.conf"; do
  [ ! -e "$f" ] || { echo "[ERROR FileAvailable]: $f already exists"; exit 1; }
done
[ ! -e "$TOP/kubelet-runs" ] || { echo "[ERROR Port-10250]: Port 10250 is in use"; exit 1; }
mkdir -p "$ETC/pki"; touch "$ETC/pki/ca.crt" "$ETC/bootstrap-kubelet.conf"
[ "$FAIL" != early ] || exit 1
touch "$TOP/kubelet-runs"
[ "$FAIL" != late ] || { rm "$ETC/bootstrap-kubelet.conf"; exit 1; }
mv "$ETC/bootstrap-kubelet.conf" "$ETC/kubelet.conf"
"""


class Node:
    """A folder that stands for a host's file system."""

    def __init__(self, top: Path) -> None:
        self.top, self.bin = top, top / "bin"
        self.bin.mkdir()
        self.program("kubeadm", KUBEADM)
        self.program("kubectl", "exit 1")
        self.program("systemctl", 'case "$*" in *is-active*) exit 3;; esac')

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, script: str, fail: str = "") -> subprocess.CompletedProcess[str]:
        for folder in FOLDERS:
            (self.top / folder[1:]).mkdir(parents=True, exist_ok=True)
            script = script.replace(folder, f"{self.top}{folder}")
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "TOP": str(self.top),
            "ETC": f"{self.top}/etc/kubernetes",
            "FAIL": fail,
        }
        return subprocess.run(
            ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60
        )

    @property
    def said(self) -> list[str]:
        file = self.top / "said"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def join() -> str:
    (run,) = (a for a in kubeadm.worker(HOST, EMPTY) if isinstance(a, Run))
    return run.argv[-1]


def test_a_node_that_joins_in_one_go_is_not_reset(node: Node) -> None:
    assert node.run(join()).returncode == 0
    assert node.run(join()).returncode == 0, "done already"
    assert node.said == ["kubeadm join"]


@pytest.mark.parametrize("cut_off", ["early", "late"])
def test_a_join_that_was_cut_off_before_the_kubelet_had_its_certificate_is_done_again(
    node: Node, cut_off: str
) -> None:
    """kubeadm refuses what is left of it: ca.crt, the kubelet's port, the bootstrap file."""
    assert node.run(join(), cut_off).returncode != 0
    done = node.run(join())
    assert done.returncode == 0, done.stderr
    assert node.said == ["kubeadm join", "kubeadm reset", "kubeadm join"]


def test_a_kubernetes_that_disco_did_not_begin_is_not_reset(node: Node) -> None:
    theirs = node.top / "etc/kubernetes/kubelet.conf"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    done = node.run(join())
    assert done.returncode != 0 and "DISCO did not make" in done.stderr
    assert theirs.exists() and node.said == []


SHIM = """
for child in sleep sleep; do $child 300 & done
wait
"""


class Shim:
    """A process whose program lies where ours are, with children, as a shim has a pod's."""

    def __init__(self, node: Node, folder: str) -> None:
        program = node.top / folder / "0123" / "containerd-shim-runc-v2"
        program.parent.mkdir(parents=True)
        shutil.copy(Path("/bin/sh").resolve(), program)
        self.process = subprocess.Popen([program, "-c", SHIM], start_new_session=True)
        self.children = self._children()

    def _children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        until = time.monotonic() + 10
        while len(found := path.read_text().split()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return [int(pid) for pid in found]

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def left(self) -> list[int]:
        """Children that run; one that was killed may need a moment."""
        until = time.monotonic() + 5
        while found := [pid for pid in self.children if _is_there(pid)]:
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        return found

    def end(self) -> None:
        for pid in (*self.children, self.process.pid):
            if _is_there(pid):
                os.kill(pid, 9)
        self.process.wait()


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def shims(node: Node) -> Iterator[tuple[Shim, Shim]]:
    """One of ours, and one of a containerd that the host has of its own."""
    found = Shim(node, "ours"), Shim(node, "theirs")
    yield found
    for one in found:
        one.end()


def test_pods_whose_containerd_is_gone_are_ended_and_those_of_another_one_are_not(
    node: Node, shims: tuple[Shim, Shim]
) -> None:
    ours, theirs = shims
    script = kubeadm.END_PODS.replace(kubeadm.SHIMS, f"{node.top}/ours/")
    assert script != kubeadm.END_PODS
    done = node.run(script)
    assert done.returncode == 0, done.stderr
    # It ends by itself when the end of its children is seen before its own comes.
    assert ours.process.wait(5) in (-9, 0) and ours.left() == []
    assert theirs.runs and theirs.left() == theirs.children


def test_networks_and_mounts_of_pods_go_and_those_of_others_stay(node: Node) -> None:
    """The network of a pod is named in its bundle; a host may have others of the same form."""
    bundle = "run/disco/containerd/io.containerd.runtime.v2.task/k8s.io/ab12"
    (node.top / bundle).mkdir(parents=True)
    spec = '{"linux":{"namespaces":[{"type":"network","path":"/var/run/netns/cni-0a1b-2c"}]}}'
    (node.top / bundle / "config.json").write_text(spec)
    node.program("ip", 'echo "ip $*" >> "$TOP/said"')
    node.program("umount", 'echo "umount $*" >> "$TOP/said"')
    mounts = node.top / "mounts"
    pod = f"{node.top}/var/lib/kubelet/pods/1/volumes/token"
    ours = [f"{node.top}/{bundle}", f"{node.top}/{bundle}/rootfs", pod]
    other = [f"{node.top}/var/lib/disco", f"{node.top}/var/lib/kubelet", "/mnt"]
    mounts.write_text("".join(f"x {path} tmpfs rw 0 0\n" for path in [*ours, *other]))
    script = kubeadm.END_PODS.replace(kubeadm.SHIMS, f"{node.top}/none/")
    done = node.run(script.replace("/proc/mounts", str(mounts)))
    assert done.returncode == 0, done.stderr
    assert node.said == [*(f"umount -l {m}" for m in sorted(ours, reverse=True)), NETNS_GONE]


NETNS_GONE = "ip netns del cni-0a1b-2c"


def test_leaving_starts_containerd_before_kubeadm_ends_pods_by_it_and_ends_what_is_left() -> None:
    (run,) = (a for a in kubeadm.leave(HOST) if isinstance(a, Run))
    script = run.argv[-1]
    order = ["systemctl start", "kubeadm reset", "disable --now", kubeadm.END_PODS, "rm -rf"]
    places = [script.index(text) for text in order]
    assert places == sorted(places)
    assert not re.search(r"^set -e", script, re.M), "one line that fails must not stop the rest"
