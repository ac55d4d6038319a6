"""Upstream Kubernetes by kubeadm on hosts reached over SSH: one control plane, any workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Any, Literal

import pydantic

from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Component, Layer, StatusLine, Step, World, pending, without
from disco.engine.errors import DiscoError, Several
from disco.engine.secret import JsonRef, Text
from disco.hosts.actions import AwaitHost, HostAction, Images
from disco.hosts.facts import Facts
from disco.hosts.host import Host
from disco.hosts.reader import Hosts, is_away
from disco.kube import charts
from disco.kube.access import Cluster
from disco.kube.actions import AwaitNodes, AwaitRollout, Release
from disco.kube.reader import Kube
from disco.kube.rollout import is_ready
from disco.layers.cluster import kubeadm, leaving
from disco.layers.cluster.leaving import Left
from disco.layers.cluster.node import (
    API_NAME,
    API_PORT,
    PROGRAMS,
    Login,
    NodePlan,
    logins,
    programs,
    runtime,
)
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.probed import CLUSTER, Probed
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.layers.servers.outputs import ServersOutputs
from disco.stack.model import Model, var
from disco.stack.secret import SecretName
from disco.store.actions import anew, settled, told_anew
from disco.store.store import Store

NODE_IMAGES = "images/node"
API_SERVER_PORT = 6443


class Registry(Model):
    """A login for images that not everybody may pull."""

    host: str = var(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$")
    """Where it answers, `host` or `host:port`, as names of its images begin."""
    username: str = var(min_length=1, max_length=200)
    """Who logs in."""
    password: SecretName = var()
    """The password or token for it."""


class KubernetesSpec(Model):
    """Upstream Kubernetes by kubeadm."""

    version: Literal["1.36.3"] = var("1.36.3")
    """The release of Kubernetes."""
    pod_subnet: str = var("10.244.0.0/16", pattern=r"^\d+\.\d+\.\d+\.\d+/\d+$")
    """Addresses of pods, an IPv4 network."""
    service_subnet: str = var("10.96.0.0/16", pattern=r"^\d+\.\d+\.\d+\.\d+/\d+$")
    """Addresses of services, an IPv4 network."""
    backend: Literal["vxlan", "host-gw"] = var("vxlan")
    """How pods of different nodes reach each other: vxlan works everywhere, host-gw is faster
    where all nodes share one network segment."""
    metrics_server: bool = var(True)
    """Whether `kubectl top` and autoscalers get figures."""
    registries: tuple[Registry, ...] = var((), max_length=16)
    """Logins with which every node pulls images, for pods that bring none of their own."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""

    @pydantic.model_validator(mode="after")
    def _one_login_each(self) -> KubernetesSpec:
        hosts = [registry.host for registry in self.registries]
        if twice := sorted({h for h in hosts if hosts.count(h) > 1}):
            raise ValueError(f"more than one login for {', '.join(twice)}")
        return self


@dataclass(frozen=True)
class KubernetesSeen:
    """facts and done per host; secrets that exist; whether the API is ready and what is done in
    it. away: workers that do not answer, as many as may. anew: secrets that are made anew -> why.
    """

    facts: dict[str, Facts] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    api_ready: bool = False
    away: frozenset[str] = frozenset()
    anew: Mapping[str, str] = field(default_factory=dict)


class Kubernetes(Component):
    """A cluster with network, policies, DNS, storage and metrics."""

    layer = Layer.CLUSTER
    section = "kubernetes"
    spec: KubernetesSpec
    servers: ServersOutputs
    artifacts: ArtifactsOutputs

    @classmethod
    def wants(cls, spec: KubernetesSpec) -> tuple[str, ...]:
        """The artifacts it needs."""
        sets = ("images/node", "images/network", "images/storage", "images/metrics")
        return (*PROGRAMS, "helm", *sets)

    @classmethod
    def dashboards(cls, spec: KubernetesSpec) -> Mapping[str, str]:
        return {"cluster": shipped("cluster")}

    @classmethod
    def probes(cls, spec: KubernetesSpec) -> Mapping[str, Probed]:
        """Any API server, as pods reach it."""
        url = "https://kubernetes.default.svc/readyz"
        return {"kubernetes/api": Probed(http=url, expect=200, authority=CLUSTER)}

    @property
    def control_plane(self) -> Host:
        return self.servers.hosts[0]

    @property
    def workers(self) -> tuple[Host, ...]:
        return self.servers.hosts[1:]

    @property
    def cluster(self) -> Cluster:
        server = f"https://{self.control_plane.address}:{API_SERVER_PORT}"
        return Cluster("disco", server, kubeadm.CA)

    def outputs(self, seen: KubernetesSeen) -> KubernetesOutputs:
        return KubernetesOutputs(
            cluster=self.cluster,
            control_planes=(self.control_plane,),
            nodes=self.servers.hosts,
            # The first node leases the first /24; its own address in there is the network's.
            proxies=(f"{IPv4Network(self.spec.pod_subnet).network_address}/32",),
        )

    def nothing(self) -> KubernetesSeen:
        return KubernetesSeen()

    def exists(self, seen: KubernetesSeen) -> bool:
        return seen.api_ready

    async def observe(self, world: World) -> KubernetesSeen:
        hosts, kube, store = world[Hosts], world[Kube], world[Store]
        names = store.names()
        done: set[str] = set()
        ready, found = await asyncio.gather(
            self.answers(kube, names),
            asyncio.gather(*(self._host(hosts, h) for h in self.servers.hosts)),
        )
        there = {h.name: f for h, f in zip(self.servers.hosts, found, strict=True) if f}
        facts_by_name = {name: facts for name, (facts, _) in there.items()}
        done.update(*(d for _, d in there.values()))
        away = frozenset(h.name for h in self.servers.hosts) - there.keys() - self.servers.missing
        if ready:
            refuse_other_machines(facts_by_name, await self._machines(kube))
            actions = [a for s in self._cluster_steps(away) for a in s.actions]
            done |= await kube.satisfied(self.cluster, actions)
        seen = KubernetesSeen(facts_by_name, frozenset(done), ready, away)
        actions = [a for s in self._all_steps(seen) for a in s.actions]
        return replace(seen, done=settled(actions, done, store), anew=anew(actions, store))

    def notes(self, seen: KubernetesSeen) -> list[str]:
        return told_anew(seen.anew)

    async def answers(self, kube: Kube, secrets: set[str]) -> bool:
        """Whether the API is ready."""
        return kubeadm.CA in secrets and await kube.ready(self.cluster)

    async def _machines(self, kube: Kube) -> dict[str, str]:
        """Node -> the id of the machine that its kubelet runs on."""
        nodes = (await kube.get(self.cluster, "/api/v1/nodes"))["items"]
        return {n["metadata"]["name"]: n["status"]["nodeInfo"].get("machineID", "") for n in nodes}

    async def _host(self, hosts: Hosts, host: Host) -> tuple[Facts, frozenset[str]] | None:
        """What it is and what is done on it; None for one that is not there yet, and for a worker
        that is away, where one may be."""
        if host.name in self.servers.missing:
            return None
        try:
            facts = await hosts.facts(host)
        except DiscoError as error:
            if host == self.control_plane or not self.may_fail() or not is_away(error):
                raise
            return None
        actions = [
            a for s in self._host_steps(host, facts) for a in s.actions if isinstance(a, HostAction)
        ]
        return facts, await hosts.satisfied(host, actions)

    def may_fail(self) -> int:
        return self.servers.max_unavailable

    def steps(self, seen: KubernetesSeen) -> Iterator[Step]:
        """The door is opened only for somebody who joins."""
        steps = list(self._all_steps(seen))
        joins = {f"{h.name}/join" for h in self.workers}
        if not joins & {s.id for s in pending(steps, seen.done)}:
            steps = list(without(steps, {"door"}))
        return pending(steps, seen.done)

    def _all_steps(self, seen: KubernetesSeen) -> Iterator[Step]:
        yield Step("secrets", "make the cluster's keys and certificates", kubeadm.SECRETS)
        for host in self.servers.hosts:
            if host.name not in seen.away:
                yield from self._host_steps(host, seen.facts.get(host.name, EMPTY))
        if self.workers:
            first = self.control_plane
            yield Step(
                "door",
                "let workers join for two hours",
                tuple(kubeadm.open_door(first)),
                (f"{first.name}/control-plane",),
            )
        yield from self._cluster_steps(seen.away)

    def _host_steps(self, host: Host, facts: Facts) -> Iterator[Step]:
        """Those of a worker may fail without the others', if so many may."""
        at = "" if host == self.control_plane else host.name
        return (replace(step, at=at) for step in self._steps_on(host, facts))

    def _steps_on(self, host: Host, facts: Facts) -> Iterator[Step]:
        digests = {n: self.artifacts.digest(n) for n in PROGRAMS}
        backend = f"{self.control_plane.address}:{API_SERVER_PORT}"
        node = NodePlan(host, facts, digests, (backend,), self.place.id, self._logins())
        h = host.name
        yield Step(f"{h}/runtime", f"containerd on {h}", tuple(runtime(node)), (), 3)
        yield Step(f"{h}/programs", f"Kubernetes programs on {h}", tuple(programs(node)), (), 5)
        before = [f"{h}/runtime", f"{h}/programs"]
        for name in self.artifacts.image_sets:
            first = name == NODE_IMAGES
            yield Step(
                f"{h}/{name}",
                f"{name.removeprefix('images/')} images on {h}",
                (Images(host, name, self.artifacts.images(name)),),
                (f"{h}/runtime",) if first else (f"{h}/runtime", f"{h}/{NODE_IMAGES}"),
                5,
            )
        before.append(f"{h}/{NODE_IMAGES}")
        if host == self.control_plane:
            yield Step(
                f"{h}/control-plane",
                f"control plane on {h}",
                (
                    *kubeadm.first_control_plane(
                        host,
                        facts,
                        self.spec.version,
                        self.spec.pod_subnet,
                        self.spec.service_subnet,
                    ),
                    AwaitHost(host, "the API is ready", API_TEST, 90),
                ),
                ("secrets", *before),
                10,
            )
        else:
            yield Step(
                f"{h}/join", f"{h} joins", tuple(kubeadm.worker(host, facts)), (*before, "door"), 3
            )

    def _logins(self) -> Text:
        of = (
            Login(r.host, r.username, JsonRef(r.password.secret, r.password.field))
            for r in self.spec.registries
        )
        return logins(tuple(of))

    def _cluster_steps(self, away: frozenset[str] = frozenset()) -> Iterator[Step]:
        api = (f"{self.control_plane.name}/control-plane",)
        yield self._release("network", "network", "pod network and policies", api, self._network())
        yield self._release("storage", "storage", "default storage class", api, self._storage())
        if self.spec.metrics_server:
            values = {"image": self.artifacts.image("metrics-server")}
            yield self._release("metrics-server", "metrics-server", "metrics-server", api, values)
        joined = tuple(f"{h.name}/join" for h in self.workers if h.name not in away)
        nodes = tuple(h.name for h in self.servers.hosts if h.name not in away)
        network_images = tuple(f"{n}/images/network" for n in nodes)
        yield Step(
            "ready",
            "nodes are Ready and DNS answers",
            (
                AwaitNodes(self.cluster, nodes, self._enough(nodes)),
                AwaitRollout(self.cluster, "deployments/kube-system/coredns", enough=1),
            ),
            (*api, *joined, "network", *network_images),
            8,
        )

    def _enough(self, nodes: tuple[str, ...]) -> int:
        """As many nodes have to be Ready; 0 for all that are asked for."""
        least = len(self.servers.hosts) - self.may_fail()
        return least if self.may_fail() and least < len(nodes) else 0

    def _release(
        self, name: str, chart: str, title: str, after: tuple[str, ...], values: dict[str, Any]
    ) -> Step:
        namespace = NAMESPACES[name]
        release = Release(
            self.cluster, name, namespace, chart, charts.source(chart), values, within_s=120
        )
        return Step(name, title, (release,), after, 3)

    def _network(self) -> dict[str, Any]:
        return {
            "podSubnet": self.spec.pod_subnet,
            "serviceSubnet": self.spec.service_subnet,
            "interface": self.control_plane.interface,
            "backend": self.spec.backend,
            "api": {"host": API_NAME, "port": API_PORT},
            "images": {
                "flannel": self.artifacts.image("flannel"),
                "kubeRouter": self.artifacts.image("kube-router"),
            },
        }

    def _storage(self) -> dict[str, Any]:
        image = self.artifacts.image
        return {
            "images": {"provisioner": image("local-path-provisioner"), "helper": image("busybox")}
        }

    def removal(self, seen: KubernetesSeen, ground_goes: bool) -> Iterator[Step]:
        if ground_goes:
            return
        ours = [h for h in self.servers.hosts if self._is_ours(h, seen)]
        for host in ours:
            yield Step(
                f"{host.name}/leave",
                f"take Kubernetes off {host.name}",
                tuple(kubeadm.leave(host)),
                tuple(f"{w.name}/leave" for w in self.workers if host == self.control_plane),
                15,
            )

    async def observe_left(self, world: World, was: Kubernetes) -> Left:
        return await leaving.observe(self, was, world)

    def refused(self, left: Left, was: Kubernetes) -> list[DiscoError]:
        return leaving.refused(self, was, left)

    def leaving(self, left: Left, was: Kubernetes) -> Iterator[Step]:
        return leaving.steps(self, was, left)

    def _is_ours(self, host: Host, seen: KubernetesSeen) -> bool:
        return seen.facts.get(host.name, EMPTY).ours == self.place.id

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.cluster.checks import checks

        return checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        nodes = (await world[Kube].get(self.cluster, "/api/v1/nodes"))["items"]
        return [
            StatusLine("api", "ready", self.cluster.server),
            *(
                StatusLine(
                    f"node {n['metadata']['name']}",
                    f"{'Ready' if is_ready(n) else 'not Ready'}, "
                    f"{n['status']['nodeInfo']['kubeletVersion']}",
                    f"disco shell {n['metadata']['name']}",
                    is_ready(n),
                )
                for n in nodes
            ),
        ]


def refuse_other_machines(facts: Mapping[str, Facts], nodes: Mapping[str, str]) -> None:
    """Raises Several with every host that was installed anew behind DISCO's back: its node in the
    cluster is another machine. nodes: node -> machine id."""
    errors = [
        DiscoError(
            f"{name} is another machine than the node of that name",
            where=name,
            why=f"the node was machine {nodes[name]}, the host says {found.machine_id}",
            fix="if it was installed anew on purpose, have the cluster forget the old one: "
            f"disco kubectl -- delete node {name}; then again",
        )
        for name, found in facts.items()
        if nodes.get(name) and found.machine_id and nodes[name] != found.machine_id
    ]
    if errors:
        raise Several(errors)


NAMESPACES = {
    "network": "kube-network",
    "storage": "kube-storage",
    "metrics-server": "kube-system",
}
API_TEST = f"kubectl --kubeconfig {kubeadm.ADMIN} get --raw /readyz >/dev/null"
EMPTY = Facts(
    os="debian",
    os_version="",
    arch="x86_64",
    kernel="",
    cpus=0,
    memory_bytes=0,
    disk_free_bytes=0,
    clock_offset_s=0.0,
    boot_id="",
    machine_id="",
    init="systemd",
    root=True,
    cgroup=2,
    may_lower_oom_score=True,
    swap_bytes=0,
    ports=frozenset(),
    left=(),
    ours="",
)
