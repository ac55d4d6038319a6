"""Logs that are kept and searched: VictoriaLogs or Loki, and a collector on every node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import model_validator

from disco.checks.logs import LogStore, VictoriaLogs
from disco.checks.loki import LokiStore, hours
from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Outputs, StatusLine, Step, World
from disco.engine.errors import DiscoError
from disco.kube import charts
from disco.kube.actions import AwaitRollout, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.platform.fixed import SetThere, refused_storage, set_there
from disco.layers.platform.oncluster import OnCluster
from disco.layers.platform.seen import ClusterSeen
from disco.layers.platform.vault_clients import VaultClient, VaultNeeds, client
from disco.stack.model import Model, var

NAMESPACE = NAME = "logs"
COLLECTOR = "log-collector"
GRACE_S = 60  # that its chart gives it to end
SHORTEST_H = 24  # that Loki can be told to keep lines


@dataclass(frozen=True)
class Kind:
    """A store of logs. chart: its chart, its StatefulSet and its Service. collects: the containers
    of its collector."""

    chart: str
    called: str
    port: int
    images: tuple[str, ...]
    collects: str


KINDS = {
    "victoria-logs": Kind("logs", "VictoriaLogs", 9428, ("logs",), "pods (or -c journal)"),
    "loki": Kind("loki", "Loki", 3100, ("loki", "loki-collector"), "collector"),
}


class LogsSpec(Model):
    """A store of logs, and its collectors."""

    store: Literal["victoria-logs", "loki"] = "victoria-logs"
    """What keeps them. Each has a volume of its own: what one has kept, the other has not."""
    retention: str = var("30d", pattern=r"^[1-9]\d*(h|d|w|y)$", unit="duration")
    """How long lines are kept; by Loki a day or longer."""
    retention_size: str = var("4GB", pattern=r"^[1-9]\d*(MB|GB|TB)$", unit="bytes")
    """How much of them VictoriaLogs keeps at most, the newest day aside; about a fifth below
    `storage`."""
    storage: str = var("5Gi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of its volume; it can't be changed later."""
    vault: VaultNeeds = VaultNeeds()
    """What its pods may do in the vault."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""

    @model_validator(mode="after")
    def _as_loki_can(self) -> Self:
        usual = type(self).model_fields["retention_size"].default
        if self.store == "loki" and self.retention_size != usual:
            raise ValueError("retention_size is for victoria-logs: Loki keeps by time alone")
        if self.store == "loki" and hours(self.retention) < SHORTEST_H:
            raise ValueError(f"retention is at least {SHORTEST_H}h with loki")
        return self


class LogsOutputs(Outputs):
    url: str
    store: str


class Logs(OnCluster):
    """Logs of all pods and of the servers' own journals, kept and searched by `disco logs`."""

    section = "logs"
    spec: LogsSpec

    @classmethod
    def wants(cls, spec: LogsSpec) -> tuple[str, ...]:
        return tuple(f"images/{name}" for name in KINDS[spec.store].images)

    @classmethod
    def dashboards(cls, spec: LogsSpec) -> Mapping[str, str]:
        return {"logs": shipped("logs")} if spec.store == "victoria-logs" else {}

    @classmethod
    def vault_client(cls, spec: LogsSpec) -> VaultClient | None:
        return client(cls.section, NAMESPACE, NAME, spec.vault)

    @property
    def kind(self) -> Kind:
        return KINDS[self.spec.store]

    @property
    def set_name(self) -> str:
        """Of its StatefulSet."""
        return self.kind.chart

    def store(self, kube: Kube) -> LogStore:
        cluster = self.kubernetes.cluster
        if self.spec.store == "loki":
            return LokiStore(kube, cluster, self.spec.retention)
        return VictoriaLogs(kube, cluster)

    def outputs(self, seen: ClusterSeen) -> LogsOutputs:
        url = f"http://{self.kind.chart}.{NAMESPACE}:{self.kind.port}"
        return LogsOutputs(url=url, store=self.spec.store)

    def _all_steps(self) -> Iterator[Step]:
        cluster, chart, called = self.kubernetes.cluster, self.kind.chart, self.kind.called
        values = self._of_loki() if self.spec.store == "loki" else self._of_victoria_logs()
        release = Release(
            cluster, NAME, NAMESPACE, chart, charts.source(chart), values, within_s=120
        )
        yield Step("release", f"install {called} and its collectors", (release,), (), 3)
        yield Step(
            "ready",
            f"{called} and its collectors are ready",
            (
                AwaitRollout(cluster, f"statefulsets/{NAMESPACE}/{self.set_name}", GRACE_S + 60),
                AwaitRollout(cluster, f"daemonsets/{NAMESPACE}/{COLLECTOR}"),
            ),
            ("release",),
            8,
        )

    def _of_victoria_logs(self) -> dict[str, Any]:
        return {
            "image": self.artifacts.image("victoria-logs"),
            "collector": {"image": self.artifacts.image(COLLECTOR)},
            "retention": {"time": self.spec.retention, "size": self.spec.retention_size},
            **self._of_both(),
        }

    def _of_loki(self) -> dict[str, Any]:
        return {
            "image": self.artifacts.image("loki"),
            "collector": {
                "image": self.artifacts.image("otel-logs"),
                "beat": {"image": self.artifacts.image("busybox")},
            },
            "retention": self.spec.retention,
            **self._of_both(),
        }

    def _of_both(self) -> dict[str, Any]:
        return {
            "storage": {"size": self.spec.storage},
            "networkPolicy": {"cidrs": list(self.kubernetes.proxies)},
        }

    async def observe_left(self, world: World, was: Logs) -> SetThere | None:
        return await set_there(world, self.kubernetes.cluster, NAMESPACE, self.set_name)

    def refused(self, left: SetThere | None, was: Logs) -> list[DiscoError]:
        """Rather than failing in the middle of a run."""
        instead = (
            f"take {self.section} out of the file and apply, delete its volume with all lines: "
            f"disco kubectl -- -n {NAMESPACE} delete pvc data-{self.set_name}-0; then put it in "
            "again"
        )
        return refused_storage(left, self.spec.storage, self.name, instead)

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        if not ground_goes and f"{NAMESPACE}/{NAME}" in seen.releases:
            gone = Uninstall(self.kubernetes.cluster, NAME, NAMESPACE)
            about = f"uninstall {self.kind.called} and its collectors"
            yield Step("release", about, (gone,), (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import logs_checks

        return logs_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{self.set_name}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = bool((found or {}).get("status", {}).get("readyReplicas", 0))
        state = "ready" if ready else "not ready"
        return [StatusLine(NAME, state, "disco logs NAME --since 1h", ready)]
