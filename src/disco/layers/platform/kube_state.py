"""The state of the cluster's objects as metrics: what is desired, what is there, what restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Outputs, StatusLine, Step, World
from disco.kube import charts
from disco.kube.actions import AwaitRollout, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.platform.oncluster import OnCluster
from disco.layers.platform.prometheus import NAMESPACE as METRICS
from disco.layers.platform.prometheus import PrometheusOutputs
from disco.layers.platform.seen import ClusterSeen
from disco.layers.rules import rules
from disco.stack.model import Model, var

NAMESPACE = NAME = JOB = "kube-state"
PORT = 9464
# What its figures call a thing -> what all other metrics of the cluster call it.
LABELS = ("namespace", "pod", "container", "node", "deployment", "statefulset", "daemonset", "job")
CALLED = {"job": "kube_job"}  # `job` is the name of what scrapes


class KubeStateSpec(Model):
    """What watches the cluster's objects."""

    interval: str = var("10s", pattern=r"^[1-9]\d*(s|m)$", unit="duration")
    """How often its figures are made anew."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""


class KubeStateOutputs(Outputs):
    address: str


class KubeState(OnCluster):
    """Metrics of workloads, pods, containers, jobs and nodes, as the API server has them."""

    section = "kube_state"
    spec: KubeStateSpec
    prometheus: PrometheusOutputs

    @classmethod
    def wants(cls, spec: KubeStateSpec) -> tuple[str, ...]:
        return ("images/kube-state",)

    @classmethod
    def dashboards(cls, spec: KubeStateSpec) -> Mapping[str, str]:
        return {"workloads": shipped("workloads")}

    @classmethod
    def rules(cls, spec: KubeStateSpec) -> Mapping[str, str]:
        return rules("workloads")

    @classmethod
    def scrapes(cls, spec: KubeStateSpec) -> tuple[dict[str, Any], ...]:
        """One job; labels are called as elsewhere in the cluster."""
        renamed = [
            {
                "source_labels": [f"k8s_{name}_name"],
                "regex": "(.+)",
                "target_label": CALLED.get(name, name),
            }
            for name in LABELS
        ]
        return (
            {
                "job_name": JOB,
                "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [NAMESPACE]}}],
                "relabel_configs": [
                    {
                        "source_labels": ["__meta_kubernetes_pod_phase"],
                        "regex": "Running",
                        "action": "keep",
                    },
                    {
                        "source_labels": ["__meta_kubernetes_namespace"],
                        "target_label": "namespace",
                    },
                    {
                        "source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
                        "target_label": "app",
                    },
                ],
                "metric_relabel_configs": [
                    *renamed,
                    {"regex": "k8s_.+_name|otel_scope_.+", "action": "labeldrop"},
                ],
            },
        )

    def outputs(self, seen: ClusterSeen) -> KubeStateOutputs:
        return KubeStateOutputs(address=f"{NAME}.{NAMESPACE}:{PORT}")

    def _all_steps(self) -> Iterator[Step]:
        cluster, values = self.kubernetes.cluster, self._values()
        source = charts.source(NAME)
        release = Release(cluster, NAME, NAMESPACE, NAME, source, values, within_s=120)
        yield Step("release", "install what watches the cluster's objects", (release,), (), 3)
        waits = AwaitRollout(cluster, f"deployments/{NAMESPACE}/{NAME}")
        yield Step("ready", "the cluster's objects are watched", (waits,), ("release",), 5)

    def _values(self) -> dict[str, Any]:
        return {
            "image": self.artifacts.image(NAME),
            "interval": self.spec.interval,
            "networkPolicy": {"namespaces": [METRICS]},
        }

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        if not ground_goes and f"{NAMESPACE}/{NAME}" in seen.releases:
            gone = Uninstall(self.kubernetes.cluster, NAME, NAMESPACE)
            yield Step("release", "uninstall what watches the cluster's objects", (gone,), (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import kube_state_checks

        return kube_state_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = bool((found or {}).get("status", {}).get("readyReplicas", 0))
        state = "ready" if ready else "not ready"
        return [StatusLine(NAME, state, "disco check --only kube_state", ready)]
