"""What makes a host unfit, named with the fix before anything is changed anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from disco.engine.errors import DiscoError
from disco.hosts.facts import Facts
from disco.hosts.host import Host

SUPPORTED = {"debian": 12.0, "ubuntu": 22.04}
CLOCK_S = 30.0
CPUS = 2
MEMORY_BYTES = 1_700 * 1024 * 1024  # what kubeadm asks for
DISK_BYTES = 5 * 1024**3
PORTS = {6443: "Kubernetes API", 2379: "etcd", 2380: "etcd", 10250: "kubelet", 10256: "kube-proxy"}


def unfit(host: Host, facts: Facts, stack: str) -> Iterator[DiscoError]:
    """One error for each reason why this host can't be used."""
    oldest = SUPPORTED.get(facts.os)
    if oldest is None or _version(facts.os_version) < oldest:
        yield _error(
            host,
            f"{facts.os} {facts.os_version} is not supported",
            "",
            "install Debian 12 or newer, or Ubuntu 22.04 or newer",
        )
    if facts.arch != "x86_64":
        yield _error(host, f"{facts.arch} is not supported", "", "use an x86_64 machine")
    if facts.init != "systemd":
        yield _error(host, "the init system is not systemd", facts.init, "boot it with systemd")
    if not facts.root:
        yield _error(host, "commands do not run as root", "", f"allow {host.user} sudo NOPASSWD")
    if abs(facts.clock_offset_s) > CLOCK_S:
        yield _error(
            host,
            f"the clock is {facts.clock_offset_s:+.0f} s off",
            f"more than {CLOCK_S:.0f} s breaks certificates and consensus",
            "timedatectl set-ntp true, or install chrony",
        )
    if facts.cpus < CPUS:
        yield _error(host, f"{facts.cpus} core(s)", f"Kubernetes needs {CPUS}", "take a bigger one")
    if facts.memory_bytes < MEMORY_BYTES:
        have = facts.memory_bytes // 1024**2
        yield _error(host, f"{have} MiB of memory", "Kubernetes needs 1700 MiB", "add memory")
    if facts.disk_free_bytes < DISK_BYTES:
        free = facts.disk_free_bytes / 1024**3
        yield _error(host, f"{free:.1f} GiB free on /", "5 GiB are needed", "free some space")
    yield from _taken(host, facts, stack)


def _taken(host: Host, facts: Facts, stack: str) -> Iterator[DiscoError]:
    if facts.ours == stack:
        return
    if facts.ours:
        yield _error(
            host,
            "the host belongs to another DISCO stack",
            facts.ours,
            "take it out of that stack first: disco down",
        )
        return
    if facts.left:
        yield _error(
            host,
            "an earlier Kubernetes is on the host",
            ", ".join(facts.left),
            "kubeadm reset (or k3s-uninstall.sh), then remove what is named",
        )
    for port in sorted(facts.ports & set(PORTS)):
        yield _error(
            host,
            f"port {port} is taken ({PORTS[port]})",
            "",
            f"ss -ltnp 'sport = :{port}' shows by whom",
        )


def _version(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _error(host: Host, what: str, why: str, fix: str) -> DiscoError:
    return DiscoError(what, where=f"{host.name} ({host.address})", why=why, fix=fix)
