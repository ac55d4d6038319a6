"""Metrics for every layer: Prometheus, and node-exporter on every node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Outputs, StatusLine, Step, World
from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef, Text, VersionRef
from disco.kube import charts
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.platform.alerts import AlertsOutputs
from disco.layers.platform.fixed import SetThere, refused_storage, set_there
from disco.layers.platform.oncluster import OnCluster
from disco.layers.platform.seen import ClusterSeen
from disco.layers.platform.vault_clients import VaultClient, VaultNeeds, client
from disco.layers.rules import rules
from disco.stack.model import Model, var
from disco.stack.secret import SecretName

NAMESPACE = "monitoring"
NAME = "prometheus"
GRACE_S = 120  # that its chart gives it to end
ETCD_METRICS, SCHEDULER, CONTROLLER_MANAGER = 2381, 10259, 10257


class RemoteWrite(Model):
    """Another store of metrics that gets every sample, too."""

    url: str = var(pattern=r"^https?://[^@\s/][^@\s]*$")
    """Where samples are sent; who sends them is said by the variables below."""
    username: str = var("", max_length=200)
    """The name for a login by password."""
    password: SecretName | None = None
    """The password for it."""
    token: SecretName | None = None
    """What is sent instead as `Authorization: Bearer …`."""

    @pydantic.model_validator(mode="after")
    def _one_login(self) -> RemoteWrite:
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password need each other")
        if self.password and self.token:
            raise ValueError("a password and a token can't be used at once")
        return self


class PrometheusSpec(Model):
    """Prometheus, its rules and node-exporter."""

    scrape_interval: str = var("15s", pattern=r"^\d+(ms|s|m)$", unit="duration")
    """How often every target is asked."""
    retention: str = var("15d", pattern=r"^\d+(h|d|w|y)$", unit="duration")
    """How long samples are kept."""
    retention_size: str = var("4GB", pattern=r"^\d+(MB|GB|TB)$", unit="bytes")
    """How much of them is kept at most; about a fifth below `storage`."""
    storage: str = var("5Gi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of its volume; it can't be changed later."""
    remote_write: tuple[RemoteWrite, ...] = var((), max_length=8)
    """Where samples are sent besides."""
    vault: VaultNeeds = VaultNeeds()
    """What its pods may do in the vault."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""


class PrometheusWithBrought(PrometheusSpec):
    """What a stack file says, and what its components bring to be watched."""

    rules: dict[str, str] = var({})
    """Texts of rules by the name of their file."""
    scrapes: tuple[dict[str, Any], ...] = ()
    """Jobs, as Prometheus' own configuration has them."""


class PrometheusOutputs(Outputs):
    """interval: how often every target is asked, as Prometheus writes durations."""

    url: str
    interval: str = "15s"


@dataclass(frozen=True)
class PrometheusLeft:
    """logins: names of Secrets of remote stores that are no longer declared."""

    there: SetThere | None = None
    logins: tuple[str, ...] = ()


def login(number: int) -> str:
    """The name of the Secret of the remote store with this number."""
    return f"remote-write-{number}"


def _secret(name: str) -> str:
    return f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}"


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


class Prometheus(OnCluster):
    """Metrics of servers, kubelets, control plane, vault and chains, with alert rules."""

    section = "prometheus"
    spec: PrometheusSpec
    alerts: AlertsOutputs | None

    @classmethod
    def wants(cls, spec: PrometheusSpec) -> tuple[str, ...]:
        return ("images/metrics",)

    @classmethod
    def dashboards(cls, spec: PrometheusSpec) -> Mapping[str, str]:
        return {"prometheus": shipped("prometheus"), "disco": shipped("disco")}

    @classmethod
    def rules(cls, spec: PrometheusSpec) -> Mapping[str, str]:
        """Those that need nothing but it: about what is not there they keep still."""
        return rules("alerts", "chain", "cluster", "disco", "hosts", "logs", "vault")

    @classmethod
    def vault_client(cls, spec: PrometheusSpec) -> VaultClient | None:
        return client(cls.section, NAMESPACE, NAME, spec.vault)

    def outputs(self, seen: ClusterSeen) -> PrometheusOutputs:
        url = f"http://{NAME}.{NAMESPACE}:9090"
        return PrometheusOutputs(url=url, interval=self.spec.scrape_interval)

    def _all_steps(self) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        release = Release(
            cluster, NAME, NAMESPACE, NAME, charts.source(NAME), self._values(), within_s=120
        )
        objects = list(self._logins())
        if objects:
            apply = Apply(cluster, "remote-write", (_namespace(), *objects))
            yield Step("logins", "logins of remote stores in the cluster", (apply,))
        after = ("logins",) if objects else ()
        yield Step("release", "install Prometheus and node-exporter", (release,), after, 3)
        yield Step(
            "ready",
            "Prometheus is ready",
            (
                AwaitRollout(cluster, f"statefulsets/{NAMESPACE}/{NAME}", GRACE_S + 60),
                AwaitRollout(cluster, f"daemonsets/{NAMESPACE}/node-exporter"),
            ),
            ("release",),
            8,
        )

    def _logins(self) -> Iterator[dict[str, Any]]:
        """A Secret for each remote store that asks for one."""
        for number, remote in enumerate(self.spec.remote_write):
            if secret := remote.password or remote.token:
                yield {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "type": "Opaque",
                    "metadata": {"name": login(number), "namespace": NAMESPACE},
                    "stringData": {"secret": Text.of(SecretRef.of(secret))},
                }

    def _remote(self, number: int, remote: RemoteWrite) -> dict[str, Any]:
        """version: another one with each other value, so that it is read anew."""
        secret = remote.password or remote.token
        told = {"url": remote.url, "username": remote.username}
        return told | (
            {"secret": login(number), "version": VersionRef(secret.secret)} if secret else {}
        )

    def _values(self) -> dict[str, Any]:
        planes = [h.address for h in self.kubernetes.control_planes]
        brought = self.spec if isinstance(self.spec, PrometheusWithBrought) else None
        return {
            "image": self.artifacts.image("prometheus"),
            "nodeExporter": {"image": self.artifacts.image("node-exporter")},
            "scrapeInterval": self.spec.scrape_interval,
            "retention": {"time": self.spec.retention, "size": self.spec.retention_size},
            "storage": {"size": self.spec.storage},
            "externalLabels": {"stack": self.place.root.name},
            "alertmanagers": list(self.alerts.addresses) if self.alerts else [],
            "remoteWrite": [self._remote(i, r) for i, r in enumerate(self.spec.remote_write)],
            "rules": dict(sorted(brought.rules.items())) if brought else {},
            "scrapeConfigs": list(brought.scrapes) if brought else [],
            "controlPlane": {
                "etcd": [f"{a}:{ETCD_METRICS}" for a in planes],
                "scheduler": [f"{a}:{SCHEDULER}" for a in planes],
                "controllerManager": [f"{a}:{CONTROLLER_MANAGER}" for a in planes],
            },
        }

    async def observe_left(self, world: World, was: Prometheus) -> PrometheusLeft:
        there = await set_there(world, self.kubernetes.cluster, NAMESPACE, NAME)
        mine = {thing["metadata"]["name"] for thing in self._logins()}
        old = [n for thing in was._logins() if (n := thing["metadata"]["name"]) not in mine]
        found = [
            name for name in old if await world[Kube].find(self.kubernetes.cluster, _secret(name))
        ]
        return PrometheusLeft(there, tuple(found))

    def leaving(self, left: PrometheusLeft, was: Prometheus) -> Iterator[Step]:
        for name in left.logins:
            gone = Delete(self.kubernetes.cluster, _secret(name))
            yield Step(f"{name}/gone", f"delete the login {name}", (gone,))

    def refused(self, left: PrometheusLeft, was: Prometheus) -> list[DiscoError]:
        """Rather than failing in the middle of a run."""
        instead = (
            f"take {self.section} out of the file and apply, delete its volume with all samples: "
            f"disco kubectl -- -n {NAMESPACE} delete pvc data-{NAME}-0; then put it in again"
        )
        return refused_storage(left.there, self.spec.storage, self.name, instead)

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        if not ground_goes and f"{NAMESPACE}/{NAME}" in seen.releases:
            logins = [Delete(cluster, _secret(t["metadata"]["name"])) for t in self._logins()]
            # The release goes last: while it is there, an earlier way out was cut off.
            actions = (*logins, Uninstall(cluster, NAME, NAMESPACE))
            yield Step("release", "uninstall Prometheus", actions, (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import prometheus_checks

        return prometheus_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = (found or {}).get("status", {}).get("readyReplicas", 0)
        return [
            StatusLine(
                "prometheus",
                "ready" if ready else "not ready",
                f"kubectl -n {NAMESPACE} port-forward svc/{NAME} 9090",
                bool(ready),
            )
        ]
