"""What the panels of the shipped dashboards ask of Prometheus, as Grafana would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from disco.dashboards import FOLDER, shipped

CHAIN = {"TITLE": "Akash", "NAMESPACE": "akash", "CHAIN_ID": "disco-local-1", "METRICS": "cometbft"}
NO_QUERIES = {"runbook"}


@dataclass(frozen=True)
class Asked:
    """A query of a panel, with the time that Grafana takes for a rate."""

    board: str
    panel: str
    expression: str


def asked(scrape_interval_s: float) -> list[Asked]:
    """All queries of all files."""
    names = {p.stem for p in FOLDER.glob("*.json")} - NO_QUERIES
    return [q for name in sorted(names) for q in _queries(name, scrape_interval_s)]


def _queries(name: str, interval_s: float) -> Iterator[Asked]:
    values = CHAIN if name == "chain" else {}
    for panel in json.loads(shipped(name, **values))["panels"]:
        for target in panel.get("targets", []):
            rate = f"{4 * interval_s:.0f}s"  # Grafana's own rule, of a short range
            yield Asked(name, panel["title"], target["expr"].replace("$__rate_interval", rate))
