"""A fault at any point: what passes is outlived by the run itself, what lasts by the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from disco.engine.errors import DiscoError
from sim.compare import differences, view
from sim.faults import BOOTING_S, LASTING, PASSING, Fault, rebooted
from sim.interruption import Uninterrupted, from_nothing, tell
from sim.stack import Ran

Record = Callable[[str, Any], None]
SHARES = 2
AT_THE_JOURNAL = ("before the record: ", "after the record: ")


def with_fault(whole: Uninterrupted, fault: Fault, number: int) -> Ran | None:
    """The whole run again, in which this goes wrong at this point; None when it could not begin or
    end, since the journal could not be written."""
    simulation = whole.stack.simulation
    simulation.restore(whole.before)
    simulation.fault, simulation.fault_at = fault, number + 1
    try:
        return whole.stack.apply()
    except DiscoError:
        return None
    finally:
        simulation.fault, simulation.fault_at = None, 0


def wrong(whole: Uninterrupted, ran: Ran | None) -> list[str]:
    if ran is None or not ran.done:
        return [f"ends with {ran and ran.outcome}"]
    left = [f"still planned: {name}" for name, _ in whole.stack.plan().steps]
    return [*differences(whole.end, view(whole.stack)), *left]


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_outlived_by_the_run(
    folder: Path, record_property: Record, fault: str, share: int
) -> None:
    whole = from_nothing("devnet", folder)
    numbers = [i for i, name in enumerate(whole.labels) if not name.startswith(AT_THE_JOURNAL)]
    found = {}
    for number in numbers[share::SHARES]:
        ran = with_fault(whole, PASSING[fault], number)
        found[f"{number} {whole.labels[number]}"] = wrong(whole, ran)
    tell({k: v for k, v in found.items() if v}, record_property, len(found))


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("fault", LASTING)
def test_what_lasts_fails_a_step_and_the_next_run_is_as_if_it_had_not_been(
    folder: Path, record_property: Record, fault: str, share: int
) -> None:
    whole = from_nothing("devnet", folder)
    found = {}
    for number in range(share, len(whole.labels), SHARES):
        first = with_fault(whole, LASTING[fault], number)
        outlived = [] if first is None or not first.done else ["the fault was not told"]
        found[f"{number} {whole.labels[number]}"] = outlived + wrong(whole, whole.stack.apply())
    tell({k: v for k, v in found.items() if v}, record_property, len(found))


@pytest.mark.parametrize("share", range(SHARES))
def test_hosts_that_reboot_in_the_middle_are_where_they_would_have_been_after_the_next_run(
    folder: Path, record_property: Record, share: int
) -> None:
    whole = from_nothing("devnet", folder)
    numbers = [i for i, name in enumerate(whole.labels) if not name.startswith(AT_THE_JOURNAL)]
    found = {}
    for number in numbers[share::SHARES]:
        with_fault(whole, rebooted, number)
        whole.stack.simulation.passed(BOOTING_S)
        found[f"{number} {whole.labels[number]}"] = wrong(whole, whole.stack.apply())
    tell({k: v for k, v in found.items() if v}, record_property, len(found))
