"""What Prometheus warns of now: the alerts that fire, the worst and the oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from disco.checks.prometheus import Prometheus

ORDER = {"critical": 0, "warning": 1}  # any other severity comes after these
NEVER_WRONG = "none"  # the severity of what fires always, to prove that alerts get through


@dataclass(frozen=True)
class Alert:
    """since: when its condition became true, which is before it fires by the rule's `for`."""

    labels: dict[str, str]
    annotations: dict[str, str]
    since: datetime

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @property
    def severity(self) -> str:
        return self.labels.get("severity", "")


async def firing(server: Prometheus) -> list[Alert]:
    """Those that fire now; what is still pending is left out. Raises DiscoError."""
    return _firing((await server.get("alerts"))["alerts"])


def _firing(alerts: list[dict[str, Any]]) -> list[Alert]:
    found = [
        Alert(a["labels"], a["annotations"], datetime.fromisoformat(a["activeAt"]))
        for a in alerts
        if a["state"] == "firing" and a["labels"].get("severity") != NEVER_WRONG
    ]
    return sorted(found, key=lambda a: (ORDER.get(a.severity, len(ORDER)), a.since, a.name))
