"""Dashboards of a stack with what Prometheus knows, for those who draw them without Grafana."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

from disco.checks.prometheus import Prometheus, Sample, Track
from disco.cli.target import cluster_of, must_have_cluster
from disco.cli.wiring import Session
from disco.console import plots
from disco.dashboards import shipped
from disco.engine.errors import DiscoError, WrongUse
from disco.layers.platform.prometheus import Prometheus as Metrics
from disco.layers.registry import dashboards_of
from disco.stack.load import Loaded
from disco.stack.problem import nearest

POINTS = 120  # of a line
PARALLEL = 6
SERIES = 24  # of a panel, the first ones
RATE = "$__rate_interval"
FIRST = "stack"
PART = re.compile(r"{{\s*(\w+)\s*}}")


def of_stack(loaded: Loaded) -> dict[str, str]:
    """The dashboards that a stack has something to show in: Grafana's JSON by name."""
    if Metrics.section not in loaded.specs:
        return {}
    found = dashboards_of(loaded.specs, loaded.path.parent)
    return {FIRST: shipped(FIRST)} | found


async def board(session: Session, name: str, span_s: float) -> dict[str, Any]:
    """One of them, its panels drawn over the last `span_s` seconds.

    Raises WrongUse for a name that there is not, DiscoError where Prometheus does not answer.
    """
    components = await session.components()
    known = of_stack(session.loaded)
    if name not in known:
        hint = (
            nearest(name, list(known)) or ", ".join(known) or "write `prometheus: {}` into the file"
        )
        raise WrongUse(f"there is no dashboard {name}", fix=hint)
    told = json.loads(known[name])
    cluster = must_have_cluster(cluster_of(components))
    asking = _Asking(Prometheus(session.kube, cluster), time.time(), span_s)
    await asking.begin()
    panels = await asyncio.gather(*(asking.panel(p) for p in told["panels"]))
    return {"title": told["title"], "about": told["description"], "panels": panels}


class _Asking:
    """The questions of one look. now: Unix time at which every line ends."""

    def __init__(self, server: Prometheus, now: float, span_s: float) -> None:
        self._server, self._now, self._span_s = server, now, span_s
        self._slots = asyncio.Semaphore(PARALLEL)
        self._rate_s = self._step_s = span_s / POINTS

    async def begin(self) -> None:
        interval_s = await self._server.interval_s()
        self._step_s = max(self._step_s, interval_s, 1.0)
        self._rate_s = max(4 * interval_s, self._step_s + interval_s)  # Grafana's own rule

    async def panel(self, panel: dict[str, Any]) -> dict[str, Any]:
        """One, drawn; or why it can't be."""
        kind = {"timeseries": "lines", "stat": "figure"}.get(panel["type"], panel["type"])
        told = {
            "kind": kind,
            "title": panel["title"],
            "about": panel.get("description", ""),
            "columns": panel["gridPos"]["w"],
            "alerts": [
                link["title"].removeprefix("Runbook: ")
                for link in panel.get("links", [])
                if link["title"].startswith("Runbook: ")
            ],
        }
        if kind not in ("lines", "figure"):
            return told
        try:
            return told | await (self._lines(panel) if kind == "lines" else self._figures(panel))
        except DiscoError as error:
            return told | {"error": str(error)}

    async def _figures(self, panel: dict[str, Any]) -> dict[str, Any]:
        defaults = panel["fieldConfig"]["defaults"]
        found: list[tuple[str, float]] = []
        for target in panel["targets"]:
            async with self._slots:
                samples = await self._server.query(self._expression(target))
            found += [(_legend(target, s), s.value) for s in samples]
        return {
            "figures": [
                {
                    "name": name,
                    "said": plots.said(value, defaults["unit"], defaults.get("decimals")),
                    "colour": _colour(value, defaults["thresholds"]["steps"]),
                }
                for name, value in found[:SERIES]
            ]
        }

    async def _lines(self, panel: dict[str, Any]) -> dict[str, Any]:
        defaults = panel["fieldConfig"]["defaults"]
        tracks: list[plots.Series] = []
        start = self._now - self._span_s
        for target in panel["targets"]:
            expression = self._expression(target)
            async with self._slots:
                found = await self._server.track(expression, start, self._now, self._step_s)
            tracks += [plots.Series(_legend(target, t), t.points) for t in found]
        drawn = sorted(tracks, key=lambda s: s.name)[:SERIES]
        return {
            "svg": plots.lines(
                drawn,
                defaults["unit"],
                (start, self._now),
                defaults.get("min"),
                defaults.get("max"),
            ),
            "legend": [
                {"name": s.name, "said": plots.said(s.points[-1][1], defaults["unit"])}
                for s in drawn
                if s.points
            ],
            "left_out": len(tracks) - len(drawn),
        }

    def _expression(self, target: dict[str, Any]) -> str:
        return str(target["expr"]).replace(RATE, f"{self._rate_s:.0f}s")


def _legend(target: dict[str, Any], of: Sample | Track) -> str:
    wanted = target.get("legendFormat", "")
    if wanted:
        return PART.sub(lambda m: of.labels.get(m[1], ""), wanted)
    return ", ".join(f"{k} {v}" for k, v in sorted(of.labels.items()) if k != "__name__")


def _colour(value: float, steps: list[dict[str, Any]]) -> str:
    reached = [s["color"] for s in steps if s["value"] is None or value >= s["value"]]
    return str(reached[-1]) if reached else ""
