"""What DISCO learns of a stack is known to its Prometheus soon after, and drawn in every panel."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from break_cluster import SECOND_CLASS
from stack import LabStack, until
from tools import Tools

from disco.layers.platform import measures
from disco.layers.platform.measures import FOLDER
from panels import asked

WITHIN_S, OLD_S = 60.0, 8 * 24 * 3600
BOARDS = ("disco", "probes", "workloads")  # those that no other network of the lab has
RED = "cluster/default-class"


@pytest.fixture(scope="module")
def tools(stack: LabStack) -> Tools:
    return Tools(stack)


def values(t: Tools, expression: str) -> dict[str, float]:
    """What Prometheus answers, by the values of all labels that tell series apart."""
    told = t.prometheus(f"query?query={quote(expression)}")["result"]
    return {_told(r["metric"]): float(r["value"][1]) for r in told}


def _told(labels: dict[str, Any]) -> str:
    names = ("component", "outcome", "check", "what")
    return " ".join(str(labels[n]) for n in names if n in labels)


def firing(t: Tools) -> list[dict[str, str]]:
    done = t.stack.disco("alerts", "--json")
    assert done.returncode in (0, 3), done.stderr
    return [a["labels"] | {"alert": a["alert"]} for a in json.loads(done.stdout)]


@contextmanager
def a_second_default_class(t: Tools) -> Iterator[None]:
    try:
        t.apply(SECOND_CLASS)
        yield
    finally:
        t.kubectl("delete", "storageclass/lab-second")


def test_a_plan_the_last_run_and_a_backup_are_known(tools: Tools) -> None:
    tools.on_host(f"rm -f {FOLDER}/backup-vault.prom")

    def missing() -> bool:
        return "DiscoBackupMissing" in dict(tools.waiting())

    until("the lack of a backup is known", missing, 30)
    tools.stack.must("plan")
    tools.stack.must("vault", "snapshot", "--to", str(tools.stack.folder / "kept.age"))

    def known() -> bool:
        backup = values(tools, "time() - disco_backup_timestamp_seconds").get("vault", math.inf)
        plan = values(tools, "time() - disco_plan_timestamp_seconds").get("", math.inf)
        return max(backup, plan) < WITHIN_S

    until("both are known", known, 30)
    until("it does not lack any more", lambda: not missing(), 30)
    assert values(tools, "disco_run_outcome == 1") == {"done": 1}
    steps = values(tools, "disco_plan_steps")
    assert {"vault", "prometheus", "chains.akash"} <= steps.keys()
    assert set(steps.values()) == {0}
    assert values(tools, "disco_backup_wanted") == {"vault": 1}
    modes = tools.on_host(f"stat -c '%a %n' {FOLDER}/*").splitlines()
    assert {line.split()[0] for line in modes} == {"644"}
    assert {"backup-vault.prom", "check.prom", "plan.prom", "run.prom"} == {
        line.rpartition("/")[2] for line in modes
    }


def test_a_plan_of_another_file_is_a_proposal_and_is_not_told(tools: Tools) -> None:
    def written() -> str:
        return tools.on_host(f"stat -c %y {FOLDER}/plan.prom")

    before, text = written(), tools.stack.file.read_text()
    other = tools.stack.folder / "proposed.yaml"
    other.write_text(text.replace("scrape_interval: 5s", "scrape_interval: 7s"))
    proposed = LabStack(tools.stack.name, other).must("plan")
    assert "install Prometheus" in proposed
    assert written() == before


def test_a_red_check_is_told_within_a_minute_until_it_is_asked_again(tools: Tools) -> None:
    def told() -> bool:
        return any(a["alert"] == "DiscoCheckFailed" and a["check"] == RED for a in firing(tools))

    def not_asked() -> bool:
        return any(a["alert"] == "DiscoNotChecked" for a in firing(tools))

    old = time.monotonic()
    tools.tell(measures.checked(tools.stack.name, [], time.time() - OLD_S))
    until("it is told that nobody asked", not_asked, WITHIN_S)
    print(f"DiscoNotChecked: fires {time.monotonic() - old:.0f} s after that was so")
    with a_second_default_class(tools):
        code, rows = tools.checks()
        asked_at = time.monotonic()
        assert code == 3 and not rows[RED].ok
        until("it is told", told, WITHIN_S)
        print(f"DiscoCheckFailed: fires {time.monotonic() - asked_at:.0f} s after it was asked")
        assert not not_asked()
    code, rows = tools.checks()
    assert code == 0, [r for r in rows.values() if not r.ok]
    until("its end is told", lambda: not told(), WITHIN_S)
    assert values(tools, "count(disco_check_ok)") == {"": len(rows)}


def test_a_server_that_can_not_be_written_to_fails_no_command(tools: Tools) -> None:
    tools.on_host(f"mv {FOLDER} {FOLDER}.away && touch {FOLDER}")
    try:
        done = tools.stack.disco("plan")
        assert done.returncode == 0
        assert done.stderr.count("Prometheus is not told of it: ") == 1, done.stderr
    finally:
        tools.on_host(f"rm {FOLDER} && mv {FOLDER}.away {FOLDER}")


def test_no_panel_is_empty(tools: Tools) -> None:
    def none() -> bool:
        empty = [
            (query.panel, query.expression)
            for query in asked(5)
            if query.board in BOARDS
            and all(math.isnan(v) for v in values(tools, query.expression).values())
        ]
        print(f"without data: {empty}")
        return not empty

    until("every query gives data", none, 60)
