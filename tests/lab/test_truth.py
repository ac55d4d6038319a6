"""The simulated world is held to the real one: both plan the same at every moment of a scenario."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from stack import UP_S, LabStack, lab_stack

from sim.scenarios import MOMENTS, TEXT, Moment
from sim.stack import SimulatedStack


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LabStack, SimulatedStack]]:
    text = TEXT.replace("COUNT", "2")
    with lab_stack(tmp_path_factory.mktemp("truth"), text) as real:
        yield real, SimulatedStack(text, tmp_path_factory.mktemp("simulated"))


def test_both_worlds_plan_the_same(worlds: tuple[LabStack, SimulatedStack]) -> None:
    real, simulated = worlds
    for moment in MOMENTS:
        happens(moment, real, simulated)
        told = json.loads(real.must("plan", "--json"))
        assert planned(told) == planned(simulated.plan().data()), moment.name


def happens(moment: Moment, real: LabStack, simulated: SimulatedStack) -> None:
    if moment.count:
        text = TEXT.replace("COUNT", str(moment.count))
        real.file.write_text(text)
        simulated.declare(text)
    for thing in moment.removed:
        host, _, path = thing.partition(":")
        real.must("exec", host, "--", "rm", path)
        del simulated.state.hosts[host].files[path]
    if moment.applied:
        real.must("apply", "--yes", "--allow-destroy", within_s=UP_S)
        assert simulated.apply().done


def planned(data: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Components, steps and kinds of actions; what differs by nature, as digests, is left out."""
    return [
        (part["name"], step["id"], [_name(a) for a in step["actions"]])
        for part in data["components"]
        for step in part["steps"]
    ]


def _name(action: dict[str, Any]) -> str:
    thing = action.get("path") or action.get("unit") or action.get("artifact") or ""
    return f"{action['kind']} {re.sub('[0-9a-f]{8,}', '…', str(thing))}"
