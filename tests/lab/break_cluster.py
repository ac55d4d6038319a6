"""Trouble in the cluster: strangers in it, parts of it missing, its pods cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from stack import until
from tools import BIG, CHAIN, HEALTHCHECK, SMALL, Tools, pod

from disco.layers.platform.openbao import AUTHORITY, CERTIFICATE, HOSTS, SETUP, OpenBao
from disco.layers.platform.vault_access import POLICY, ROLE
from disco.layers.platform.vault_break_glass import GENERATE
from disco.store import certificates

PROBE_SECRET = "vault/probe"


@contextmanager
def strangers_in_the_cluster(t: Tools) -> Iterator[None]:
    """Objects that nobody declared: a node without a machine, an etcd member that never came, a
    second default class, a pod that crashes, releases that somebody else changed or left failed,
    no metrics-server, no scheduler; a vault that lets everybody in and is asked for a root token,
    another secret in the store, and a volume that goes with its pod."""
    secret, shown = t.store.fields(PROBE_SECRET), t.store.fields(CERTIFICATE)
    manifests = "/etc/kubernetes/manifests"
    member = ""
    try:
        t.apply(GHOST, SECOND_CLASS, CRASHING)
        t.kubectl("patch", "node", "ghost", "--subresource=status", "-p", json.dumps(GHOST_STATUS))
        member = t.on_host(
            f"{ETCDCTL} member add lab --learner --peer-urls=https://10.88.210.250:2380 "
            "| sed -n 's/^Member *\\([0-9a-f]*\\) added.*/\\1/p'"
        ).strip()
        for namespace, release in RELEASES:
            _touched(t, namespace, release)
        _failing_release(t)
        t.scale("kube-system", "deployment/metrics-server", 0)
        t.vault(_widen)
        t.store.put(CERTIFICATE, _other(t))
        t.store.put(PROBE_SECRET, {"value": "another"})
        t.signal("bao", "STOP", {"HOSTNAME": SMALL})  # an agent that runs puts back what is gone
        t.kubectl("-n", CHAIN, "exec", SMALL, "-c", "vault-agent", "--", "rm", "/vault/tls.pem")
        t.kubectl("-n", CHAIN, "delete", "pvc", f"home-{SMALL}", "--wait=false")
        t.on_host(f"mv {manifests}/kube-scheduler.yaml /etc/kubernetes/")
        t.gone("kube-system", "component=kube-scheduler")
        until("the pod crashes again", lambda: _crashing(t), 60)
        yield
    finally:
        t.on_host(f"mv /etc/kubernetes/kube-scheduler.yaml {manifests}/ || true")
        t.store.put(PROBE_SECRET, secret)
        t.store.put(CERTIFICATE, shown)
        if member:
            t.on_host(f"{ETCDCTL} member remove {member}")
        t.kubectl("delete", "node/ghost", "storageclass/lab-second", "pod/lab-crash", "--now")
        t.helm("uninstall", "lab-broken", "-n", "default")
        t.scale("kube-system", "deployment/metrics-server", 1)
        t.kubectl("-n", CHAIN, "delete", "pod", SMALL, "--now")
        t.stack.must("vault", "break-glass", "--end")
        t.stack.must("apply", "--yes", within_s=300)


ETCDCTL = (
    "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt "
    f"--cert=/{HEALTHCHECK}.crt --key=/{HEALTHCHECK}.key"
)
RELEASES = (
    ("kube-storage", "storage"),
    ("monitoring", "prometheus"),
    ("alerts", "alertmanager"),
    ("logs", "logs"),
    ("probes", "blackbox"),
    ("kube-state", "kube-state"),
    ("vault", "openbao"),
    ("akash", "akash"),
)
GHOST = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}}
GHOST_STATUS = {
    "status": {
        "nodeInfo": {
            "kubeletVersion": "v1.35.0",
            **dict.fromkeys(
                (
                    "machineID",
                    "systemUUID",
                    "bootID",
                    "kernelVersion",
                    "osImage",
                    "containerRuntimeVersion",
                    "kubeProxyVersion",
                    "operatingSystem",
                    "architecture",
                ),
                "",
            ),
        }
    }
}
SECOND_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "lab-second",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "lab/none",
}
CRASHING = pod("lab-crash", ["false"])


def _touched(t: Tools, namespace: str, release: str) -> None:
    """A revision of somebody else's that changes nothing: a pod that is replaced meanwhile would
    get a volume of the second default class."""
    seen = t.helm("status", release, "-n", namespace, "-o", "json")
    assert seen.returncode == 0, seen.stderr
    done = t.helm("rollback", release, str(json.loads(seen.stdout)["version"]), "-n", namespace)
    assert done.returncode == 0, done.stderr


def _crashing(t: Tools) -> bool:
    status = t.get("-n", "default", "pod", "lab-crash")["status"]
    return any(c["restartCount"] >= 2 for c in status.get("containerStatuses", ()))


def _failing_release(t: Tools) -> None:
    """A chart whose only pod can never start."""
    chart = t.stack.folder / "lab-broken"
    (chart / "templates").mkdir(parents=True, exist_ok=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: lab-broken\nversion: 0.0.1\n")
    lame = pod("lab-broken", ["true"])
    lame["spec"]["containers"][0]["image"] = "localhost/nothing:0"
    (chart / "templates" / "pod.yaml").write_text(json.dumps(lame))
    done = t.helm("install", "lab-broken", str(chart), "-n", "default", "--wait", "--timeout", "2s")
    assert done.returncode != 0


def _other(t: Tools) -> dict[str, str]:
    """A certificate that no pod has."""
    ca = t.store.fields(AUTHORITY)
    crt, key = certificates.server_certificate(ca["crt"], ca["key"], HOSTS, 365)
    return {"crt": crt, "key": key}


async def _widen(bao: OpenBao, token: str) -> None:
    """Everybody may log in with the probe's role and write, a component read everything; and it is
    not known as set up."""
    role = {
        "bound_service_account_names": ["*"],
        "bound_service_account_namespaces": ["*"],
        "audience": "openbao",
        "token_policies": ["vault-probe"],
    }
    await bao.call(token, "POST", "auth/kubernetes/role/vault-probe", role)
    rules = 'path "kv/data/disco/probe" { capabilities = ["read", "update"] }'
    await bao.call(token, "POST", "sys/policies/acl/vault-probe", {"policy": rules})
    await bao.call(token, "DELETE", f"kv/metadata/{SETUP}")
    wide = 'path "kv/data/*" { capabilities = ["read"] }'
    await bao.call(token, "POST", "sys/policies/acl/component-chains-akash", {"policy": wide})
    await bao.call(token, "POST", f"{GENERATE}/attempt", {})
    more = f'{POLICY}\npath "sys/*" {{ capabilities = ["read"] }}'
    await bao.call(token, "POST", f"sys/policies/acl/{ROLE}", {"policy": more})


@contextmanager
def no_services_of_the_cluster(t: Tools) -> Iterator[None]:
    """No CoreDNS, no kube-proxy, no kube-router, no provisioner, no Prometheus, no store of logs:
    pods still reach each other."""
    try:
        t.scale("kube-system", "deployment/coredns", 0)
        t.scale("kube-storage", "deployment/local-path-provisioner", 0)
        t.scale("monitoring", "statefulset/prometheus", 0)
        t.scale("logs", "statefulset/logs", 0)
        t.nowhere("kube-system", "kube-proxy", away=True)
        t.nowhere("kube-network", "kube-router", away=True)
        t.gone("kube-system", "k8s-app in (kube-dns, kube-proxy)")
        t.gone("kube-network", "app.kubernetes.io/name=kube-router")
        t.gone("kube-storage", "app.kubernetes.io/name=local-path-provisioner")
        t.gone("monitoring", "app.kubernetes.io/name=prometheus")
        t.gone("logs", "app.kubernetes.io/name=logs")
        yield
    finally:
        t.nowhere("kube-system", "kube-proxy", away=False)
        t.nowhere("kube-network", "kube-router", away=False)
        t.scale("kube-system", "deployment/coredns", 2)
        t.scale("kube-storage", "deployment/local-path-provisioner", 1)
        t.scale("monitoring", "statefulset/prometheus", 1)
        t.scale("logs", "statefulset/logs", 1)


@contextmanager
def pods_cut_off_and_a_standstill(t: Tools) -> Iterator[None]:
    """A firewall on the host that drops what pods say to pods on one port; and the validator with
    nine tenths of the stake hangs."""
    variables = {"HOSTNAME": BIG}
    try:
        t.on_host(CUT)
        t.signal("akash", "STOP", variables)
        yield
    finally:
        t.signal("akash", "CONT", variables)
        t.on_host("nft delete table inet lab")


CUT = """set -eu
nft add table inet lab
nft add chain inet lab cut '{ type filter hook forward priority -300; }'
nft add rule inet lab cut ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 tcp dport 8080 drop
"""
