"""What every node of the cluster has: programs, configuration and units, as host actions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from disco.engine.secret import Text
from disco.hosts.actions import HostAction, Packages, Program, Put, Run, Unit
from disco.hosts.facts import Facts
from disco.hosts.host import Host

API_NAME = "kubernetes.disco.internal"
API_PORT = 7443
PAUSE = "localhost/pause:3.10.2"
BIN = "/usr/local/bin"
PACKAGES = (
    "runc",
    "containernetworking-plugins",
    "conntrack",
    "iptables",
    "nftables",
    "ipset",
    "socat",
    "ethtool",
    "kmod",
)
# artifact -> the names that lead to it on a node
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "kube": tuple(f"{BIN}/{n}" for n in ("kubeadm", "kubelet", "kubectl", "etcdctl", "etcdutl")),
    "containerd": (f"{BIN}/containerd",),
    "ctr": (f"{BIN}/ctr",),
    "containerd-shim-runc-v2": (f"{BIN}/containerd-shim-runc-v2",),
    "apiproxy": (f"{BIN}/disco-apiproxy",),
    "flannel-cni": ("/opt/cni/bin/flannel",),
}
RUNTIME = ("containerd", "ctr", "containerd-shim-runc-v2")

CONTAINERD_UNIT = f"""[Unit]
Description=containerd
After=network.target
[Service]
ExecStart={BIN}/containerd
Environment=PATH={BIN}:/usr/sbin:/usr/bin:/sbin:/bin
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=2
LimitNOFILE=1048576
TasksMax=infinity
[Install]
WantedBy=multi-user.target
"""

KUBELET_UNIT = f"""[Unit]
Description=kubelet
After=containerd.service
Wants=containerd.service
ConditionPathExists=/var/lib/kubelet/config.yaml
[Service]
Environment="KUBECONFIGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart={BIN}/kubelet $KUBECONFIGS --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=2
StartLimitInterval=0
[Install]
WantedBy=multi-user.target
"""

PROXY_UNIT = f"""[Unit]
Description=the way from this node to every Kubernetes API server
After=network.target
Before=kubelet.service
[Service]
ExecStart={BIN}/disco-apiproxy -listen 127.0.0.1:{API_PORT} -backends /etc/disco/api-backends
DynamicUser=yes
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""

SYSCTLS = """net.ipv4.ip_forward=1
net.bridge.bridge-nf-call-iptables=1
net.bridge.bridge-nf-call-ip6tables=1
"""

CNI = json.dumps(
    {
        "cniVersion": "1.0.0",
        "name": "cbr0",
        "plugins": [
            {"type": "flannel"},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    },
    indent=1,
)


@dataclass(frozen=True)
class NodePlan:
    """A node: its host, what the host says of itself, the digests of its programs.

    backends: the control planes' `address:port`. stack: the id of the stack that it belongs to.
    """

    host: Host
    facts: Facts
    programs: Mapping[str, str]
    backends: tuple[str, ...]
    stack: str


def containerd_config(facts: Facts) -> str:
    systemd = "true" if facts.cgroup == 2 else "false"
    # Without CAP_SYS_RESOURCE runc can't lower a score and no pod would start.
    restrict = "false" if facts.may_lower_oom_score else "true"
    return f"""version = 3
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {restrict}
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/opt/cni/bin', '/usr/lib/cni']
    conf_dir = '/etc/cni/net.d'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = {systemd}
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PAUSE}'
"""


def runtime(node: NodePlan) -> list[HostAction]:
    """containerd, with what pods need of the system."""
    host, config = node.host, containerd_config(node.facts)
    return [
        Put(host, "/etc/disco/node", Text.of(f"{node.stack}\n")),
        Packages(host, PACKAGES),
        *(_program(node, name) for name in RUNTIME),
        Put(host, "/etc/containerd/config.toml", Text.of(config)),
        Put(host, "/etc/systemd/system/containerd.service", Text.of(CONTAINERD_UNIT)),
        Unit(
            host,
            "containerd.service",
            _digest(config, CONTAINERD_UNIT, *(node.programs[name] for name in RUNTIME)),
        ),
    ]


def programs(node: NodePlan) -> list[HostAction]:
    """Everything else that kubeadm and the kubelet expect to find."""
    host = node.host
    return [
        *(_program(node, name) for name in PROGRAMS if name not in RUNTIME),
        *_api_proxy(node),
        Put(host, "/etc/sysctl.d/90-disco.conf", Text.of(SYSCTLS)),
        Run(
            host,
            ("sysctl", "-q", "-p", "/etc/sysctl.d/90-disco.conf"),
            "sysctls",
            done=" && ".join(
                f'[ "$(sysctl -n {k})" = {v} ]'
                for k, v in (line.split("=") for line in SYSCTLS.split())
            ),
        ),
        Put(host, "/etc/cni/net.d/10-flannel.conflist", Text.of(CNI)),
        Put(host, "/etc/systemd/system/kubelet.service", Text.of(KUBELET_UNIT)),
    ]


def _program(node: NodePlan, name: str) -> Program:
    return Program(node.host, name, node.programs[name], PROGRAMS[name])


def _api_proxy(node: NodePlan) -> Iterator[HostAction]:
    """The name of the API leads to this node's own proxy, which knows all control planes."""
    host = node.host
    line = f"127.0.0.1 {API_NAME}"
    yield Run(
        host,
        ("sh", "-c", f"grep -qxF '{line}' /etc/hosts || echo '{line}' >> /etc/hosts"),
        "the API's name in /etc/hosts",
        done=f"grep -qxF '{line}' /etc/hosts",
    )
    backends = "".join(f"{b}\n" for b in node.backends)
    yield Put(host, "/etc/disco/api-backends", Text.of(backends))
    yield Put(host, "/etc/systemd/system/disco-apiproxy.service", Text.of(PROXY_UNIT))
    yield Unit(host, "disco-apiproxy.service", _digest(PROXY_UNIT, node.programs["apiproxy"]))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
