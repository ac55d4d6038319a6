"""Questions to the VictoriaLogs of a cluster, through the API server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from disco.engine.errors import DiscoError, WrongUse
from disco.kube.access import Cluster
from disco.kube.reader import Kube

SERVICE = "logs/services/logs:9428"
QUERY_S = 30.0
BAD_REQUEST = 400
ALL = "*"

Row = Mapping[str, str]


@dataclass(frozen=True)
class Span:
    """From when to when, both included; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class LogStore:
    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self.kube, self.cluster = kube, cluster

    async def is_there(self) -> bool:
        """Whether the cluster has one, answering or not."""
        path = f"/api/v1/namespaces/{SERVICE.rpartition(':')[0]}"
        return await self.kube.find(self.cluster, path) is not None

    async def health(self) -> str:
        return await self._text("/health", {})

    async def query(
        self, expression: str, limit: int, only: str = "", span: Span | None = None
    ) -> list[Row]:
        """The newest rows that an expression of LogsQL finds, in no order.

        only: another expression that rows must fulfil as well, whatever the first one says.
        Raises WrongUse when the store can't read the first one, DiscoError when it does not answer.
        """
        span = span or Span()
        params = {"query": expression, "limit": str(limit)}
        params |= {"extra_filters": only} if only else {}
        params |= {"start": span.start.isoformat()} if span.start else {}
        params |= {"end": span.end.isoformat()} if span.end else {}
        text = await self._text("/select/logsql/query", params)
        return [json.loads(line) for line in text.splitlines() if line]

    async def _text(self, path: str, params: dict[str, str]) -> str:
        answer = await self.kube.proxy(self.cluster, SERVICE, path, params=params, timeout=QUERY_S)
        if answer.status_code == BAD_REQUEST:
            raise WrongUse(
                "the query is not LogsQL",
                why=" ".join(answer.text.split())[:300],
                fix="see https://docs.victoriametrics.com/victorialogs/logsql/",
            )
        if answer.status_code != 200:
            raise DiscoError(
                "the store of logs does not answer",
                where=SERVICE.partition(":")[0],
                why=f"{' '.join(answer.text.split())[:200]} ({answer.status_code})",
                fix="see: disco check --only logs; without --since, --until and --query, `disco "
                "logs` asks the nodes",
            )
        return str(answer.text).strip("\n")


def quoted(text: str) -> str:
    """A name or value as LogsQL writes it: nothing in it means anything."""
    return json.dumps(text, ensure_ascii=False)


def is_exactly(field: str, value: str) -> str:
    """A filter on the whole value of a field."""
    return f"{quoted(field)}:={quoted(value)}"


def of_stream(field: str, value: str) -> str:
    """The same for a field that names a stream: of a host, no pod can write it."""
    return f"{{{field}={quoted(value)}}}"


def both(filters: Iterable[str]) -> str:
    return " ".join(filters)


def either(filters: Iterable[str]) -> str:
    return f"({' or '.join(filters)})"
