"""Logs that are kept and searched: VictoriaLogs, and a collector on every node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

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


class LogsSpec(Model):
    """VictoriaLogs, and its collectors."""

    retention: str = var("30d", pattern=r"^[1-9]\d*(h|d|w|y)$", unit="duration")
    """How long lines are kept."""
    retention_size: str = var("4GB", pattern=r"^[1-9]\d*(MB|GB|TB)$", unit="bytes")
    """How much of them is kept at most, the newest day aside; about a fifth below `storage`."""
    storage: str = var("5Gi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of its volume; it can't be changed later."""
    vault: VaultNeeds = VaultNeeds()
    """What its pods may do in the vault."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""


class LogsOutputs(Outputs):
    url: str


class Logs(OnCluster):
    """Logs of all pods and of the servers' own journals, kept and searched by `disco logs`."""

    section = "logs"
    spec: LogsSpec

    @classmethod
    def wants(cls, spec: LogsSpec) -> tuple[str, ...]:
        return ("images/logs",)

    @classmethod
    def dashboards(cls, spec: LogsSpec) -> Mapping[str, str]:
        return {"logs": shipped("logs")}

    @classmethod
    def vault_client(cls, spec: LogsSpec) -> VaultClient | None:
        return client(cls.section, NAMESPACE, NAME, spec.vault)

    def outputs(self, seen: ClusterSeen) -> LogsOutputs:
        return LogsOutputs(url=f"http://{NAME}.{NAMESPACE}:9428")

    def _all_steps(self) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        release = Release(
            cluster, NAME, NAMESPACE, NAME, charts.source(NAME), self._values(), within_s=120
        )
        yield Step("release", "install VictoriaLogs and its collectors", (release,), (), 3)
        yield Step(
            "ready",
            "VictoriaLogs and its collectors are ready",
            (
                AwaitRollout(cluster, f"statefulsets/{NAMESPACE}/{NAME}", GRACE_S + 60),
                AwaitRollout(cluster, f"daemonsets/{NAMESPACE}/{COLLECTOR}"),
            ),
            ("release",),
            8,
        )

    def _values(self) -> dict[str, Any]:
        return {
            "image": self.artifacts.image("victoria-logs"),
            "collector": {"image": self.artifacts.image(COLLECTOR)},
            "retention": {"time": self.spec.retention, "size": self.spec.retention_size},
            "storage": {"size": self.spec.storage},
            "networkPolicy": {"cidrs": list(self.kubernetes.proxies)},
        }

    async def observe_left(self, world: World, was: Logs) -> SetThere | None:
        return await set_there(world, self.kubernetes.cluster, NAMESPACE, NAME)

    def refused(self, left: SetThere | None, was: Logs) -> list[DiscoError]:
        """Rather than failing in the middle of a run."""
        instead = (
            f"take {self.section} out of the file and apply, delete its volume with all lines: "
            f"disco kubectl -- -n {NAMESPACE} delete pvc data-{NAME}-0; then put it in again"
        )
        return refused_storage(left, self.spec.storage, self.name, instead)

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        if not ground_goes and f"{NAMESPACE}/{NAME}" in seen.releases:
            gone = Uninstall(self.kubernetes.cluster, NAME, NAMESPACE)
            yield Step("release", "uninstall VictoriaLogs and its collectors", (gone,), (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import logs_checks

        return logs_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = bool((found or {}).get("status", {}).get("readyReplicas", 0))
        state = "ready" if ready else "not ready"
        return [StatusLine(NAME, state, "disco logs NAME --since 1h", ready)]
