"""Kubernetes and helm: DISCO's real reader and executors, with a simulated API and helm below."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from disco.engine.errors import DiscoError, Retry
from disco.engine.gate import Report
from disco.engine.secret import Lookup
from disco.kube.access import Cluster
from disco.kube.actions import Release, Uninstall
from disco.kube.execute import KubeExecutors
from disco.kube.paths import path_of
from disco.kube.reader import Kube
from disco.kube.tunnel import Server
from disco.layers.platform.vault_certificate import RELOAD
from sim import cluster as clusters
from sim import vault
from sim.api import Client
from sim.charts import CHARTS
from sim.simulation import Simulation
from sim.state import ClusterState, HostState

HELM = "/api/v1/namespaces/{}/secrets/sh.helm.release.v1.{}.v{}"


class SimulatedKube(Kube):
    def __init__(self, simulation: Simulation, lookup: Lookup) -> None:
        super().__init__(lookup, _certify)
        self._simulation = simulation

    async def secured(
        self, cluster: Cluster, server: Server, path: str, method: str = "GET", **options: Any
    ) -> Any:
        state = self.http(cluster).reach()
        body, headers = options.get("content", options.get("json")), options.get("headers", {})
        return vault.answer(self._simulation, state, server, method, path, body, headers)

    async def shown(self, cluster: Cluster, server: Server) -> str:
        return vault.shown(self._simulation, self.http(cluster).reach(), server)

    async def run_in(self, cluster: Cluster, pod: str, container: str, argv: list[str]) -> str:
        state = self.http(cluster).reach()
        if argv != RELOAD:
            raise self._simulation.refuse(f"nobody taught the simulated pods {argv}")
        vault.reload(self._simulation, state, pod)
        return ""

    def http(self, cluster: Cluster) -> Any:
        """Signed in with what the store has as the cluster's authority."""
        self._lookup(cluster.ca_key)
        return Client(self._simulation, cluster, self._lookup(cluster.ca))


def _certify(*_: Any) -> NoReturn:
    raise AssertionError("the simulation has no connections that need a certificate")


class SimulatedKubeExecutors(KubeExecutors):
    """find: an artifact's file on this machine."""

    def __init__(
        self, kube: Kube, lookup: Lookup, find: Callable[[str], Path], simulation: Simulation
    ) -> None:
        super().__init__(kube, lookup, find)
        self._simulation = simulation

    async def release(self, action: Release, report: Report) -> None:
        self._cluster(action)
        await super().release(action, report)

    async def _helm(self, action: Release | Uninstall, arguments: list[str], stdin: bytes) -> None:
        self._find("helm")
        helm = Helm(self._simulation, self._cluster(action), action.namespace, action.name)
        match arguments[0]:
            case "upgrade" if isinstance(action, Release):
                labels = arguments[arguments.index("--labels") + 1]
                script = helm.upgrade(action.chart, json.loads(stdin), _labels(labels))
            case "uninstall":
                script = helm.uninstall()
            case "rollback":
                script = helm.rollback()
            case verb:
                raise self._simulation.refuse(f"nobody taught the simulated helm {verb}")
        self._simulation.remotely(f"helm {arguments[0]} {action.name}", script)

    def _is_up(self, host: HostState) -> bool:
        return clusters.is_up(host, self._simulation.state.now)

    def _cluster(self, action: Release | Uninstall) -> ClusterState:
        address = action.cluster.server.removeprefix("https://").rpartition(":")[0]
        host = self._simulation.state.by_address(address)
        if host and host.cluster and host.cluster.restarted and not self._is_up(host):
            raise DiscoError("helm can't reach the API", where=host.name, retry=Retry.LIKELY)
        if host is None or not self._is_up(host):
            raise self._simulation.refuse(f"helm for {action.name} before the API is up")
        if host.cluster is None:
            raise AssertionError("a cluster that is up exists")
        return host.cluster


def _labels(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(","))


def _packed(things: Iterable[dict[str, Any]]) -> str:
    """Objects as helm keeps them in a release's Secret; JSON is YAML."""
    manifest = "".join(f"---\n{json.dumps(t)}\n" for t in things)
    packed = gzip.compress(json.dumps({"manifest": manifest}).encode(), 1, mtime=0)
    return base64.b64encode(base64.b64encode(packed)).decode()


def _unpacked(release: str) -> list[dict[str, Any]]:
    packed = base64.b64decode(base64.b64decode(release))
    manifest = json.loads(gzip.decompress(packed))["manifest"]
    return [json.loads(text) for text in manifest.split("---\n") if text]


class Helm:
    """One release in one namespace; its revisions are Secrets, as helm keeps them."""

    def __init__(
        self, simulation: Simulation, cluster: ClusterState, namespace: str, name: str
    ) -> None:
        self._simulation, self._cluster = simulation, cluster
        self._namespace, self._name = namespace, name

    def upgrade(self, chart: str, values: dict[str, Any], labels: dict[str, str]) -> Iterator[str]:
        """upgrade --install: noted as pending, then the objects, then noted as deployed."""
        revisions = self._revisions()
        if revisions and self._status(revisions[-1]).startswith("pending"):
            raise self._simulation.refuse(f"helm refuses: {self._name} is pending")
        if chart not in CHARTS:
            raise self._simulation.refuse(f"nobody taught the simulation the chart {chart}")
        self._refuse_placeholders(values)
        things = dict(CHARTS[chart](self._namespace, values))
        self._refuse_what_pods_can_not_mount(things)
        self._make_namespace()
        yield "the namespace is there"
        revision = (revisions[-1] if revisions else 0) + 1
        pending = "pending-upgrade" if revisions else "pending-install"
        self._note(revision, pending, labels, _packed(things.values()))
        yield "the release is pending"
        for path, thing in things.items():
            if clusters.changes_volumes(self._cluster, path, thing):
                self._set(revision, "failed")
                raise self._forbidden(thing)
            clusters.store(self._cluster, path, thing, self._simulation.state.now)
            if path == clusters.OPENBAO:
                self._make_vault_pods(values["replicas"])
            yield f"{path} is there"
        for path in self._no_longer_in(revisions, things):
            clusters.remove(self._cluster, path, self._simulation.state.now)
            yield f"{path} is gone"
        for old in revisions:
            self._set(old, "superseded")
        self._set(revision, "deployed")
        yield "the release is deployed"

    def _forbidden(self, thing: dict[str, Any]) -> DiscoError:
        """As the API says it, and helm hands it on."""
        name = thing["metadata"]["name"]
        return DiscoError(
            f"helm upgrade {self._name} failed",
            why=f'cannot patch "{name}" with kind StatefulSet: StatefulSet.apps "{name}" is '
            "invalid: spec: Forbidden: updates to statefulset spec for fields other than "
            "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )

    def _make_vault_pods(self, replicas: int) -> None:
        if replicas < len(clusters.vault_of(self._cluster).pods):
            raise self._simulation.refuse("members of the vault's raft go without leaving it")
        clusters.make_vault_pods(self._cluster, replicas, self._simulation.state.now)

    def _no_longer_in(self, revisions: list[int], things: Iterable[str]) -> list[str]:
        """What the newest revision that was deployed has beyond these."""
        deployed = [r for r in revisions if self._status(r) == "deployed"]
        if not deployed:
            return []
        noted = self._cluster.objects[self._path(deployed[-1])]["data"]["release"]
        before = {path_of(t) for t in _unpacked(noted)}
        return sorted(before - set(things))

    def uninstall(self) -> Iterator[str]:
        """Objects go, then the notes of the release; volumes and the namespace stay."""
        mine: set[str] = set()
        for revision in self._revisions():
            noted = self._cluster.objects[self._path(revision)]["data"]["release"]
            mine |= {path_of(t) for t in _unpacked(noted)}
            self._set(revision, "uninstalling")
        yield "the release is being uninstalled"
        for path in [p for p in self._cluster.objects if p in mine]:
            clusters.remove(self._cluster, path, self._simulation.state.now)
            yield f"{path} is gone"
        for revision in self._revisions():
            del self._cluster.objects[self._path(revision)]
        yield "the release is gone"

    def rollback(self) -> Iterator[str]:
        """A new revision like the one before; it keeps that one's labels."""
        *_, before, last = self._revisions()
        noted = self._cluster.objects[self._path(before)]
        labels = noted["metadata"]["labels"]
        self._set(last, "failed")
        ours = {k: labels[k] for k in labels if "disco" in k}
        self._note(last + 1, "deployed", ours, noted["data"]["release"])
        yield "the release is rolled back"

    def _revisions(self) -> list[int]:
        prefix = HELM.format(self._namespace, self._name, "")
        return sorted(
            int(p.removeprefix(prefix)) for p in self._cluster.objects if p.startswith(prefix)
        )

    def _path(self, revision: int) -> str:
        return HELM.format(self._namespace, self._name, revision)

    def _status(self, revision: int) -> str:
        labels = self._cluster.objects[self._path(revision)]["metadata"]["labels"]
        return str(labels["status"])

    def _set(self, revision: int, status: str) -> None:
        self._cluster.objects[self._path(revision)]["metadata"]["labels"]["status"] = status

    def _note(self, revision: int, status: str, labels: dict[str, str], packed: str) -> None:
        name = {"name": self._name, "version": str(revision), "status": status, "owner": "helm"}
        metadata = {"namespace": self._namespace, "labels": {**labels, **name}}
        secret = {"kind": "Secret", "metadata": metadata, "data": {"release": packed}}
        self._cluster.objects[self._path(revision)] = secret

    def _make_namespace(self) -> None:
        path = f"/api/v1/namespaces/{self._namespace}"
        if path not in self._cluster.objects:
            thing = {"kind": "Namespace", "metadata": {"name": self._namespace}}
            clusters.store(self._cluster, path, thing, self._simulation.state.now)

    def _refuse_placeholders(self, values: dict[str, Any]) -> None:
        text = json.dumps(values)
        for wrong in ("known after", "${secret:", "${kept:"):
            if wrong in text:
                raise self._simulation.refuse(f"{self._name} is installed with {wrong!r} in it")

    def _refuse_what_pods_can_not_mount(self, things: dict[str, dict[str, Any]]) -> None:
        for thing in things.values():
            for need in thing["spec"]["needs"]:
                path = f"/api/v1/namespaces/{self._namespace}/{need}"
                if path not in self._cluster.objects:
                    raise self._simulation.refuse(f"{self._name} is installed before {need}")
