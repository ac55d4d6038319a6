"""Questions to the store of logs of a cluster, through the API server; and to VictoriaLogs."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from disco.engine.check import Answer
from disco.engine.errors import DiscoError, WrongUse
from disco.kube.access import Cluster
from disco.kube.reader import Kube

QUERY_S = 30.0
BAD_REQUEST = 400
ALL = "*"
MOST = 1000  # nodes whose lines a check looks for

Row = Mapping[str, str]


@dataclass(frozen=True)
class Span:
    """From when to when, both included; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class LogStore(ABC):
    """A store of logs: what its checks ask, and how it is reached."""

    service: str
    """As the API server's proxy has it: NAMESPACE/services/NAME:PORT."""
    language: str
    language_at: str

    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self.kube, self.cluster = kube, cluster

    async def is_there(self) -> bool:
        """Whether the cluster has one, answering or not."""
        path = f"/api/v1/namespaces/{self.service.rpartition(':')[0]}"
        return await self.kube.find(self.cluster, path) is not None

    @abstractmethod
    async def ready(self) -> Answer:
        """Whether it takes questions, and how many lines it has."""

    @abstractmethod
    async def nodes_with(self, token: str, since: datetime) -> set[str]:
        """Nodes whose journal has had a line with this word."""

    @abstractmethod
    async def nodes_alive(self, since: datetime) -> set[str]:
        """Nodes from which a line came of the pod that writes one each ten seconds."""

    async def text(self, path: str, params: dict[str, str]) -> str:
        """Raises WrongUse when it can't read the query, DiscoError when it does not answer."""
        answer = await self.kube.proxy(
            self.cluster, self.service, path, params=params, timeout=QUERY_S
        )
        if answer.status_code == BAD_REQUEST:
            raise WrongUse(
                f"the query is not {self.language}",
                why=" ".join(answer.text.split())[:300],
                fix=f"see {self.language_at}",
            )
        if answer.status_code != 200:
            raise DiscoError(
                "the store of logs does not answer",
                where=self.service.partition(":")[0],
                why=f"{' '.join(answer.text.split())[:200]} ({answer.status_code})",
                fix="see: disco check --only logs; without --since, --until and --query, `disco "
                "logs` asks the nodes",
            )
        return str(answer.text).strip("\n")


class VictoriaLogs(LogStore):
    service = "logs/services/logs:9428"
    language = "LogsQL"
    language_at = "https://docs.victoriametrics.com/victorialogs/logsql/"

    async def ready(self) -> Answer:
        answer = await self.text("/health", {})
        found = await self.query("* | count() rows", 1)
        return Answer(answer == "OK", f"{answer}, {found[0]['rows']} lines are kept")

    async def nodes_with(self, token: str, since: datetime) -> set[str]:
        rows = await self.query(f"{quoted(token)} | fields node", MOST, span=Span(since))
        return {row["node"] for row in rows}

    async def nodes_alive(self, since: datetime) -> set[str]:
        alive = both((is_exactly("kubernetes.container_name", "journal"), quoted("alive")))
        query = f"{alive} | fields kubernetes.pod_node_name"
        rows = await self.query(query, MOST, span=Span(since))
        return {row["kubernetes.pod_node_name"] for row in rows}

    async def query(
        self, expression: str, limit: int, only: str = "", span: Span | None = None
    ) -> list[Row]:
        """The newest rows that an expression of LogsQL finds, in no order.

        only: another expression that rows must fulfil as well, whatever the first one says.
        """
        span = span or Span()
        params = {"query": expression, "limit": str(limit)}
        params |= {"extra_filters": only} if only else {}
        params |= {"start": span.start.isoformat()} if span.start else {}
        params |= {"end": span.end.isoformat()} if span.end else {}
        text = await self.text("/select/logsql/query", params)
        return [json.loads(line) for line in text.splitlines() if line]


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
