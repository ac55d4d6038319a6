"""What is done to a cluster: objects applied, releases installed, and waiting for both."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass, field
from typing import Any, ClassVar

from disco.engine.action import Action, to_data
from disco.kube import charts
from disco.kube.access import Cluster

MANAGER = "disco"  # the field manager of what DISCO applies itself
DIGEST = "disco.network/digest"  # the annotation that holds what an object was made from


@dataclass(frozen=True)
class Apply(Action):
    """Objects by server-side apply, field manager `disco`. Values may hold secret references."""

    kind: ClassVar[str] = "apply"
    cluster: Cluster
    name: str
    objects: tuple[dict[str, Any], ...] = field(hash=False)

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:objects/{self.name}"

    def describe(self) -> str:
        kinds = ", ".join(f"{o['kind']} {o['metadata']['name']}" for o in self.objects[:4])
        more = f" and {len(self.objects) - 4} more" if len(self.objects) > 4 else ""
        return f"apply {kinds}{more}"

    def command(self) -> str:
        texts = "\n".join(json.dumps(to_data(o), sort_keys=True) for o in self.objects)
        line = "kubectl apply --server-side --field-manager=disco --force-conflicts -f -"
        return f"{line} <<'EOF'\n{texts}\nEOF"

    @property
    def want(self) -> str:
        """The digest kept in each object's annotation."""
        text = json.dumps([to_data(o) for o in self.objects], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Drain(Action):
    """A node that gets no new pods and loses those that it has, as disruption budgets allow.

    Pods of DaemonSets stay. A node that is not there, or does not answer, has nothing to be waited
    for: its pods go with it.
    """

    kind: ClassVar[str] = "drain"
    cluster: Cluster
    node: str
    within_s: float = 300.0

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:drain/{self.node}"

    def describe(self) -> str:
        return f"drain {self.node}, at most {self.within_s:.0f} s"

    def command(self) -> str:
        return (
            f"kubectl drain {self.node} --ignore-daemonsets --delete-emptydir-data "
            f"--timeout={self.within_s:.0f}s"
        )


@dataclass(frozen=True)
class DropPods(Action):
    """Pods of a node that was forgotten go at once, rather than when the cluster's collector of
    garbage comes to them a minute later: until then they count as endpoints that don't answer."""

    kind: ClassVar[str] = "drop-pods"
    cluster: Cluster
    node: str

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:pods-of/{self.node}"

    def describe(self) -> str:
        return f"delete what pods {self.node} left behind"

    def command(self) -> str:
        return (
            f"kubectl delete pods -A --field-selector spec.nodeName={self.node} "
            "--grace-period=0 --force"
        )


@dataclass(frozen=True)
class Delete(Action):
    """An object that goes away, by its API path."""

    kind: ClassVar[str] = "delete"
    cluster: Cluster
    path: str
    loses: tuple[str, ...] = ()

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:{self.path}"

    def describe(self) -> str:
        return f"delete {self.path}"

    def command(self) -> str:
        return f"kubectl delete --raw {shlex.quote(self.path)}"

    @property
    def destroys(self) -> tuple[str, ...]:
        return self.loses


@dataclass(frozen=True)
class Release(Action):
    """A Helm release of a chart of ours, or of another package, with these values.

    chart:  as `charts.folder` takes it: `storage`, or `PACKAGE:PATH`.
    wait:   until it is ready.
    source: SHA-256 (hex) of the chart's files.
    """

    kind: ClassVar[str] = "release"
    cluster: Cluster
    name: str
    namespace: str
    chart: str
    source: str
    values: dict[str, Any] = field(hash=False)
    wait: bool = False
    within_s: float = 180.0

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:release/{self.namespace}/{self.name}"

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def describe(self) -> str:
        return f"install or upgrade release {self.name} in {self.namespace}"

    def command(self) -> str:
        values = json.dumps(to_data(self.values), sort_keys=True)
        chart = charts.folder(self.chart) if ":" in self.chart else f"charts/{self.chart}"
        return (
            f"helm upgrade --install {self.name} {chart} -n {self.namespace} "
            f"--create-namespace{' --wait' if self.wait else ''} -f - <<'EOF'\n{values}\nEOF"
        )

    @property
    def want(self) -> str:
        """What the release's label must say; a label holds at most 63 characters."""
        text = json.dumps([self.chart, self.source, to_data(self.values)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Uninstall(Action):
    """A Helm release that goes away with everything in it but its volumes."""

    kind: ClassVar[str] = "uninstall"
    cluster: Cluster
    name: str
    namespace: str

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:release/{self.namespace}/{self.name}"

    def describe(self) -> str:
        return f"uninstall release {self.name} in {self.namespace}"

    def command(self) -> str:
        return f"helm uninstall {self.name} -n {self.namespace}"

    @property
    def destroys(self) -> tuple[str, ...]:
        return (f"release {self.name} in {self.namespace}",)


@dataclass(frozen=True)
class AwaitRollout(Action):
    """Until a workload has its pods ready and up to date.

    workload: `deployments/NS/NAME`, `statefulsets/…` or `daemonsets/…`.
    enough: as many pods do; 0 for all.
    """

    kind: ClassVar[str] = "await-rollout"
    waits: ClassVar[bool] = True
    cluster: Cluster
    workload: str
    within_s: float = 120.0
    enough: int = 0

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:await/{self.workload}"

    def describe(self) -> str:
        return f"wait until {self.workload} is ready, at most {self.within_s:.0f} s"

    def command(self) -> str:
        kind, namespace, name = self.workload.split("/")
        return f"kubectl -n {namespace} rollout status {kind}/{name} --timeout={self.within_s:.0f}s"


@dataclass(frozen=True)
class AwaitNodes(Action):
    """Until these nodes are Ready. enough: as many of them do; 0 for all."""

    kind: ClassVar[str] = "await-nodes"
    waits: ClassVar[bool] = True
    cluster: Cluster
    nodes: tuple[str, ...]
    enough: int = 0
    within_s: float = 120.0

    def missing(self, ready: set[str]) -> tuple[str, ...]:
        """The nodes that are waited for."""
        away = tuple(n for n in self.nodes if n not in ready)
        return () if self.enough and len(self.nodes) - len(away) >= self.enough else away

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:await/nodes"

    def describe(self) -> str:
        return f"wait until {', '.join(self.nodes)} Ready, at most {self.within_s:.0f} s"

    def command(self) -> str:
        names = " ".join(f"node/{n}" for n in self.nodes)
        return f"kubectl wait --for=condition=Ready {names} --timeout={self.within_s:.0f}s"
