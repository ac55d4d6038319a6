"""Does Grafana answer, and has it the dashboards that the stack declares?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from disco.checks.releases import release_check
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.kube.reader import Kube

if TYPE_CHECKING:
    from disco.layers.platform.grafana import Grafana

SERVICE = "monitoring/services/grafana:3000"


def grafana_checks(component: Grafana, world: World) -> Iterator[Check]:
    async def ask() -> Answer:
        cluster = component.kubernetes.cluster
        answer = await world[Kube].proxy(cluster, SERVICE, "/api/health", timeout=10)
        return health(answer.status_code, answer.text)

    yield Check(
        "grafana/ready",
        "Does Grafana answer, and its database?",
        "kubectl -n monitoring describe pod -l app.kubernetes.io/name=grafana; "
        "kubectl -n monitoring logs deployment/grafana",
        ask,
    )
    yield release_check("grafana", component, world)


def health(status: int, text: str) -> Answer:
    """What it says about itself."""
    if status != 200:
        return Answer(False, f"it answers {status}")
    try:
        told = json.loads(text)
    except ValueError:
        return Answer(False, "what answers is not Grafana")
    database = told.get("database", "nothing")
    return Answer(database == "ok", f"version {told.get('version')}, its database says {database}")
