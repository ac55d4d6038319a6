"""What only the nodes themselves can tell: units, kernel settings, the way to the API, etcd, and
how long certificates last."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509

from disco.checks.counted import counted
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.layers.cluster.node import API_NAME, API_PORT, CONTAINERD, SYSCTLS

if TYPE_CHECKING:
    from disco.layers.cluster.kubernetes import Kubernetes

UNITS = (CONTAINERD, "kubelet.service", "disco-apiproxy.service")
CERTIFICATE_DAYS = 30
PKI = "/etc/kubernetes/pki"
ETCDCTL = (
    "etcdctl --endpoints=https://127.0.0.1:2379 -w json --command-timeout=5s "
    f"--cacert={PKI}/etcd/ca.crt --cert={PKI}/etcd/healthcheck-client.crt "
    f"--key={PKI}/etcd/healthcheck-client.key"
)
# Only certificates are read, also of files that hold a key beside it.
CERTIFICATES = f"""
for f in {PKI}/*.crt {PKI}/etcd/*.crt /var/lib/kubelet/pki/kubelet-client-current.pem; do
  [ -e "$f" ] && echo "file $f" && sed -n '/BEGIN CERT/,/END CERT/p' "$f"
done
for f in /etc/kubernetes/*.conf; do
  c=$(sed -n 's/.*client-certificate-data: *//p' "$f" 2>/dev/null)
  [ -n "$c" ] && echo "file $f" && echo "$c" | base64 -d
done
true
"""
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
API_WAY = (
    f"kubectl --kubeconfig /etc/kubernetes/kubelet.conf --server https://{API_NAME}:{API_PORT} "
    "--request-timeout=5s get --raw /readyz 2>&1"
)
Judge = Callable[[str], str]
Ask = Callable[[], Awaitable[Answer]]


def node_checks(component: Kubernetes, world: World) -> Iterator[Check]:
    """Five questions over SSH."""
    hosts, planes = component.servers.hosts, (component.control_plane,)

    def asked(command: str, judge: Judge, things: str, shown: str) -> Ask:
        async def ask() -> Answer:
            told = await _run_on(world[Hosts], hosts, command)
            return counted({n: _judged(t, judge) for n, t in told.items()}, things, shown)

        return ask

    yield Check(
        "cluster/units",
        "Do containerd, the kubelet and the way to the API run on every node?",
        "systemctl status UNIT and journalctl -u UNIT on that node; systemctl restart UNIT",
        asked(
            f"systemctl is-active {' '.join(UNITS)}", inactive, "nodes run them", ", ".join(UNITS)
        ),
    )
    yield Check(
        "cluster/sysctls",
        "Has every node the kernel settings that pods need?",
        "sysctl -p /etc/sysctl.d/90-disco.conf on that node, or disco apply",
        asked(
            f"sysctl {' '.join(wanted_sysctls())}",
            other_sysctls,
            "nodes have them",
            " ".join(SYSCTLS.split()),
        ),
    )
    yield Check(
        "cluster/api-ways",
        "Does every node reach an API server by its own proxy?",
        "systemctl restart disco-apiproxy on that node; /etc/disco/api-backends lists the API "
        "servers, and they must be reachable there on port 6443",
        asked(API_WAY, _not_ok, "nodes reach it", f"https://{API_NAME}:{API_PORT}"),
    )
    yield Check(
        "cluster/etcd",
        "Is every member of etcd healthy, with a leader and no alarm?",
        "on the control plane: journalctl -u kubelet, /var/log/pods/kube-system_etcd-*; a member "
        "that is gone for good: etcdctl member remove ID; out of space: etcdctl defrag, then "
        "etcdctl alarm disarm",
        lambda: _etcd(world[Hosts], planes[0]),
    )
    yield Check(
        "cluster/certificates",
        f"Do all certificates of the cluster last {CERTIFICATE_DAYS} days and longer?",
        "kubeadm certs renew all on each control plane, then restart its four pods; the "
        "kubelet's is renewed by itself: systemctl restart kubelet",
        lambda: _certificates(world[Hosts], hosts),
    )


async def _run_on(reader: Hosts, hosts: tuple[Host, ...], command: str) -> dict[str, str]:
    """What a command prints on each host; `error: …` when the host can't be asked."""

    async def one(host: Host) -> str:
        try:
            return (await reader.run(host, ["sh", "-c", command], within_s=15)).out
        except DiscoError as error:
            return f"error: {error.what} {error.why}"

    found = await asyncio.gather(*(one(h) for h in hosts))
    return {h.name: text for h, text in zip(hosts, found, strict=True)}


def _judged(told: str, judge: Judge) -> str:
    return told.removeprefix("error: ").strip() if told.startswith("error: ") else judge(told)


def inactive(told: str) -> str:
    """`systemctl is-active` prints one state a unit."""
    states = dict(zip(UNITS, [*told.split(), *["unknown"] * len(UNITS)], strict=False))
    return ", ".join(f"{unit} is {state}" for unit, state in states.items() if state != "active")


def wanted_sysctls() -> dict[str, str]:
    return dict(line.split("=", 1) for line in SYSCTLS.split())


def other_sysctls(told: str) -> str:
    found = dict(line.split(" = ", 1) for line in told.splitlines() if " = " in line)
    return ", ".join(
        f"{key} is {found.get(key, 'not there')}, not {value}"
        for key, value in wanted_sysctls().items()
        if found.get(key) != value
    )


def _not_ok(told: str) -> str:
    return "" if told.strip() == "ok" else " ".join(told.split())[-200:] or "no answer"


async def _etcd(reader: Hosts, host: Host) -> Answer:
    parts = ("member list", "endpoint health --cluster", "endpoint status --cluster", "alarm list")
    script = "; ".join(f"{ETCDCTL} {part} 2>&1; echo ===" for part in parts)
    done = await reader.run(host, ["sh", "-c", script], within_s=25)
    return etcd(*done.out.split("===\n")[:4])


def etcd(members: str, health: str, status: str, alarms: str) -> Answer:
    """Each is what etcdctl prints with `-w json`."""
    listed = _json(members)
    if not isinstance(listed, dict) or not listed.get("members"):
        return Answer(False, f"etcd does not tell its members: {' '.join(members.split())[-200:]}")
    healthy = {h["endpoint"]: h["health"] for h in _json(health) or ()}
    states = {s["Endpoint"]: s["Status"] for s in _json(status) or ()}
    faults = {
        m.get("name") or f"member {m['ID']:x}": _unhealthy(m, healthy) for m in listed["members"]
    }
    leaders = {s["leader"] for s in states.values()} - {0}
    if len(leaders) != 1:
        faults["leader"] = f"{len(leaders)} instead of one"
    if raised := (_json(alarms) or {}).get("alarms"):
        faults["alarms"] = json.dumps(raised)
    names = {m["ID"]: m.get("name", "") for m in listed["members"]}
    leader = ", ".join(names.get(i, f"{i:x}") for i in leaders)
    size = max((s["dbSize"] for s in states.values()), default=0) / 2**20
    return counted(faults, "members healthy", f"leader {leader}, {size:.1f} MiB, no alarm")


def _unhealthy(member: dict[str, Any], healthy: dict[str, bool]) -> str:
    if not member.get("clientURLs"):
        return "has never started"
    if member.get("isLearner"):
        return "is a learner still"
    return "" if all(healthy.get(u) for u in member["clientURLs"]) else "is not healthy"


def _json(text: str) -> Any:
    """etcdctl prints warnings beside it."""
    for line in text.splitlines():
        if line[:1] in "[{":
            try:
                return json.loads(line)
            except ValueError:
                continue
    return None


async def _certificates(reader: Hosts, hosts: tuple[Host, ...]) -> Answer:
    told = await _run_on(reader, hosts, CERTIFICATES)
    return certificates(told, datetime.now(UTC))


def certificates(told: dict[str, str], now: datetime) -> Answer:
    """Of each host: `file PATH` lines, each before that file's certificates."""
    faults: dict[str, str] = {}
    days: dict[str, float] = {}
    for host, text in told.items():
        if text.startswith("error: ") or "file " not in text:
            faults[host] = text.removeprefix("error: ").strip() or "has no certificate at all"
        for path, ends in _ends(text):
            name = f"{host}:{path}"
            days[name] = (ends - now).total_seconds() / 86400
            faults[name] = f"ends in {days[name]:.0f} days" if days[name] < CERTIFICATE_DAYS else ""
    first = min(days, key=lambda name: days[name], default="")
    shown = f"the first to end is {first}, in {days[first]:.0f} days" if first else ""
    return counted(faults, "certificates last", shown)


def _ends(text: str) -> Iterator[tuple[str, datetime]]:
    for part in re.split(r"^file ", text, flags=re.MULTILINE)[1:]:
        path, _, rest = part.partition("\n")
        for pem in PEM.findall(rest):
            yield path, x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
