"""Which dashboards Grafana gets, and when it can't be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from disco.engine.errors import Several
from disco.kube.actions import Release
from disco.layers.platform.check_grafana import health
from disco.layers.platform.grafana import RUNBOOKS
from sim import SimulatedStack
from sim.stacks import LOOKING
from sim.stacks import WIDE as BLIND

WIDE = BLIND + LOOKING
TWO_CHAINS = WIDE.replace("  akash:", "  second: {definition: akash, validators: 1}\n  akash:")


def values(text: str, folder: Path) -> dict[str, Any]:
    """What the chart of Grafana is given by a stack that is to be made."""
    plan = SimulatedStack(text, folder).plan()
    actions = [a for _, step in plan.steps for a in step.actions]
    (release,) = [a for a in actions if isinstance(a, Release) and a.chart == "grafana"]
    return release.values


def test_a_chain_that_is_added_brings_its_dashboard(tmp_path: Path) -> None:
    before = values(WIDE, tmp_path / "one")["dashboards"]
    after = values(TWO_CHAINS, tmp_path / "two")["dashboards"]

    assert after.keys() - before.keys() == {"chain-second.json"}
    board = json.loads(after["chain-second.json"])
    assert (board["uid"], board["title"]) == ("chain-second", "Akash second")
    asked = [t["expr"] for p in board["panels"] for t in p.get("targets", [])]
    assert asked and all('namespace="second"' in e and "@" not in e for e in asked)


def test_components_that_are_not_there_bring_none(tmp_path: Path) -> None:
    told = values(WIDE.replace("vault: {replicas: 3}\n", "").replace("logs: {}\n", ""), tmp_path)

    assert set(told["dashboards"]) == {
        f"{name}.json"
        for name in (
            *("stack", "servers", "cluster", "workloads", "prometheus", "probes", "disco"),
            "chain-akash",
        )
    }
    assert "logs" not in told


def test_each_link_to_a_runbook_leads_to_a_page(tmp_path: Path) -> None:
    told = values(WIDE, tmp_path)
    boards = [json.loads(t) for t in (*told["dashboards"].values(), *told["runbooks"].values())]
    links = {x["url"] for b in boards for p in b["panels"] for x in p.get("links", [])}

    assert links <= {f"/d/{b['uid']}" for b in boards}
    assert len(told["runbooks"]) == len([p for p in RUNBOOKS.glob("*.md") if p.stem != "README"])


def test_a_stack_that_may_not_download_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    text = f"{BLIND}grafana: {{}}\n"

    stack = SimulatedStack(text, tmp_path)
    stack.state.held.discard("images/grafana")

    with pytest.raises(Several) as refused:
        stack.plan()

    assert "docker.io/grafana/grafana:13.2.3" in str(refused.value)


@pytest.mark.parametrize(
    ("status", "text", "ok"),
    [
        (200, '{"database": "ok", "version": "13.2.3"}', True),
        (200, '{"database": "failing", "version": "13.2.3"}', False),
        (200, "<html>", False),
        (503, "", False),
    ],
)
def test_it_is_well_when_its_database_is(status: int, text: str, ok: bool) -> None:
    assert health(status, text).ok is ok
