"""The console of a network that is up: what it shows is what runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stack import LabStack, until

from browser.chromium import Tab, chromium
from console_process import Console, console

SEEN = "document.querySelector('#{}').innerText.includes('{}')"


@pytest.fixture(scope="module")
def shown(stack: LabStack) -> Iterator[Console]:
    with console(stack.file, own_cache=False) as found:
        yield found


@pytest.fixture(scope="module")
def tab(shown: Console) -> Iterator[Tab]:
    with chromium() as found:
        found.size(1100, 800)
        found.open(shown.address)
        yield found
        assert found.errors == []


def asked(shown: Console, path: str) -> Any:
    with shown.client() as client:
        answer = client.get(f"/api/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def picture(tab: Tab, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        tab.picture(Path(folder) / f"live-{name}.png")


def test_every_part_of_the_network_is_there_and_well(shown: Console, tab: Tab) -> None:
    found = asked(shown, "status")
    things = found["data"]["things"]
    assert {t["component"] for t in things} >= {"servers", "kubernetes", "vault", "chains.akash"}
    assert all(t["ok"] for t in things), things
    paint = tab.ask("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    tab.wait(SEEN.format("status", "akash"))
    print(f"status took {found['seconds']:.1f} s; first paint after {paint:.0f} ms")
    assert paint <= 3000  # beside a whole cluster; tests/browser wants a second
    picture(tab, "components")


def test_its_checks_are_green(shown: Console, tab: Tab) -> None:
    found = until("all are green", lambda: _green(shown), 60)
    assert len(found["checks"]) > 40 and found["not_asked"]
    tab.press("2")
    tab.wait(SEEN.format("check", "0 red"))
    picture(tab, "checks")


def _green(shown: Console) -> Any:
    found = asked(shown, "check")["data"]
    return found if all(c["ok"] for c in found["checks"]) else None


def severe(shown: Console) -> dict[str, Any]:
    """Critical alerts; what other tests broke may leave a warning behind for some minutes."""
    found = asked(shown, "alerts")["data"]
    return {a["alert"]: a for a in found if a["severity"] == "critical"}


def test_no_severe_alert_fires_and_the_plan_is_empty(shown: Console) -> None:
    until("no alert fires", lambda: not severe(shown), 120)
    assert asked(shown, "plan")["data"]["parts"] == []


def test_every_panel_of_every_dashboard_is_drawn(shown: Console, tab: Tab) -> None:
    names = asked(shown, "stack")["boards"]
    parts = {"stack", "disco", "servers", "cluster", "workloads", "prometheus", "probes"}
    parts |= {"vault", "logs"}
    assert set(names) == {*parts, "chain-akash"}
    tab.press("4")
    for name in names:
        tab.ask(f"document.querySelector('#board-name').value = '{name}'")
        tab.click("#wanted-board button")
        tab.wait("document.querySelector('#board-at').innerText.match(/^[0-9]/)")
        panels = asked(shown, f"board?name={name}&seconds=900")["panels"]
        drawn = [p for p in panels if p["kind"] in ("lines", "figure")]
        assert drawn and not [p for p in panels if "error" in p], name
        assert not [p["title"] for p in drawn if not (p.get("figures") or p.get("legend"))], name
        assert tab.ask("document.querySelectorAll('#panels figure').length") == len(drawn)
        picture(tab, f"board-{name}")


def test_logs_of_a_chain_are_read(shown: Console, tab: Tab) -> None:
    lines = asked(shown, "logs?name=akash&since=5m&query=committed")["lines"]
    assert lines and all("committed" in x["line"] for x in lines)
    # Of one alone where tests of checks have put a full disk below the other's log.
    assert {x["from"].partition(":")[0] for x in lines} <= {"validator-0", "validator-1"}
    tab.press("5")
    tab.ask("document.querySelector('#logs-name').value = 'akash'")
    tab.click("#wanted button")
    tab.wait("document.querySelectorAll('#lines li').length > 10")
    picture(tab, "logs")


def test_what_a_command_does_is_seen_while_it_does_it(
    stack: LabStack, shown: Console, tab: Tab
) -> None:
    tab.press("6")
    count = "parseInt(document.querySelector('#live').innerText.split(' ')[1])"
    before = tab.wait(count)
    stack.must("kubectl", "--", "-n", "kube-system", "delete", "service", "metrics-server")
    began = time.monotonic()
    running = stack.start("apply", "--yes")
    tab.wait(f"{count} > {before}")
    seen = time.monotonic() - began
    assert running.wait(timeout=240) == 0
    print(f"seen {seen:.1f} s after it began, done after {time.monotonic() - began:.1f} s")
    tab.wait("document.querySelector('#list li').innerText.includes('done')")
    picture(tab, "events")


def test_what_a_stranger_breaks_is_named_with_its_page_and_mended(
    stack: LabStack, shown: Console, tab: Tab
) -> None:
    """The story of docs/guide.md."""
    stack.must("kubectl", "--", "-n", "vault", "delete", "pod", "openbao-0")
    began = time.monotonic()
    alert = until("the alert fires", lambda: severe(shown).get("VaultSealed"), 90)
    took = time.monotonic() - began
    print(f"VaultSealed fires {took:.0f} s after its pod was deleted")
    assert took <= 60
    assert alert["labels"]["pod"] == "openbao-0"
    assert alert["page"] == stack.must("alerts", "VaultSealed")
    assert not all(t["ok"] for t in asked(shown, "status")["data"]["things"])
    tab.press("3")
    tab.wait(SEEN.format("firing", "VaultSealed"))
    tab.click("#firing summary")
    tab.wait(SEEN.format("firing", "## Mend"))
    picture(tab, "alerts")
    stack.must("apply", "--yes", within_s=240)
    until("it is over", lambda: not severe(shown), 120)
    assert all(t["ok"] for t in asked(shown, "status")["data"]["things"])
