"""What every node of the cluster has: programs, configuration and units, as host actions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from disco.engine.secret import JsonRef, Text
from disco.hosts.actions import (
    CONTAINERD_SOCKET,
    HostAction,
    Packages,
    Program,
    Put,
    Reads,
    Run,
    Unit,
)
from disco.hosts.facts import Facts
from disco.hosts.host import Host

API_NAME = "kubernetes.disco.internal"
API_PORT = 7443
PAUSE = "localhost/pause:3.10.2"
BIN = "/usr/local/bin"
# What a host may have of its own (Docker brings a containerd) stays untouched beside ours.
OWN_BIN = "/opt/disco/bin"
CNI_BIN = "/opt/disco/cni"
CNI_CONFIG = "/etc/disco/cni/10-flannel.conflist"
CONTAINERD = "disco-containerd.service"
KUBELET = "kubelet.service"
# Where the kubelet finds logins of registries: in the folder in which it runs. Its own folder,
# where it looks as well, is emptied before a join that was cut off is done again.
LOGINS = "/etc/disco/kubelet/config.json"
PROXY = "disco-apiproxy.service"
CONTAINERD_CONFIG = "/etc/disco/containerd.toml"
CONTAINERD_ROOT = "/var/lib/disco/containerd"
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
    "containerd": (f"{OWN_BIN}/containerd",),
    "ctr": (f"{OWN_BIN}/ctr",),
    "containerd-shim-runc-v2": (f"{OWN_BIN}/containerd-shim-runc-v2",),
    "apiproxy": (f"{BIN}/disco-apiproxy",),
    "flannel-cni": (f"{CNI_BIN}/flannel",),
}
RUNTIME = ("containerd", "ctr", "containerd-shim-runc-v2")

CONTAINERD_UNIT = f"""[Unit]
Description=containerd of this node of Kubernetes
After=network.target
[Service]
ExecStart={OWN_BIN}/containerd --config {CONTAINERD_CONFIG} --root {CONTAINERD_ROOT} \
  --state {PurePosixPath(CONTAINERD_SOCKET).parent} --address {CONTAINERD_SOCKET}
Environment=PATH={OWN_BIN}:/usr/sbin:/usr/bin:/sbin:/bin
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
After={CONTAINERD}
Wants={CONTAINERD}
ConditionPathExists=/var/lib/kubelet/config.yaml
[Service]
WorkingDirectory=-{PurePosixPath(LOGINS).parent}
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

SYSCTLS_FILE = "/etc/sysctl.d/90-disco.conf"
# What ours, the kubelet's and kube-proxy's settings replace, to be put back on a way out.
SYSCTLS_BEFORE = "/var/lib/disco/sysctls-before"
REPLACED = (
    *(line.partition("=")[0] for line in SYSCTLS.split()),
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
)
MODULES = ("overlay", "br_netfilter")
MODULES_FILE = "/etc/modules-load.d/disco.conf"
# A kernel that has them built in has no module to load; one without them lacks the setting.
KERNEL = f"""set -eu
for m in {" ".join(MODULES)}; do modprobe -q $m || true; done
mkdir -p {PurePosixPath(SYSCTLS_BEFORE).parent}
[ -e {SYSCTLS_BEFORE} ] || {{
  sysctl -e {" ".join(REPLACED)} > {SYSCTLS_BEFORE}.new
  mv {SYSCTLS_BEFORE}.new {SYSCTLS_BEFORE}
}}
sysctl -q -p {SYSCTLS_FILE}
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
    logins: of registries, as `logins` spells them.
    """

    host: Host
    facts: Facts
    programs: Mapping[str, str]
    backends: tuple[str, ...]
    stack: str
    logins: Text


@dataclass(frozen=True)
class Login:
    """Of a registry `host[:port]`."""

    host: str
    username: str
    password: JsonRef


def logins(registries: Sequence[Login]) -> Text:
    """The JSON that the kubelet reads when it pulls an image, as `docker login` writes it, but with
    the password in a field of its own."""
    parts: list[str | JsonRef] = []
    for login in registries:
        who = f'{json.dumps(login.host)}: {{"username": {json.dumps(login.username)}, "password": '
        parts += [", " if parts else "", who, login.password, "}"]
    return Text.of('{"auths": {', *parts, "}}\n")


def containerd_config(facts: Facts) -> str:
    systemd = "true" if facts.cgroup == 2 else "false"
    # Without CAP_SYS_RESOURCE runc can't lower a score and no pod would start.
    restrict = "false" if facts.may_lower_oom_score else "true"
    return f"""version = 3
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {restrict}
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['{CNI_BIN}', '/usr/lib/cni']
    conf_dir = '{PurePosixPath(CNI_CONFIG).parent}'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = {systemd}
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PAUSE}'
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.internal.v1.opt']
  path = '{CONTAINERD_ROOT}/opt'
"""


def runtime(node: NodePlan) -> list[HostAction]:
    """containerd, with what pods need of the system."""
    host, config = node.host, containerd_config(node.facts)
    return [
        Put(host, "/etc/disco/node", Text.of(f"{node.stack}\n")),
        Packages(host, PACKAGES),
        *(_program(node, name) for name in RUNTIME),
        *_unit(
            node,
            CONTAINERD,
            {CONTAINERD_CONFIG: config, _file(CONTAINERD): CONTAINERD_UNIT},
            RUNTIME,
        ),
    ]


def programs(node: NodePlan) -> list[HostAction]:
    """Everything else that kubeadm and the kubelet expect to find."""
    host = node.host
    return [
        *(_program(node, name) for name in PROGRAMS if name not in RUNTIME),
        *_api_proxy(node),
        Put(host, MODULES_FILE, Text.of("".join(f"{m}\n" for m in MODULES))),
        Put(host, SYSCTLS_FILE, Text.of(SYSCTLS)),
        Run(
            host,
            ("sh", "-c", KERNEL),
            "sysctls",
            done=" && ".join(
                f'[ "$(sysctl -n {k})" = {v} ]'
                for k, v in (line.split("=") for line in SYSCTLS.split())
            ),
        ),
        Put(host, CNI_CONFIG, Text.of(CNI)),
        # kubeadm starts it; its program is new only with a cluster that is.
        *_unit(
            node,
            KUBELET,
            {_file(KUBELET): KUBELET_UNIT},
            lent=True,
            secrets={LOGINS: node.logins},
        ),
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
    yield from _unit(node, PROXY, {_file(PROXY): PROXY_UNIT}, ("apiproxy",))


def _unit(
    node: NodePlan,
    unit: str,
    files: Mapping[str, str],
    programs: Sequence[str] = (),
    lent: bool = False,
    secrets: Mapping[str, Text] | None = None,
) -> Iterator[HostAction]:
    """Files by their paths, and the unit that reads them with these programs. secrets: files that
    nobody else may read."""
    for path, content in files.items():
        yield Put(node.host, path, Text.of(content))
    hidden = secrets or {}
    for path, text in hidden.items():
        yield Put(node.host, path, text, 0o600)
    told = map(str, hidden.values())
    config = _digest(*files.values(), *told, *(node.programs[name] for name in programs))
    reads = [Reads(p, hashlib.sha256(c.encode()).hexdigest()) for p, c in files.items()]
    reads += [Reads(p, "", 0o600, text) for p, text in hidden.items()]
    yield Unit(node.host, unit, config, tuple(reads), lent)


def _file(unit: str) -> str:
    return f"/etc/systemd/system/{unit}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
