"""Trouble on the host and with the identity of the chain that runs there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import until
from tools import BIG, CHAIN, HEALTHCHECK, SMALL, Json, Tools

from disco.chains import lease as leases
from disco.chains.genesis import genesis_name
from disco.engine.secret import SecretRef
from disco.store.certificates import client_certificate

GENESIS = genesis_name("akash")


@contextmanager
def fresh_trouble_on_the_host(t: Tools) -> Iterator[None]:
    """A wrong clock and little memory (all hosts share one kernel, so the host's `date` and its
    /proc/meminfo lie), a full disk, a failed unit, a due restart, a changed sysctl, a certificate
    near its end, no way to the API; a key used twice and leased to another cluster, and another
    genesis kept."""
    ca = t.store.fields("kubernetes/etcd-ca")
    crt, key = client_certificate(ca["crt"], ca["key"], "lab", ["lab"], 10)
    was = {suffix: (t.root / f"{HEALTHCHECK}.{suffix}").read_text() for suffix in ("crt", "key")}
    kept = t.store.kept(GENESIS)
    assert kept is not None
    another = json.dumps({**json.loads(kept), "initial_height": "2"}).encode()
    twin = _twin(t)
    key_of_small = t.store.lookup(SecretRef(f"chains/{CHAIN}/{SMALL}/validator", "address"))
    path = leases.path_of(key_of_small)
    lease = t.store.shelf.file(path)
    assert lease is not None
    elsewhere = {**json.loads(lease), "cluster": "elsewhere"}
    try:
        t.apply(twin)
        until("the twin answers", lambda: _answers(t, "twin"), 90)
        _write(t.root / f"{HEALTHCHECK}.crt", crt)
        _write(t.root / f"{HEALTHCHECK}.key", key)
        t.store.keep(GENESIS, another)
        t.store.shelf.write("Lease it to others", files={path: json.dumps(elsewhere).encode()})
        t.on_host(BREAK_HOST)
        yield
    finally:
        t.store.keep(GENESIS, kept)
        t.store.shelf.write("Lease it as it was", files={path: lease})
        t.on_host(MEND_HOST)
        for suffix, text in was.items():
            _write(t.root / f"{HEALTHCHECK}.{suffix}", text)
        t.kubectl("-n", CHAIN, "delete", "pod", "twin", "--now")


BREAK_HOST = """set -eu
printf '#!/bin/sh\\nexec /bin/date -d "+40 seconds" "$@"\\n' > /usr/local/bin/date
chmod +x /usr/local/bin/date
sed 's/^MemAvailable:.*/MemAvailable: 120000 kB/' /proc/meminfo > /run/lab-meminfo
mount --bind /run/lab-meminfo /proc/meminfo
mount -t tmpfs -o size=1m lab-full /var/log
head -c 2m /dev/zero > /var/log/full 2>/dev/null || true
touch /run/reboot-required
systemd-run -q --unit=lab-broken false
sysctl -qw net.bridge.bridge-nf-call-ip6tables=0
systemctl stop disco-apiproxy
"""
MEND_HOST = """umount -l /proc/meminfo; umount -l /var/log
rm -f /usr/local/bin/date /run/reboot-required /run/lab-meminfo
systemctl reset-failed lab-broken
sysctl -qw net.bridge.bridge-nf-call-ip6tables=1
systemctl start disco-apiproxy
"""


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def _twin(t: Tools) -> Json:
    """A second node with the first validator's key, that nobody knows: it makes a fork of its own,
    so that the real chain does not see it sign twice."""
    pod = t.get("-n", CHAIN, "pod", BIG)
    spec = pod["spec"]
    for key in ("hostname", "subdomain", "nodeSelector", "topologySpreadConstraints"):
        spec.pop(key, None)
    spec["volumes"] = [
        {"name": "home", "emptyDir": {}} if v["name"] == "home" else v for v in spec["volumes"]
    ]
    for container in [*spec["initContainers"], *spec["containers"]]:
        for variable in container["env"]:
            if variable["name"] == "POD":
                variable.pop("valueFrom")
                variable["value"] = BIG
            if variable["name"].endswith("_P2P_PERSISTENT_PEERS"):
                variable["value"] = ""
    labels = {"app.kubernetes.io/name": CHAIN}
    meta = {"name": "twin", "namespace": CHAIN, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _answers(t: Tools, pod: str) -> bool:
    try:
        return "node_info" in t.rpc(pod, "status")
    except AssertionError:
        return False


@contextmanager
def another_chain_declared(t: Tools) -> Iterator[None]:
    """What runs is not changed: the stack file says something else."""
    yield


def other_file(t: Tools) -> Path:
    """The same stack with a definition of the chain that has another chain id."""
    import disco.chains

    definition = (Path(disco.chains.__file__).parent / "akash.yaml").read_text()
    other = t.stack.folder / "other-chain.yaml"
    other.write_text(definition.replace("disco-local-1", "disco-other-1"))
    file = t.stack.folder / "other-stack.yaml"
    text = t.stack.file.read_text()
    file.write_text(text.replace("  akash:\n", f"  akash:\n    definition: {other}\n"))
    return file


@contextmanager
def nothing_answers(t: Tools) -> Iterator[None]:
    """No sshd, and an API server that is stopped in the middle of its work."""
    try:
        t.on_host("systemctl stop ssh.socket ssh.service; true")
        t.signal("kube-apiserver", "STOP")
        yield
    finally:
        t.signal("kube-apiserver", "CONT")
        t.on_host("systemctl start ssh.service")
