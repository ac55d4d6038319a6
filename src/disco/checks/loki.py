"""Questions to the Loki of a cluster. Source: Loki's own pages "HTTP API" and "LogQL", 3.7.

Loki itself has not been run by this project's tests: its image is upstream's alone.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from disco.checks.logs import MOST, LogStore, Row, Span
from disco.engine.check import Answer
from disco.kube.access import Cluster
from disco.kube.reader import Kube

TIME, LINE = "_time", "_line"  # of a row, beside its labels
HOURS = {"h": 1, "d": 24, "w": 24 * 7, "y": 24 * 365}


class LokiStore(LogStore):
    service = "logs/services/loki:3100"
    language = "LogQL"
    language_at = "https://grafana.com/docs/loki/latest/query/"

    def __init__(self, kube: Kube, cluster: Cluster, retention: str) -> None:
        super().__init__(kube, cluster)
        self._kept_for = timedelta(hours=hours(retention))

    async def ready(self) -> Answer:
        answer = await self.text("/ready", {})
        span = self._limits(Span())
        found = await self.text("/loki/api/v1/index/stats", {"query": '{log_source=~".+"}'} | span)
        return Answer(answer == "ready", f"{answer}, {json.loads(found)['entries']} lines are kept")

    async def nodes_with(self, token: str, since: datetime) -> set[str]:
        query = selector(log_source="journal") + f" |= {quoted(token)}"
        return {r["k8s_node_name"] for r in await self.query(query, MOST, Span(since))}

    async def nodes_alive(self, since: datetime) -> set[str]:
        query = selector(log_source="pods", k8s_container_name="beat") + ' |= "alive"'
        return {r["k8s_node_name"] for r in await self.query(query, MOST, Span(since))}

    async def query(self, expression: str, limit: int, span: Span) -> list[Row]:
        """The newest lines that an expression finds, with their labels and what was kept with them,
        in no order."""
        params = {"query": expression, "limit": str(limit), "direction": "backward"}
        text = await self.text("/loki/api/v1/query_range", params | self._limits(span))
        return [
            {**stream["stream"], TIME: _rfc3339(int(time)), LINE: line}
            for stream in json.loads(text)["data"]["result"]
            for time, line, *_ in stream["values"]
        ]

    def _limits(self, span: Span) -> dict[str, str]:
        """Without a start Loki would look through the last hour; its end is excluded. A node may
        have a clock that is ahead of this one."""
        now = datetime.now(UTC)
        start, end = span.start or now - self._kept_for, span.end or now + timedelta(hours=1)
        return {"start": str(_nanoseconds(start)), "end": str(_nanoseconds(end) + 1)}


def hours(retention: str) -> int:
    """`30d` is 720."""
    return int(retention[:-1]) * HOURS[retention[-1]]


def quoted(text: str) -> str:
    """A value as LogQL writes it, which is as Go does: what JSON escapes means the same there."""
    return json.dumps(text, ensure_ascii=False)


def selector(**labels: str) -> str:
    """Streams with exactly these labels."""
    return "{" + ", ".join(f"{name}={quoted(value)}" for name, value in labels.items()) + "}"


def any_of(values: list[str]) -> str:
    """A regular expression that is exactly one of these."""
    return "|".join(re.escape(value) for value in values)


def label_of(attribute: str) -> str:
    """What Loki calls an attribute of OpenTelemetry."""
    return re.sub(r"[^a-zA-Z0-9]+", "_", attribute)


def _nanoseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def _rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
