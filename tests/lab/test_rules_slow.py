"""Rules that wait for minutes on purpose: three servers on which all that they tell of is broken at
once, and stays so until each has fired. About twenty minutes, so only `make lab` runs it.

docs/how-to/alerts.md says of each rule how it was proven.
"""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest
from ruamel.yaml import YAML
from stack import UP_S, LabStack, lab_stack, until
from test_rules_fired import NOWHERE, firing, stopped_half_way
from tools import BUSYBOX, CHAIN, Json, Tools, pod

STACK = """\
name: lab-slow
servers: {provider: local, count: 3, network: 10.88.241.0/24}
kubernetes: {}
prometheus: {scrape_interval: 5s}
kube_state: {interval: 5s}
logs: {}
vault: {replicas: 3}
chains:
  akash:
    validators: 3
    stakes: [6_000_000_000, 2_500_000_000, 1_500_000_000]
    pace: relaxed
"""
# What an apply is for that is stopped half-way.
OTHERWISE = ("kube_state: {interval: 5s}", "kube_state: {interval: 6s}")
CUT_OFF = "validator-1"  # a quarter of the stake: blocks go on without it
CUT_VAULT = "openbao-2"
WITHIN_S = 22 * 60.0
PORTS = {"chain": 26656, "raft": 8201, "logs": 9428}
CLOSED = pod("lab-closed", ["sleep", "3600"], **{"prometheus.io/scrape": "true"})
EMPTY = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "lab-empty", "namespace": "default"},
    "spec": {"selector": {"lab": "none"}, "ports": [{"port": 80}]},
}
# Packets of one address with one port, both ways, before anything else looks at them.
CUT = """set -eu
nft add table inet {0}
for hook in prerouting output; do
  nft add chain inet {0} $hook "{{ type filter hook $hook priority -350; }}"
  nft add rule inet {0} $hook ip saddr {1} tcp dport {2} drop
  nft add rule inet {0} $hook ip saddr {1} tcp sport {2} drop
  nft add rule inet {0} $hook ip daddr {1} tcp dport {2} drop
  nft add rule inet {0} $hook ip daddr {1} tcp sport {2} drop
done
"""
Labels = Mapping[str, str]
FIRES: dict[str, Labels] = {
    "ApiServerErrors": {},
    "ChainFewPeers": {"namespace": CHAIN, "pod": CUT_OFF},
    "ChainNodeBehind": {"namespace": CHAIN, "pod": CUT_OFF},
    "ChainValidatorsMissing": {"namespace": CHAIN},
    "ContainersRestarting": {},
    "DiscoRunUnfinished": {},
    "HostDiskFilling": {"mountpoint": "/mnt/lab"},
    "LogsCollectorStuck": {},
    "LogsDiskNearlyFull": {"namespace": "logs"},
    "LogsStopped": {"namespace": "logs"},
    "NodesUnhealthy": {},
    "PodPending": {"namespace": "default", "pod": "lab-nowhere-0"},
    "ScrapeTargetDown": {"pod": "lab-closed"},
    "VaultUnhealthy": {"namespace": "vault"},
    "WorkloadShort": {"namespace": "default", "workload": "lab-nowhere"},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("slow"), STACK) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


@pytest.fixture(scope="module")
def t(stack: LabStack) -> Tools:
    return Tools(stack)


def test_what_stays_broken_for_minutes_is_told(t: Tools, tmp_path: Path) -> None:
    broke: dict[str, float] = {}
    fired: dict[str, float] = {}
    with contextlib.ExitStack() as mends:
        kubelet = break_all(t, broke, mends, tmp_path)

        def all_fired() -> bool:
            for name, labels in firing(t):
                if name in FIRES and FIRES[name].items() <= labels.items() and name not in fired:
                    fired[name] = time.monotonic() - broke[name]
                    print(f"{name}: fires {fired[name]:.0f} s after it broke")
            if "NodesUnhealthy" in fired:
                kubelet.close()  # before its pods are put elsewhere
            return fired.keys() == FIRES.keys()

        until("each has fired", all_fired, WITHIN_S, 5.0, lambda: sorted(FIRES.keys() - fired))


def break_all(
    t: Tools, broke: dict[str, float], mends: contextlib.ExitStack, folder: Path
) -> contextlib.ExitStack:
    """broke: gets when each began, by time.monotonic. What is given back starts the kubelet again
    that was stopped."""

    def now(*names: str) -> None:
        broke.update(dict.fromkeys(names, time.monotonic()))

    places = {p["metadata"]["name"]: p for p in t.get("-A", "pods")["items"]}
    home = {name: p["spec"]["nodeName"] for name, p in places.items()}
    ip = {name: p["status"]["podIP"] for name, p in places.items()}
    metrics = home["prometheus-0"]
    silent = next(h for h in ("h3", "h2") if h != metrics)

    t.apply(NOWHERE, CLOSED, EMPTY, crashing(metrics))
    now("PodPending", "WorkloadShort", "ScrapeTargetDown", "ContainersRestarting")
    full_disk(t, metrics, folder, mends)
    now("HostDiskFilling")
    full_store(t, home["logs-0"])
    now("LogsDiskNearlyFull")
    t.on_host(CUT.format("lab-chain", ip[CUT_OFF], PORTS["chain"]), home[CUT_OFF])
    now("ChainFewPeers", "ChainNodeBehind", "ChainValidatorsMissing")
    t.on_host(CUT.format("lab-vault", ip[CUT_VAULT], PORTS["raft"]), home[CUT_VAULT])
    now("VaultUnhealthy")
    store = t.get("-n", "logs", "service", "logs")["spec"]["clusterIP"]
    for host in ("h1", "h2", "h3"):  # not from Prometheus, which asks the pod
        t.on_host(CUT.format("lab-logs", store, PORTS["logs"]), host)
    now("LogsCollectorStuck", "LogsStopped")
    mends.enter_context(errors(t))
    now("ApiServerErrors")

    t.stack.file.write_text(STACK.replace(*OTHERWISE))
    stopped_half_way(t)
    now("DiscoRunUnfinished")
    t.on_host("systemctl stop kubelet", silent)
    now("NodesUnhealthy")
    kubelet = contextlib.ExitStack()
    kubelet.callback(t.on_host, "systemctl start kubelet", silent)
    mends.push(kubelet)
    return kubelet


def crashing(host: str) -> Json:
    """More containers than a node starts otherwise, and all end again and again."""
    names = [f"c{i}" for i in range(24)]
    one = {"image": BUSYBOX, "imagePullPolicy": "Never", "command": ["false"]}
    spec = {"nodeName": host, "containers": [{"name": n, **one} for n in names]}
    metadata = {"name": "lab-restarts", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def full_disk(t: Tools, host: str, folder: Path, mends: contextlib.ExitStack) -> None:
    """A small file system of the host's, that has no room left."""
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, timeout=60)
    found = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
    )
    device = found.stdout.strip()
    mends.callback(subprocess.run, ["losetup", "--detach", device], check=True, timeout=60)
    numbers = Path(device).stat().st_rdev
    node = f"b {os.major(numbers)} {os.minor(numbers)}"
    t.on_host(
        f"mkdir -p /mnt/lab && mknod /root/lab-disk {node} && mount /root/lab-disk /mnt/lab "
        "&& dd if=/dev/zero of=/mnt/lab/full bs=1M 2>/dev/null || [ -e /mnt/lab/full ]",
        host,
    )
    mends.callback(t.on_host, "umount /mnt/lab; rm -f /root/lab-disk", host)


def full_store(t: Tools, host: str) -> None:
    """The store of logs on a volume that has room for a tenth less."""
    claim = t.get("-n", "logs", "pvc", "data-logs-0")["spec"]["volumeName"]
    spec = t.get("pv", claim)["spec"]
    path = spec.get("hostPath", spec.get("local", {}))["path"]
    t.on_host(f"mount -t tmpfs -o size=200m,mode=0777 lab {path}", host)
    t.on_host(f"head -c 190000000 /dev/zero > {path}/full", host)
    t.kubectl("-n", "logs", "delete", "pod", "logs-0", "--wait=false")


@contextlib.contextmanager
def errors(t: Tools) -> Iterator[None]:
    """Ask the API server some times a second for what it can't give: 503."""
    path = "/api/v1/namespaces/default/services/lab-empty:80/proxy/"
    ends = threading.Event()
    with _client(t) as client:
        assert client.get(path).status_code == 503

        def ask() -> None:
            while not ends.wait(0.2):
                with contextlib.suppress(httpx2.TransportError):
                    client.get(path)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join(timeout=30)


def _client(t: Tools) -> httpx2.Client:
    """Who may do what `disco kubeconfig` lets."""
    config = YAML(typ="safe").load(Path(t.kubeconfig))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    pem = {k: base64.b64decode(v).decode() for k, v in {**cluster, **user}.items() if "-data" in k}
    trust = ssl.create_default_context(cadata=pem["certificate-authority-data"])
    file = t.stack.folder / "client.pem"
    file.touch(mode=0o600)
    file.write_text(pem["client-certificate-data"] + pem["client-key-data"])
    trust.load_cert_chain(str(file))
    return httpx2.Client(base_url=cluster["server"], verify=trust, trust_env=False, timeout=10)
