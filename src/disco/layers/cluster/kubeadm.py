"""kubeadm's part: configuration files, and scripts that may be cut off and run again.

All certificates that kubeadm would make by itself are in the store beforehand, so nothing has to
be captured, and another control plane needs no key to be uploaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from disco.engine.secret import SecretRef, Text
from disco.hosts.actions import CONTAINERD_SOCKET, HostAction, Put, Run
from disco.hosts.facts import Facts
from disco.hosts.host import Host
from disco.layers.cluster.node import (
    API_NAME,
    API_PORT,
    CONTAINERD,
    MODULES_FILE,
    SYSCTLS_BEFORE,
    SYSCTLS_FILE,
)
from disco.store.actions import Remember
from disco.store.generate import CertificateAuthority, KubeadmToken, RsaKeyPair

CA = "kubernetes/ca"
ETCD_CA = "kubernetes/etcd-ca"
FRONT_PROXY_CA = "kubernetes/front-proxy-ca"
SERVICE_ACCOUNTS = "kubernetes/service-accounts"
TOKEN = "kubernetes/bootstrap-token"
SECRETS = (
    Remember(CA, CertificateAuthority("kubernetes", 3650)),
    Remember(ETCD_CA, CertificateAuthority("etcd-ca", 3650)),
    Remember(FRONT_PROXY_CA, CertificateAuthority("front-proxy-ca", 3650)),
    Remember(SERVICE_ACCOUNTS, RsaKeyPair()),
    Remember(TOKEN, KubeadmToken(), rotates=True),
)
FILES = "/etc/disco/kubeadm"
CRI = f"unix://{CONTAINERD_SOCKET}"
# With its default of 20 requests a second it needs five seconds to start its controllers.
CONTROLLER_MANAGER = {
    "bind-address": "0.0.0.0",
    "kube-api-qps": "100",
    "kube-api-burst": "200",
}
ADMIN = "/etc/kubernetes/admin.conf"


def ignored(facts: Facts) -> list[str]:
    """Preflight checks that these facts make pointless: kubeadm refuses cgroup v1 as a whole."""
    found = ["SystemVerification"] if facts.cgroup == 1 else []
    return found + (["Swap"] if facts.swap_bytes else [])


def node_registration(host: Host, facts: Facts) -> dict[str, Any]:
    return {
        "name": host.name,
        "criSocket": CRI,
        "imagePullPolicy": "IfNotPresent",
        "ignorePreflightErrors": ignored(facts),
        "kubeletExtraArgs": [{"name": "node-ip", "value": host.address}],
    }


def _arguments(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def kubelet_configuration(facts: Facts) -> dict[str, Any]:
    """Images come over SSH, not from a registry: the kubelet must never collect them."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "systemd" if facts.cgroup == 2 else "cgroupfs",
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1Gi",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1Gi",
        },
    }


def init_configuration(host: Host, facts: Facts, version: str, pods: str, services: str) -> Text:
    """kubeadm's file for the first control plane; it holds the bootstrap token."""
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": host.address},
            "bootstrapTokens": [{"token": "@TOKEN@", "ttl": "2h0m0s"}],
            "nodeRegistration": {**node_registration(host, facts), "taints": []},
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": f"v{version}",
            "imageRepository": "localhost",
            "controlPlaneEndpoint": f"{API_NAME}:{API_PORT}",
            "apiServer": {"certSANs": [host.address, API_NAME]},
            "controllerManager": {"extraArgs": _arguments(**CONTROLLER_MANAGER)},
            "scheduler": {"extraArgs": _arguments(**{"bind-address": "0.0.0.0"})},
            "etcd": {
                "local": {"extraArgs": _arguments(**{"listen-metrics-urls": "http://0.0.0.0:2381"})}
            },
            "networking": {"podSubnet": pods, "serviceSubnet": services},
        },
        kubelet_configuration(facts),
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "conntrack": {"maxPerCore": 0, "min": 0},
        },
    ]
    before, after = "---\n".join(_yaml(d) for d in documents).split("@TOKEN@")
    return Text.of(before, SecretRef(TOKEN), after)


def join_configuration(host: Host, facts: Facts) -> Text:
    """kubeadm's file for a worker; the cluster's CA is pinned by the discovery file."""
    document = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "discovery": {
            "file": {"kubeConfigPath": f"{FILES}/discovery.conf"},
            "tlsBootstrapToken": "@TOKEN@",
        },
        "nodeRegistration": node_registration(host, facts),
    }
    before, after = _yaml(document).split("@TOKEN@")
    return Text.of(before, SecretRef(TOKEN), after)


def discovery() -> Text:
    """A kubeconfig with the API's address and CA and no user."""
    return Text.of(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: ''\n  cluster:\n"
        f"    server: https://{API_NAME}:{API_PORT}\n"
        f"    certificate-authority: {FILES}/ca.crt\n"
    )


def first_control_plane(
    host: Host, facts: Facts, version: str, pods: str, services: str
) -> Iterator[HostAction]:
    """Files and the one command. Certificates lie beside and are copied in by the script, since
    a reset of a half-made control plane removes kubeadm's own folder."""
    pki = f"{FILES}/pki"
    for name, path in ((CA, "ca"), (ETCD_CA, "etcd/ca"), (FRONT_PROXY_CA, "front-proxy-ca")):
        yield Put(host, f"{pki}/{path}.crt", Text.of(SecretRef(name, "crt")), 0o644)
        yield Put(host, f"{pki}/{path}.key", Text.of(SecretRef(name, "key")), 0o600)
    yield Put(host, f"{pki}/sa.key", Text.of(SecretRef(SERVICE_ACCOUNTS, "key")), 0o600)
    yield Put(host, f"{pki}/sa.pub", Text.of(SecretRef(SERVICE_ACCOUNTS, "pub")), 0o644)
    config = init_configuration(host, facts, version, pods, services)
    yield Put(host, f"{FILES}/init.yaml", config, 0o600)
    yield _guarded(
        host,
        "control plane",
        "init",
        f"mkdir -p /etc/kubernetes/pki && cp -a {pki}/. /etc/kubernetes/pki/ && "
        f"kubeadm init --config {FILES}/init.yaml",
    )


def worker(host: Host, facts: Facts) -> Iterator[HostAction]:
    yield Put(host, f"{FILES}/ca.crt", Text.of(SecretRef(CA, "crt")))
    yield Put(host, f"{FILES}/discovery.conf", discovery(), 0o600)
    yield Put(host, f"{FILES}/join.yaml", join_configuration(host, facts), 0o600)
    yield _guarded(
        host,
        "join",
        "join",
        f"kubeadm join --config {FILES}/join.yaml",
        # kubeadm would refuse a node that the cluster has: one whose kubelet got its certificate
        # lacks nothing that kubeadm would still do.
        whole="systemctl -q is-active kubelet && kubectl --kubeconfig /etc/kubernetes/kubelet.conf "
        f"--request-timeout=10s get node {host.name} > /dev/null 2>&1",
    )


def open_door(control_plane: Host) -> Iterator[HostAction]:
    """Let workers join for the next two hours, with the token that the store has."""
    script = (
        f"export KUBECONFIG={ADMIN}; id=$(cut -d. -f1 {FILES}/token); "
        'kubectl -n kube-system delete secret --ignore-not-found "bootstrap-token-$id" '
        f">/dev/null; kubeadm token create --config {FILES}/init.yaml >/dev/null"
    )
    yield Put(control_plane, f"{FILES}/token", Text.of(SecretRef(TOKEN)), 0o600)
    yield Run(control_plane, ("sh", "-c", script), "door for joins")


def _guarded(host: Host, name: str, verb: str, command: str, whole: str = "false") -> Run:
    """Under a lock on the host: a kubeadm whose DISCO was killed goes on by itself, and the next
    run waits for it. What an earlier try of ours left half-made is reset first; a finished one is
    kept; a Kubernetes that we did not begin is never touched.

    whole: shell that ends with 0 when nothing is missing of what an earlier try of ours began.
    """
    mark = f"/var/lib/disco/kubeadm-{verb}"
    script = f"""set -eu
[ -e {mark}.done ] && exit 0
log=/var/log/disco-kubeadm-{verb}.log
mkdir -p /var/lib/disco
if [ -e {mark}.begun ] || [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ] ||
  [ -e /etc/kubernetes/kubelet.conf ]
then
  [ -e {mark}.begun ] || {{ echo "a Kubernetes that DISCO did not make is here" >&2; exit 1; }}
  if {whole}; then touch {mark}.done; exit 0; fi
  kubeadm reset -f --cri-socket {CRI} > /var/log/disco-kubeadm-reset.log 2>&1
fi
touch {mark}.begun
systemctl daemon-reload; systemctl -q enable kubelet
{{ {command}; }} > "$log" 2>&1 || {{ tail -n 15 "$log" >&2; exit 1; }}
touch {mark}.done
"""
    return Run(
        host,
        (
            "flock",
            "-w",
            "400",
            f"/run/disco-kubeadm-{verb}.lock",
            "sh",
            "-c",
            script,
        ),
        name,
        done=f"[ -e {mark}.done ]",
        within_s=420,
    )


def _yaml(document: dict[str, Any]) -> str:
    """JSON is YAML."""
    return json.dumps(document, indent=1) + "\n"


# Rules of kube-proxy, kubelet, flannel and kube-router; those of others stay, with their tables.
FORGET_FIREWALL = """
nft delete table ip kube-proxy || true; nft delete table ip6 kube-proxy || true
for n in ip ip6; do
  f=${n}tables
  $f-save | grep -vE -- '(KUBE|FLANNEL)-' | $f-restore || true
  for t in filter nat mangle raw; do
    nft list table $n $t > /dev/null 2>&1 || continue
    $f-save -t $t | grep -qE '^-A|^:[^ ]+ (-|DROP) ' || nft delete table $n $t
  done
done
ipset list -n | grep -E '^(inet6:)?(KUBE|kube-router)-' | xargs -r -n 1 ipset destroy
""".strip()


# Pods outlive their containerd, and kubeadm ends them only where it runs. A pod's processes are
# children of a shim; those of hosts inside of this one are not ours.
SHIMS = "/opt/disco/containerd-shim-runc-v2/"
STATE = PurePosixPath(CONTAINERD_SOCKET).parent
TASKS = STATE / "io.containerd.runtime.v2.task"
END_PODS = f"""
spaces=$(grep -rhoE '"/(var/)?run/netns/cni-[0-9a-f-]+"' {TASKS}/*/*/config.json | tr -d '"')
for d in /proc/[0-9]*; do
  case "$(readlink "$d/exe")" in {SHIMS}*) ;; *) continue ;; esac
  [ "$(readlink "$d/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
  for s in $(grep -ls "^PPid:[[:space:]]*${{d#/proc/}}$" /proc/[0-9]*/status); do
    s=${{s#/proc/}}; kill -9 "${{s%/status}}"
  done
  kill -9 "${{d#/proc/}}"
done 2> /dev/null
awk '$2 ~ "^({STATE}|/var/lib/kubelet/pods)/" {{ print $2 }}' /proc/mounts |
  sort -r | xargs -r -n 1 umount -l
for s in $spaces; do ip netns del "${{s##*/}}"; done
true
""".strip()


def leave(host: Host) -> Iterator[HostAction]:
    """The way out of a host that stays: everything that was put there goes, in reverse order.

    The mark that says whose host it is goes last, so that a way out that was cut off is gone again.
    """
    script = f"""timeout 30 systemctl start {CONTAINERD} || true
kubeadm reset -f --cri-socket {CRI} > /var/log/disco-kubeadm-reset.log 2>&1 || true
for u in kubelet disco-apiproxy {CONTAINERD}; do systemctl disable --now $u || true; done
{END_PODS}
ip link del cni0 || true; ip link del flannel.1 || true
sed -i '/ {API_NAME}$/d' /etc/hosts
{FORGET_FIREWALL}
sysctl -q -e -p {SYSCTLS_BEFORE} || true
rm -rf --one-file-system /var/lib/disco /var/lib/kubelet /var/lib/etcd /etc/kubernetes
rm -rf --one-file-system /var/lib/cni /run/flannel /run/disco
rm -f {SYSCTLS_FILE} {MODULES_FILE}
cd /etc/systemd/system; rm -f kubelet.service {CONTAINERD} disco-apiproxy.service
find /usr/local/bin -lname '/opt/disco/*' -delete
systemctl daemon-reload
rm -rf /opt/disco
rm -rf /etc/disco
"""
    yield Run(
        host,
        ("sh", "-c", script),
        "leave",
        within_s=180,
        loses=(f"everything in the cluster on {host.name}",),
    )
