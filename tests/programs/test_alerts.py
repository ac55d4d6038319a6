"""What fires is read from a real Prometheus, without a cluster in between: the way through the API
server is of the lab."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from charts_helm import program
from test_rules import call, free_port, until

from disco.checks.alerts import firing
from disco.checks.prometheus import Prometheus
from disco.cli.alerts import data, rows
from disco.kube.access import Cluster
from disco.kube.reader import Kube


def rule(name: str, expr: str, **more: Any) -> dict[str, Any]:
    told = {"summary": f"{name} it is", "description": "d", "runbook": "look"}
    return {"alert": name, "expr": expr, "annotations": told, **more}


RULES = [
    rule("Small", "vector(1)", labels={"severity": "warning"}),
    rule("Grave", "vector(1)", labels={"severity": "critical"}),
    rule("Waits", "vector(1)", labels={"severity": "critical"}, **{"for": "1h"}),
    rule("Still", "vector(1) > 2", labels={"severity": "critical"}),
]


@dataclass
class Answer:
    status_code: int
    text: str


def fetch(url: str, timeout_s: float) -> Answer:
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return Answer(answer.status, answer.read().decode())


@dataclass
class Straight:
    """The way to the service without a cluster in between."""

    url: str

    async def proxy(
        self, cluster: object, service: str, path: str, params: dict[str, str], timeout: float
    ) -> Answer:
        query = urllib.parse.urlencode(params)
        return await asyncio.to_thread(fetch, f"{self.url}{path}?{query}", timeout)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "g", "rules": RULES}]}))
    config = {"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yaml"]}
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: len(call(f"{address}/api/v1/alerts")["alerts"]) == 3)
            yield address
        finally:
            server.terminate()


async def test_what_fires_is_told_the_worst_first_and_nothing_else(url: str) -> None:
    server = Prometheus(cast(Kube, Straight(url)), cast(Cluster, None))
    found = await firing(server)
    assert [(a.severity, a.name) for a in found] == [("critical", "Grave"), ("warning", "Small")]
    now = datetime.now(UTC)
    assert all(0 <= (now - a.since).total_seconds() < 60 for a in found)
    assert [row[3] for row in rows(found, now)] == ["Grave it is", "Small it is"]
    told = data(found[0])
    assert (told["runbook"], told["labels"]["severity"]) == ("look", "critical")
