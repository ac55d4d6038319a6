"""Dashboards that people look at: Grafana, with what the stack's components declare."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Outputs, StatusLine, Step, World
from disco.engine.secret import SecretRef, Text, VersionRef
from disco.kube import charts
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.platform.logs import LogsOutputs
from disco.layers.platform.oncluster import OnCluster
from disco.layers.platform.prometheus import NAMESPACE, PrometheusOutputs
from disco.layers.platform.seen import ClusterSeen
from disco.layers.platform.vault_clients import VaultClient, VaultNeeds, client
from disco.stack.model import Model, var
from disco.store.actions import Remember, told_anew
from disco.store.generate import Password

NAME = "grafana"
ADMIN = "grafana/admin"  # in the store
ADMIN_SECRET = "grafana-admin"  # in the cluster
RUNBOOKS = Path(__file__).resolve().parents[4] / "docs" / "runbooks"


class GrafanaSpec(Model):
    """Grafana."""

    external_url: str = var("", pattern=r"^(https?://[^@\s]+)?$")
    """The address that people reach it at, when that is no forwarded port."""
    vault: VaultNeeds = VaultNeeds()
    """What its pods may do in the vault."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""


class GrafanaWithBoards(GrafanaSpec):
    """What a stack file says, and the dashboards that its components declare."""

    boards: dict[str, str] = var({})
    """JSON by the name of its file, without its ending."""


class GrafanaOutputs(Outputs):
    url: str


class Grafana(OnCluster):
    """Dashboards of servers, cluster, metrics, vault, logs and each chain, in Grafana."""

    section = "grafana"
    spec: GrafanaSpec
    prometheus: PrometheusOutputs
    logs: LogsOutputs | None

    @classmethod
    def wants(cls, spec: GrafanaSpec) -> tuple[str, ...]:
        return ("images/grafana",)

    @classmethod
    def dashboards(cls, spec: GrafanaSpec) -> Mapping[str, str]:
        return {"stack": shipped("stack")}

    @classmethod
    def vault_client(cls, spec: GrafanaSpec) -> VaultClient | None:
        return client(cls.section, NAMESPACE, NAME, spec.vault)

    def outputs(self, seen: ClusterSeen) -> GrafanaOutputs:
        return GrafanaOutputs(url=f"http://{NAME}.{NAMESPACE}:3000")

    def notes(self, seen: ClusterSeen) -> list[str]:
        return told_anew(seen.anew)

    def _all_steps(self) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        password = Remember(ADMIN, Password(32), rotates=True)
        yield Step("password", "make the password of Grafana's admin", (password,))
        yield Step(
            "login",
            "Grafana's password in the cluster",
            (Apply(cluster, NAME, (_login(),)),),
            ("password",),
        )
        release = Release(
            cluster, NAME, NAMESPACE, NAME, charts.source(NAME), self._values(), within_s=120
        )
        yield Step("release", "install Grafana and its dashboards", (release,), ("login",), 3)
        yield Step(
            "ready",
            "Grafana is ready",
            (AwaitRollout(cluster, f"deployments/{NAMESPACE}/{NAME}", 240),),
            ("release",),
            20,
        )

    def _values(self) -> dict[str, Any]:
        boards = self.spec.boards if isinstance(self.spec, GrafanaWithBoards) else {}
        return {
            "image": self.artifacts.image(NAME),
            "adminSecret": {"name": ADMIN_SECRET, "version": VersionRef(ADMIN)},
            "prometheus": {"url": self.prometheus.url, "interval": self.prometheus.interval},
            **({"logs": {"url": self.logs.url, "store": self.logs.store}} if self.logs else {}),
            "dashboards": {f"{name}.json": _small(text) for name, text in sorted(boards.items())},
            "runbooks": dict(_runbooks()),
            "externalUrl": self.spec.external_url,
            "networkPolicy": {"cidrs": list(self.kubernetes.proxies)},
        }

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        if not ground_goes and f"{NAMESPACE}/{NAME}" in seen.releases:
            cluster = self.kubernetes.cluster
            login = Delete(cluster, f"/api/v1/namespaces/{NAMESPACE}/secrets/{ADMIN_SECRET}")
            # The release goes last: while it is there, an earlier way out was cut off.
            actions = (login, Uninstall(cluster, NAME, NAMESPACE))
            yield Step("release", "uninstall Grafana", actions, (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import grafana_checks

        return grafana_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = bool((found or {}).get("status", {}).get("readyReplicas", 0))
        reach = f"kubectl -n {NAMESPACE} port-forward svc/{NAME} 3000"
        address = self.spec.external_url or reach
        return [StatusLine(NAME, "ready" if ready else "not ready", address, ready)]


def _login() -> dict[str, Any]:
    """Its namespace is there by Prometheus."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": ADMIN_SECRET, "namespace": NAMESPACE},
        "stringData": {"password": Text.of(SecretRef(ADMIN))},
    }


@cache
def _runbooks() -> tuple[tuple[str, str], ...]:
    """A page for each alert, where panels lead to."""
    found = []
    for page in sorted(RUNBOOKS.glob("[A-Z]*.md")):
        if page.stem != "README":
            name = page.stem.lower()
            text = shipped("runbook", TITLE=page.stem, NAME=name, TEXT=page.read_text())
            found.append((f"runbook-{name}.json", _small(text)))
    return tuple(found)


@lru_cache(maxsize=64)
def _small(text: str) -> str:
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
