"""What the programs do that are run on hosts: systemd, sysctl, kubeadm. Each point is a `yield`.

A new `Run` has to be taught here, by its name; a new probe, by its form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from disco.hosts.actions import Run
from disco.layers.cluster import kubeadm
from disco.layers.cluster.node import CONTAINERD, SYSCTLS_FILE
from sim import cluster as clusters
from sim.simulation import Simulation
from sim.state import ClusterState, File, HostState, UnitState

Script = Iterator[str]
UNITS = "/etc/systemd/system"
MARK = "/var/lib/disco/kubeadm-{}.{}"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
FILES = "/etc/disco/kubeadm"
PKI = "/etc/kubernetes/pki"
ETCD = "/var/lib/etcd/member"
# What a kubelet keeps: its certificates, and by its pods' network the addresses that are taken.
KUBELET_STATE = ("/var/lib/kubelet/config.yaml", "/var/lib/kubelet/pki/kubelet-client-current.pem")
CNI_STATE = "/var/lib/cni/networks/cbr0/last_reserved_ip.0"
RESET = ("/etc/kubernetes/", "/var/lib/kubelet/", "/var/lib/etcd/")
BOOTSTRAP_CONF = "/etc/kubernetes/bootstrap-kubelet.conf"
PAIRS = ("ca.crt", "ca.key", "etcd/ca.crt", "etcd/ca.key", "front-proxy-ca.crt")
API_LINE = "127.0.0.1 kubernetes.disco.internal"
COREDNS = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"


def probe(host: HostState, line: str, simulation: Simulation) -> bool:
    """Evaluate a probe of `Run`, test by test."""
    return all(_test(host, test.strip(), simulation) for test in line.split("&&"))


def _test(host: HostState, test: str, simulation: Simulation) -> bool:
    if found := re.fullmatch(r"\[ -e (\S+) \]", test):
        return found[1] in host.files
    if found := re.fullmatch(r"grep -qxF '(.*)' (\S+)", test):
        return found[1] in host.files.get(found[2], File("")).content.splitlines()
    if found := re.fullmatch(r'\[ "\$\(sysctl -n (\S+)\)" = (\S+) \]', test):
        return host.sysctls.get(found[1]) == found[2]
    raise simulation.refuse(f"nobody taught the simulation this probe: {test}")


def start(host: HostState, unit: str, simulation: Simulation) -> Script:
    """daemon-reload, enable, restart."""
    path = f"{UNITS}/{unit}"
    if path not in host.files:
        raise simulation.refuse(f"{unit} is started on {host.name} without its file")
    for program in re.findall(r"^ExecStart=(\S+)", host.files[path].content, re.M):
        if host.program(program) is None:
            raise simulation.refuse(f"{unit} is started on {host.name} without {program}")
    state = host.units.setdefault(unit, UnitState())
    state.enabled = True
    yield "enabled"
    state.active, state.started_with = True, host.files[path].content
    yield "restarted"


def restart_lent(host: HostState, unit: str, simulation: Simulation) -> Script:
    """daemon-reload, try-restart."""
    if host.is_active(unit):
        host.units[unit].started_with = host.files[f"{UNITS}/{unit}"].content
        yield "restarted"


def carry_out(host: HostState, action: Run, simulation: Simulation) -> Script:
    if action.name not in SCRIPTS:
        raise simulation.refuse(f"nobody taught the simulation what `{action.name}` does")
    return SCRIPTS[action.name](host, action, simulation)


def _sysctls(host: HostState, action: Run, simulation: Simulation) -> Script:
    lines = host.text(SYSCTLS_FILE).split()
    for line in lines:
        key, _, value = line.partition("=")
        host.sysctls[key] = value
        yield f"{key} is set"


def _api_name(host: HostState, action: Run, simulation: Simulation) -> Script:
    line = action.argv[-1].split("'")[1]
    before = host.text("/etc/hosts")
    if line not in before.splitlines():
        host.files["/etc/hosts"] = File(f"{before}{line}\n")
    yield "the line is there"


def _need(host: HostState, simulation: Simulation, *paths: str) -> None:
    for path in paths:
        if path not in host.files and host.program(path) is None:
            raise simulation.refuse(f"kubeadm on {host.name} needs {path}")


def _ready_for_kubeadm(host: HostState, simulation: Simulation) -> None:
    programs = [f"/usr/local/bin/{n}" for n in ("kubeadm", "kubelet", "kubectl")]
    _need(host, simulation, f"{UNITS}/kubelet.service", *programs)
    for unit in (CONTAINERD, "disco-apiproxy.service"):
        if not host.is_active(unit):
            raise simulation.refuse(f"kubeadm on {host.name} while {unit} is down")
    if API_LINE not in host.text("/etc/hosts").splitlines():
        raise simulation.refuse(f"kubeadm on {host.name}, which can't resolve the API's name")
    if host.sysctls.get("net.ipv4.ip_forward") != "1":
        raise simulation.refuse(f"kubeadm on {host.name} without forwarding")
    if not any(i.startswith("localhost/pause:") for i in host.images):
        raise simulation.refuse(f"kubeadm on {host.name} before its images are there")


def _guarded(
    host: HostState,
    verb: str,
    simulation: Simulation,
    script: Callable[[], Script],
    whole: Callable[[], bool] = lambda: False,
) -> Script:
    """The shell around kubeadm: marks, and a reset of what an earlier try left half-made."""
    begun, done = MARK.format(verb, "begun"), MARK.format(verb, "done")
    if done in host.files:
        return
    if MANIFEST in host.files or KUBELET_CONF in host.files or begun in host.files:
        if begun not in host.files:
            raise simulation.refuse(f"a Kubernetes that DISCO did not make is on {host.name}")
        if whole():
            host.files[done] = File("")
            yield "taken as it is"
            return
        _reset(host)
        yield "reset"
    host.files[begun] = File("")
    yield "marked as begun"
    host.units.setdefault("kubelet.service", UnitState()).enabled = True
    yield from script()
    host.files[done] = File("")
    simulation.count(f"kubeadm {verb} on {host.name}")
    yield "marked as done"


def _reset(host: HostState) -> None:
    """kubeadm reset: its folder, etcd's data, and the kubelet's; pods only where containerd runs,
    and nothing of their network."""
    if host.is_active(CONTAINERD):
        host.sandboxes.clear()
    for path in [p for p in host.files if p.startswith(RESET)]:
        del host.files[path]
    host.cluster = None
    host.units.setdefault("kubelet.service", UnitState()).active = False


def _init(host: HostState, action: Run, simulation: Simulation) -> Script:
    _ready_for_kubeadm(host, simulation)
    pki = [f"{FILES}/pki/{p}" for p in (*PAIRS, "sa.key", "sa.pub")]
    _need(host, simulation, f"{FILES}/init.yaml", *pki)

    def script() -> Script:
        if host.sandboxes:
            raise simulation.refuse(f"kubeadm init on {host.name}: Port 6443 is in use")
        for name in PAIRS:
            host.files[f"{PKI}/{name}"] = host.files[f"{FILES}/pki/{name}"]
        host.files[MANIFEST] = File("manifest")
        yield "a manifest is written"
        config = host.text(f"{FILES}/init.yaml")
        token = re.findall(r'"token": "([^"]+)"', config)
        host.cluster = ClusterState(host.text(f"{PKI}/ca.crt"), simulation.state.now + 1.0)
        host.cluster.tokens.update(token)
        host.files[ADMIN_CONF] = File("admin", 0o600)
        host.files[KUBELET_CONF] = File("kubelet", 0o600)
        host.units["kubelet.service"].active = True
        host.sandboxes |= {"etcd", "kube-apiserver"}
        host.files[ETCD] = File("")
        _kubelet_state(host)
        yield "etcd has data"
        host.cluster.nodes[host.name] = simulation.state.now
        host.cluster.machines[host.name] = host.machine_id
        _system_objects(host.cluster, simulation.state.now)
        yield "kubeadm ended"

    return _guarded(host, "init", simulation, script)


def _kubelet_state(host: HostState) -> None:
    for path in (*KUBELET_STATE, CNI_STATE):
        host.files[path] = File("")


def _system_objects(cluster: ClusterState, now: float) -> None:
    for name in ("default", "kube-system"):
        path = f"/api/v1/namespaces/{name}"
        clusters.store(cluster, path, {"kind": "Namespace", "metadata": {"name": name}}, now)
    metadata = {"name": "coredns", "namespace": "kube-system"}
    coredns = {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 2}}
    clusters.store(cluster, COREDNS, coredns, now)


def _plane(host: HostState, simulation: Simulation) -> ClusterState:
    """The cluster that this node's proxy leads to."""
    addresses = [b.rpartition(":")[0] for b in host.text("/etc/disco/api-backends").split()]
    planes = [simulation.state.by_address(a) for a in addresses]
    up = [p for p in planes if p and clusters.is_up(p, simulation.state.now)]
    if not up or up[0].cluster is None:
        raise simulation.refuse(f"{host.name} asks for an API that is not ready")
    return up[0].cluster


def _join(host: HostState, action: Run, simulation: Simulation) -> Script:
    _ready_for_kubeadm(host, simulation)
    _need(host, simulation, *(f"{FILES}/{n}" for n in ("ca.crt", "discovery.conf", "join.yaml")))
    cluster = _plane(host, simulation)
    if host.text(f"{FILES}/ca.crt") != cluster.ca:
        raise simulation.refuse(f"{host.name} trusts another authority than the cluster's")

    def script() -> Script:
        token = re.findall(r'"tlsBootstrapToken": "([^"]+)"', host.text(f"{FILES}/join.yaml"))
        if not set(token) & cluster.tokens:
            raise simulation.refuse(f"{host.name} joins, and the door is closed")
        if host.name in cluster.nodes:
            raise simulation.refuse(f"a Node with name {host.name} already exists in the cluster")
        for path in (f"{PKI}/ca.crt", BOOTSTRAP_CONF):
            if path in host.files:
                raise simulation.refuse(f"kubeadm join on {host.name}: {path} already exists")
        if host.is_active("kubelet.service"):
            raise simulation.refuse(f"kubeadm join on {host.name}: Port 10250 is in use")
        host.files[BOOTSTRAP_CONF] = File("token", 0o600)
        host.files[f"{PKI}/ca.crt"] = File(cluster.ca)
        yield "the kubelet may ask for a certificate"
        host.units["kubelet.service"].active = True
        yield "the kubelet runs"
        host.files[KUBELET_CONF] = File("kubelet", 0o600)
        yield "the kubelet has its configuration"
        cluster.nodes[host.name] = simulation.state.now
        cluster.orphans.discard(host.name)
        cluster.machines[host.name] = host.machine_id
        host.sandboxes.add("kube-proxy")
        _kubelet_state(host)
        del host.files[BOOTSTRAP_CONF]
        yield "kubeadm ended"

    def whole() -> bool:
        return host.is_active("kubelet.service") and host.name in cluster.nodes

    return _guarded(host, "join", simulation, script, whole)


def _door(host: HostState, action: Run, simulation: Simulation) -> Script:
    _need(host, simulation, ADMIN_CONF, f"{FILES}/token", f"{FILES}/init.yaml")
    cluster = _plane(host, simulation)
    cluster.tokens.clear()
    yield "the old token is gone"
    cluster.tokens.add(host.text(f"{FILES}/token"))
    yield "the token is there"


def _leave(host: HostState, action: Run, simulation: Simulation) -> Script:
    """In the order of the script: reset, units, pods, then what it removes, line by line."""
    starts = f"systemctl start {CONTAINERD}" in action.argv[-1]
    if starts and CONTAINERD in host.units and f"{UNITS}/{CONTAINERD}" in host.files:
        host.units[CONTAINERD].active = True
        yield "containerd runs"
    if "kubelet.service" in host.units:
        _reset(host)
    yield "reset"
    host.units.clear()
    if kubeadm.END_PODS in action.argv[-1]:
        host.sandboxes.clear()
        yield "pods are ended"
    lines = host.files["/etc/hosts"].content.splitlines()
    kept = "".join(f"{line}\n" for line in lines if line != API_LINE)
    host.files["/etc/hosts"] = File(kept)
    yield "units are off"
    host.images.clear()
    for line in action.argv[-1].splitlines():
        if line.startswith("find /usr/local/bin -lname '/opt/disco/*' -delete"):
            host.links = {n: t for n, t in host.links.items() if not t.startswith("/opt/disco/")}
            yield "links are removed"
        for removal in re.findall(r"^rm -r?f (?:--one-file-system )?(.*)$|; rm -f (.*)$", line):
            for path in "".join(removal).split():
                _delete(host, path)
                yield f"{path} is removed"


def _delete(host: HostState, path: str) -> None:
    path = path if path.startswith("/") else f"{UNITS}/{path}"
    host.links.pop(path, None)
    for file in [f for f in host.files if f == path or f.startswith(f"{path}/")]:
        del host.files[file]


SCRIPTS: dict[str, Callable[[HostState, Run, Simulation], Script]] = {
    "sysctls": _sysctls,
    "the API's name in /etc/hosts": _api_name,
    "control plane": _init,
    "join": _join,
    "door for joins": _door,
    "leave": _leave,
}
