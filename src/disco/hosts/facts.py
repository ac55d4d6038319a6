"""What a host is and what is on it, asked in one round trip."""

from __future__ import annotations

import time
from dataclasses import dataclass

from disco.engine.errors import DiscoError

# One `key value` a line. Only what every Debian or Ubuntu has from the start is used.
SCRIPT = r"""
. /etc/os-release
echo "os $ID"
echo "os_version ${VERSION_ID:-}"
echo "arch $(uname -m)"
echo "kernel $(uname -r)"
echo "cpus $(nproc)"
echo "memory_kb $(awk '/^MemTotal:/ {print $2}' /proc/meminfo)"
echo "disk_free_kb $(df -Pk / | awk 'NR==2 {print $4}')"
echo "clock $(date +%s.%N)"
echo "boot_id $(cat /proc/sys/kernel/random/boot_id)"
echo "machine_id $(cat /etc/machine-id)"
echo "init $(cat /proc/1/comm)"
echo "uid $(id -u)"
[ -e /sys/fs/cgroup/cgroup.controllers ] && echo "cgroup 2" || echo "cgroup 1"
echo "caps $(awk '/^CapBnd:/ {print $2}' /proc/1/status)"
echo "swap_kb $(awk '/^SwapTotal:/ {print $2}' /proc/meminfo)"
for f in /etc/kubernetes/kubelet.conf /etc/kubernetes/admin.conf /var/lib/etcd/member \
         /usr/local/bin/k3s /var/lib/rancher /usr/local/bin/kubeadm \
         /usr/local/bin/kubelet /usr/local/bin/kubectl; do [ -e $f ] && echo "left $f"; done
[ -e /etc/disco/node ] && echo "ours $(cat /etc/disco/node)"
awk 'NR>1 && $4=="0A" {split($2,a,":"); print "port", a[2]}' /proc/net/tcp*
true
"""


@dataclass(frozen=True)
class Facts:
    """What a host says of itself. Sizes in bytes, clock offset in seconds (theirs minus ours)."""

    os: str
    os_version: str
    arch: str
    kernel: str
    cpus: int
    memory_bytes: int
    disk_free_bytes: int
    clock_offset_s: float
    boot_id: str
    machine_id: str
    init: str
    root: bool
    cgroup: int
    may_lower_oom_score: bool  # CAP_SYS_RESOURCE; a container may lack it
    swap_bytes: int
    ports: frozenset[int]
    left: tuple[str, ...]  # files that an earlier Kubernetes left
    ours: str  # what /etc/disco/node says; empty when the host is new to us


def parse(host: str, text: str, asked_at: float, answered_at: float | None = None) -> Facts:
    """Read SCRIPT's output. `asked_at`: Unix time when the question went out."""
    single: dict[str, str] = {}
    ports: set[int] = set()
    left: list[str] = []
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "port":
            ports.add(int(value, 16))
        elif key == "left":
            left.append(value)
        else:
            single[key] = value.strip()
    answered = time.time() if answered_at is None else answered_at
    try:
        return Facts(
            os=single["os"],
            os_version=single["os_version"],
            arch=single["arch"],
            kernel=single["kernel"],
            cpus=int(single["cpus"]),
            memory_bytes=int(single["memory_kb"]) * 1024,
            disk_free_bytes=int(single["disk_free_kb"]) * 1024,
            clock_offset_s=_offset(float(single["clock"]), asked_at, answered),
            boot_id=single["boot_id"],
            machine_id=single["machine_id"],
            init=single["init"],
            root=single["uid"] == "0",
            cgroup=int(single["cgroup"]),
            may_lower_oom_score=bool(int(single["caps"], 16) >> 24 & 1),
            swap_bytes=int(single["swap_kb"]) * 1024,
            ports=frozenset(ports),
            left=tuple(left),
            ours=single.get("ours", ""),
        )
    except (KeyError, ValueError) as error:
        raise DiscoError(
            "the host's answer about itself can't be read",
            where=host,
            why=f"{error!r} in: {text.strip()[:200]}",
            fix="only Linux with a POSIX shell, /proc and /etc/os-release is supported",
        ) from None


def _offset(clock: float, asked: float, answered: float) -> float:
    """Zero when their clock read something between question and answer."""
    if clock < asked:
        return clock - asked
    return max(0.0, clock - answered)
