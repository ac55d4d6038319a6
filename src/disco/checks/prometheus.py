"""Questions to the Prometheus of a cluster, through the API server."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from disco.checks.counted import until_green
from disco.engine.check import Answer
from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.reader import Kube

SERVICE = "monitoring/services/prometheus:9090"
YOUNG_S = 60.0  # what started within this time may not have been scraped yet
SETTLES_S = 10.0  # until a new target is known, and its first samples are there
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Sample:
    """One value of an instant query. at: Unix time in seconds of the evaluation."""

    labels: dict[str, str]
    value: float
    at: float


@dataclass(frozen=True)
class Track:
    """The values of one series. points: (Unix time in seconds, value), oldest first."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self.kube, self.cluster = kube, cluster

    async def text(self, path: str, **params: str) -> str:
        """What it says at a path. Raises DiscoError when that is not 200."""
        answer = await self.kube.proxy(self.cluster, SERVICE, path, params=params, timeout=10)
        if answer.status_code != 200:
            raise DiscoError(
                f"Prometheus does not answer {path}",
                where=SERVICE.partition(":")[0],
                why=f"{' '.join(answer.text.split())[:200]} ({answer.status_code})",
            )
        return str(answer.text).strip()

    async def get(self, path: str, **params: str) -> Any:
        """The data of an answer of its HTTP API."""
        return json.loads(await self.text(f"/api/v1/{path}", **params))["data"]

    async def is_there(self) -> bool:
        """Whether the cluster has one, answering or not."""
        path = f"/api/v1/namespaces/{SERVICE.rpartition(':')[0]}"
        return await self.kube.find(self.cluster, path) is not None

    async def interval_s(self) -> float:
        """How often it scrapes."""
        targets = (await self.get("targets", state="active"))["activeTargets"]
        return max((seconds(t["scrapeInterval"]) for t in targets), default=0.0)

    async def query(self, expression: str) -> list[Sample]:
        """The values of an expression now."""
        data = await self.get("query", query=expression)
        return [
            Sample(r["metric"], float(r["value"][1]), float(r["value"][0])) for r in data["result"]
        ]

    async def track(self, expression: str, start: float, end: float, step_s: float) -> list[Track]:
        """The values of an expression from one time to another (Unix, seconds)."""
        params = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_s:.3f}"}
        data = await self.get("query_range", query=expression, **params)
        return [
            Track(r["metric"], tuple((float(t), float(v)) for t, v in r["values"]))
            for r in data["result"]
        ]


async def patiently(server: Prometheus, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again for the time of a scrape when a pod has only just started."""
    pods = (await server.kube.get(server.cluster, "/api/v1/pods"))["items"]
    if youngest_s(pods, datetime.now(UTC)) > YOUNG_S:
        return await ask()
    return await until_green(ask, await server.interval_s() + SETTLES_S, 1.0)


def by_pod(samples: Sequence[Sample]) -> dict[str, float]:
    """The values of those that are of a pod."""
    return {pod: s.value for s in samples if (pod := s.labels.get("pod"))}


def seconds(duration: str) -> float:
    """`1m30s` is 90."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", duration)
    return sum(int(number) * UNITS_S[unit] for number, unit in parts)


def youngest_s(pods: Sequence[dict[str, Any]], now: datetime) -> float:
    """Seconds since the last pod started that is to be scraped."""
    starts = [
        datetime.fromisoformat(p["status"]["startTime"])
        for p in pods
        if p.get("status", {}).get("startTime")
        and p["metadata"].get("annotations", {}).get("prometheus.io/scrape") == "true"
    ]
    return min(((now - start).total_seconds() for start in starts), default=0.0)
