"""Does it answer, asked from outside of it: blackbox-exporter, which Prometheus has ask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pydantic

from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Outputs, StatusLine, Step, World
from disco.engine.secret import SecretRef, Text
from disco.kube import charts
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.platform import openbao
from disco.layers.platform.oncluster import OnCluster
from disco.layers.platform.prometheus import NAMESPACE as METRICS
from disco.layers.platform.prometheus import PrometheusOutputs
from disco.layers.platform.seen import ClusterSeen
from disco.layers.platform.vault import VaultOutputs
from disco.layers.probed import CLUSTER, Probe, Probed
from disco.layers.rules import rules
from disco.stack.model import Model, var

NAMESPACE = "probes"
NAME = "blackbox"
PORT = 9115
JOB = "probe"
AUTHORITIES = "authorities"  # the ConfigMap, and the folder in the pod
DOOR = "from-probes"  # the NetworkPolicy that lets them in where the vault is
WORD = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


class ProbesSpec(Model):
    """Addresses that are asked over and over, each as often as targets are scraped."""

    targets: dict[str, Probe] = var({}, max_length=256)
    """Addresses of your own, by a name of yours. The API server, the vault and the nodes of each
    chain are asked besides."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""

    @pydantic.field_validator("targets")
    @classmethod
    def _named(cls, targets: dict[str, Probe]) -> dict[str, Probe]:
        for name in targets:
            if not re.fullmatch(WORD, name):
                raise ValueError(f"a probe's name is lower case letters, digits, -: {name!r}")
        return targets


class ProbesWithDeclared(ProbesSpec):
    """What a stack file says, and what its components ask to be probed."""

    declared: dict[str, Probed] = var({})
    """By a name that begins with the component's: `vault/health`, `akash/rpc`."""

    @property
    def all(self) -> dict[str, Probed]:
        own = {name: Probed(**probe.model_dump()) for name, probe in self.targets.items()}
        return {**self.declared, **own}


class ProbesOutputs(Outputs):
    address: str


class Probes(OnCluster):
    """Probes of the API, the vault, each chain's nodes and addresses of your own."""

    section = "probes"
    spec: ProbesSpec
    prometheus: PrometheusOutputs
    vault: VaultOutputs | None

    @classmethod
    def wants(cls, spec: ProbesSpec) -> tuple[str, ...]:
        return ("images/probes",)

    @classmethod
    def dashboards(cls, spec: ProbesSpec) -> Mapping[str, str]:
        return {"probes": shipped("probes")}

    @classmethod
    def rules(cls, spec: ProbesSpec) -> Mapping[str, str]:
        return rules("probes")

    @classmethod
    def scrapes(cls, spec: ProbesSpec) -> tuple[dict[str, Any], ...]:
        """One job: Prometheus has each address asked, and keeps how that went."""
        if not isinstance(spec, ProbesWithDeclared) or not spec.all:
            return ()
        configs = [
            {"targets": [p.target], "labels": {"probe": name, "module": module(p)}}
            for name, p in spec.all.items()
        ]
        return (
            {
                "job_name": JOB,
                "metrics_path": "/probe",
                "static_configs": configs,
                "relabel_configs": [
                    {"source_labels": ["__address__"], "target_label": "__param_target"},
                    {"source_labels": ["module"], "target_label": "__param_module"},
                    {"source_labels": ["__address__"], "target_label": "instance"},
                    {"regex": "module", "action": "labeldrop"},
                    {"target_label": "__address__", "replacement": f"{NAME}.{NAMESPACE}:{PORT}"},
                ],
            },
        )

    @property
    def asked(self) -> dict[str, Probed]:
        """All that is asked, by name."""
        return self.spec.all if isinstance(self.spec, ProbesWithDeclared) else {}

    @property
    def authorities(self) -> tuple[str, ...]:
        """Secrets of the store whose certificates are believed."""
        found = (p.authority for p in self.asked.values() if p.authority not in ("", CLUSTER))
        return tuple(dict.fromkeys(found))

    def outputs(self, seen: ClusterSeen) -> ProbesOutputs:
        return ProbesOutputs(address=f"{NAME}.{NAMESPACE}:{PORT}")

    def _all_steps(self) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        objects = list(self._objects())
        if objects:
            apply = Apply(cluster, NAMESPACE, (_namespace(), *objects))
            title = "whom probes believe, and the way to the vault"
            yield Step("authorities", title, (apply,))
        release = Release(
            cluster, NAME, NAMESPACE, NAME, charts.source(NAME), self._values(), within_s=120
        )
        after = ("authorities",) if objects else ()
        yield Step("release", "install blackbox-exporter", (release,), after, 3)
        waits = AwaitRollout(cluster, f"deployments/{NAMESPACE}/{NAME}")
        yield Step("ready", "probes can be asked", (waits,), ("release",), 4)

    def _objects(self) -> Iterator[dict[str, Any]]:
        """What others have to bring: certificates of authorities, and a way into the vault."""
        if self.authorities:
            yield {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": AUTHORITIES, "namespace": NAMESPACE},
                "data": {_file(a): Text.of(SecretRef(a, "crt")) for a in self.authorities},
            }
        if self.vault:
            yield _door()

    def _values(self) -> dict[str, Any]:
        return {
            "image": self.artifacts.image("blackbox-exporter"),
            "config": {"modules": {module(p): config(p) for p in self.asked.values()}},
            "authorities": AUTHORITIES if self.authorities else "",
            "networkPolicy": {"namespaces": [METRICS]},
        }

    async def observe_left(self, world: World, was: Probes) -> tuple[str, ...]:
        """Paths of what others need no longer."""
        mine = {_path(thing) for thing in self._objects()}
        old = [path for thing in was._objects() if (path := _path(thing)) not in mine]
        cluster = self.kubernetes.cluster
        return tuple([p for p in old if await world[Kube].find(cluster, p)])

    def leaving(self, left: tuple[str, ...], was: Probes) -> Iterator[Step]:
        for path in left:
            gone = Delete(self.kubernetes.cluster, path)
            yield Step(f"{path.rpartition('/')[2]}/gone", f"delete {path}", (gone,))

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        if not ground_goes and f"{NAMESPACE}/{NAME}" in seen.releases:
            objects = [Delete(cluster, _path(thing)) for thing in self._objects()]
            # The release goes last: while it is there, an earlier way out was cut off.
            actions = (*objects, Uninstall(cluster, NAME, NAMESPACE))
            yield Step("release", "uninstall blackbox-exporter", actions, (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import probes_checks

        return probes_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = bool((found or {}).get("status", {}).get("readyReplicas", 0))
        state = f"asks {len(self.asked)} addresses" if ready else "not ready"
        return [StatusLine(NAME, state, "disco check --only probes", ready)]


def module(probe: Probed) -> str:
    """The name of the way in which it is asked."""
    way = "tcp" if probe.tcp else f"http-{probe.expect or '2xx'}"
    return f"{way}-{probe.authority.replace('/', '-')}" if probe.authority else way


def config(probe: Probed) -> dict[str, Any]:
    """That way, as blackbox-exporter reads it."""
    if probe.tcp:
        return {"prober": "tcp", "tcp": {"preferred_ip_protocol": "ip4"}}
    http: dict[str, Any] = {"preferred_ip_protocol": "ip4"}
    if probe.expect is not None:
        http |= {"valid_status_codes": [probe.expect], "follow_redirects": False}
    if probe.authority == CLUSTER:
        http["tls_config"] = {"ca_file": "/etc/cluster/ca.crt"}
    elif probe.authority:
        http["tls_config"] = {"ca_file": f"/etc/{AUTHORITIES}/{_file(probe.authority)}"}
    return {"prober": "http", "http": http}


def _file(authority: str) -> str:
    return f"{authority.replace('/', '-')}.crt"


def _path(thing: Mapping[str, Any]) -> str:
    meta = thing["metadata"]
    if thing["kind"] == "ConfigMap":
        return f"/api/v1/namespaces/{meta['namespace']}/configmaps/{meta['name']}"
    group = f"/apis/networking.k8s.io/v1/namespaces/{meta['namespace']}"
    return f"{group}/networkpolicies/{meta['name']}"


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _door() -> dict[str, Any]:
    """The vault lets nobody in who is not named: what asks it brings its own way in."""
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": DOOR, "namespace": openbao.NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": openbao.NAME}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 8200, "protocol": "TCP"}], "from": [peer]}],
        },
    }
