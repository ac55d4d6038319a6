"""Every check turns red when its thing is broken for real, says what is wrong, and turns green
again when it is mended."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import dataclass

import pytest
from breakages import SCENARIOS, Scenario
from stack import LabStack, until
from tools import Row, Tools

# Checks that can't be broken alone here, and why.
NOT_BROKEN: dict[str, str] = {
    f"store/{what}": "a store is broken in tests/team/test_store_checks.py; here all need it"
    for what in ("history", "recipients", "owed")
}
CASES = [(s, check) for s in SCENARIOS for check in s.red]


@dataclass(frozen=True)
class Outcome:
    """What the checks said while it was broken, and after it was mended."""

    code: int
    rows: dict[str, Row]
    code_after: int
    rows_after: dict[str, Row]


@pytest.fixture(scope="module")
def tools(stack: LabStack) -> Tools:
    return Tools(stack)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome | BaseException]:
    return {}


def test_everything_is_green_before_it_is_broken(tools: Tools) -> None:
    begun = time.monotonic()
    code, rows = tools.checks()
    print(f"disco check: {len(rows)} checks in {time.monotonic() - begun:.1f} s")
    assert [r for r in rows.values() if not r.ok] == []
    assert code == 0
    assert all(r.evidence and not r.fix for r in rows.values())
    broken_here = {check for _, check in CASES}
    for check, why in NOT_BROKEN.items():
        print(f"not broken here: {check}: {why}")
    assert set(rows) == broken_here | set(NOT_BROKEN)
    assert len(NOT_BROKEN) <= 3


def test_several_at_once_and_one_that_is_cut_off_leave_nothing(tools: Tools) -> None:
    log = tools.stack.folder / "check.log"
    words = ("check", "--only", "cluster/", "--wait", "60")
    cut, *others = [tools.stack.start(*words) for _ in range(3)]
    until("a probe pod is there", lambda: _left(tools), 60, 0.1)
    cut.send_signal(signal.SIGINT)
    assert cut.wait(timeout=60) not in (0, 3)
    assert [o.wait(timeout=180) for o in others] == [0, 0], log.read_text()[-3000:]
    assert _left(tools) == []


def _left(tools: Tools) -> list[str]:
    found = tools.get("-n", "disco-check", "pods,services,networkpolicies")
    return [i["metadata"]["name"] for i in found["items"]]


@pytest.mark.parametrize(("scenario", "check"), CASES, ids=[f"{c} ({s.name})" for s, c in CASES])
def test_a_check_is_red_when_its_thing_is_broken_and_green_when_it_is_mended(
    scenario: Scenario, check: str, tools: Tools, outcomes: dict[str, Outcome | BaseException]
) -> None:
    outcome = _played(scenario, tools, outcomes)
    row = outcome.rows[check]
    assert outcome.code == 3
    assert not row.ok
    assert re.search(scenario.red[check], row.evidence), row.evidence
    assert row.fix
    for undisturbed in scenario.green:
        assert outcome.rows[undisturbed].ok, outcome.rows[undisturbed].evidence
    assert outcome.rows_after[check].ok, outcome.rows_after[check].evidence
    assert outcome.code_after == 0


def _played(
    scenario: Scenario, tools: Tools, outcomes: dict[str, Outcome | BaseException]
) -> Outcome:
    """A scenario is played once, for its first check."""
    if scenario.name not in outcomes:
        try:
            outcomes[scenario.name] = _play(scenario, tools)
        except BaseException as error:
            outcomes[scenario.name] = error
            raise
    outcome = outcomes[scenario.name]
    if isinstance(outcome, BaseException):
        pytest.fail(f"the scenario failed before: {outcome!r}"[:500])
    return outcome


def _play(scenario: Scenario, tools: Tools) -> Outcome:
    only = ",".join([*scenario.red, *scenario.green])
    begun = time.monotonic()
    with scenario.breaking(tools):
        file = scenario.file(tools) if scenario.file else None
        broken = time.monotonic()
        code, rows = tools.checks(only, file)
        seen = time.monotonic()
    after = until("all is green again", lambda: _green(tools, only), scenario.mended_within_s, 1.0)
    print(
        f"{scenario.name}: broken in {broken - begun:.0f} s, seen in {seen - broken:.0f} s, "
        f"green again {time.monotonic() - seen:.0f} s later"
    )
    return Outcome(code, rows, 0, after)


def _green(tools: Tools, only: str) -> dict[str, Row] | None:
    code, rows = tools.checks(only)
    return rows if code == 0 else None
