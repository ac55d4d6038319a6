"""Do alerts get from Prometheus to Alertmanager, and from there to people?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from disco.checks.counted import counted
from disco.checks.prometheus import Prometheus as Server
from disco.checks.prometheus import Sample, patiently
from disco.checks.releases import release_check
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.layers.platform.alerts import HEARTBEAT, NAMESPACE, PORT

if TYPE_CHECKING:
    from disco.layers.platform.alerts import Alerts

# An Alertmanager that was started anew, with another password, begins anew.
FAILED = (
    "sum by (receiver_name, integration, reason) "
    "(increase(alertmanager_notifications_failed_total[5m]) "
    "and alertmanager_notifications_failed_total) > 0"
)


def alerts_checks(component: Alerts, world: World) -> Iterator[Check]:
    kube, cluster = world[Kube], component.kubernetes.cluster
    server = Server(kube, cluster)

    async def ask_ready() -> Answer:
        faults = {}
        for pod in component.pods:
            found = json.loads(await _text(kube, cluster, pod, "/api/v2/status"))
            faults[pod] = peers(found["cluster"], component.spec.replicas)
        return counted(faults, "Alertmanagers answer")

    async def ask_delivery() -> Answer:
        if not await server.is_there():
            return Answer(False, "there is no Prometheus to send alerts")
        now = datetime.now(UTC)
        faults = {}
        for pod in component.pods:
            told = json.loads(await _text(kube, cluster, pod, "/api/v2/alerts"))
            faults[f"Prometheus to {pod}"] = heard(told, now)
        failed = refusals(await server.query(FAILED))
        for name in component.spec.receivers:
            faults[f"to {name}"] = failed.get(name, "")
        return counted(faults, "ways are open")

    yield Check(
        "alerts/ready",
        "Does each Alertmanager answer, and know the others?",
        f"kubectl -n {NAMESPACE} describe pod alertmanager-0; kubectl -n {NAMESPACE} logs "
        "alertmanager-0",
        ask_ready,
    )
    yield Check(
        "alerts/delivery",
        "Do alerts get from Prometheus to Alertmanager, and did nobody refuse one lately?",
        f"kubectl -n {NAMESPACE} logs alertmanager-0 says what a receiver answers; for another "
        "password, disco secrets set NAME and disco apply",
        lambda: patiently(server, ask_delivery),
    )
    yield release_check("alerts", component, world)


async def _text(kube: Kube, cluster: Cluster, pod: str, path: str) -> str:
    target = f"{NAMESPACE}/pods/{pod}:{PORT}"
    answer = await kube.proxy(cluster, target, path, timeout=10)
    if answer.status_code != 200:
        raise DiscoError(
            f"Alertmanager does not answer {path}",
            where=pod,
            why=f"{' '.join(answer.text.split())[:200]} ({answer.status_code})",
        )
    return str(answer.text)


def peers(cluster: Mapping[str, Any], replicas: int) -> str:
    """What is wrong with what an Alertmanager says of the others; nothing when it knows all."""
    if replicas == 1:
        return ""
    known = len(cluster.get("peers", []))
    if known != replicas:
        return f"knows {known} of {replicas}"
    return "" if cluster["status"] == "ready" else str(cluster["status"])


def heard(alerts: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """What is wrong with the alert that always fires, as an Alertmanager has it."""
    beats = [a for a in alerts if a["labels"].get("alertname") == HEARTBEAT]
    if not beats:
        return f"{HEARTBEAT}, which always fires, is not there"
    last = max(datetime.fromisoformat(a["updatedAt"]) for a in beats)
    ends = max(datetime.fromisoformat(a["endsAt"]) for a in beats)
    late = f"{HEARTBEAT} was told {(now - last).total_seconds():.0f} s ago, and then no more"
    return late if ends < now else ""


def refusals(failed: Sequence[Sample]) -> dict[str, str]:
    """Receivers that did not take a message within five minutes, with the kind of reason."""
    found: dict[str, str] = {}
    for sample in failed:
        reason = sample.labels.get("reason", "other")
        told = f"{sample.labels['integration']} failed within 5 minutes: {reason}"
        found[sample.labels.get("receiver_name", "")] = told
    return found
