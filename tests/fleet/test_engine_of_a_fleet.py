"""A fleet: what a change costs depends on what changes, not on what is there. Counts, not times."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from fake_components import Fakes, Touch, component, graph_of

from disco.engine.apply import Ended
from disco.engine.component import Step
from disco.engine.events import StepDone, StepStarted

STEPS = 20


def steps(hosts: int) -> list[Step]:
    """Twenty on each host, one after the other, and one after all of them."""
    found = [
        Step(
            f"h{h}/part-{s}",
            f"part {s} of h{h}",
            (Touch(f"h{h}:{s}"),),
            (f"h{h}/part-{s - 1}",) if s else (),
        )
        for h in range(hosts)
        for s in range(STEPS)
    ]
    last = tuple(f"h{h}/part-{STEPS - 1}" for h in range(hosts))
    return [*found, Step("ready", "all are ready", (Touch("ready"),), last)]


def fleet(hosts: int, folder: Path) -> Fakes:
    return Fakes(graph_of([component("hosts", steps(hosts))]), folder)


async def added(hosts: int, folder: Path) -> tuple[int, Counter[str]]:
    """Actions carried out, and records by event, when one more host joins so many."""
    made = fleet(hosts, folder)
    made.done.names += [a.touches for s in steps(hosts) for a in s.actions]
    assert (await made.plan()).empty
    more = Fakes(fleet(hosts + 1, folder).graph, folder, done=made.done)
    before = len(more.done.names)
    assert (await more.apply()).ended is Ended.DONE
    return len(more.done.names) - before, Counter(r["event"] for r in more.journal.read())


async def test_one_more_host_costs_as_many_actions_with_ten_as_with_a_thousand(
    tmp_path: Path,
) -> None:
    few, many = await added(10, tmp_path / "few"), await added(1000, tmp_path / "many")
    assert few == many == (STEPS, Counter(intent=STEPS, done=STEPS))


@pytest.mark.parametrize("parallel", [1, 16])
async def test_no_more_steps_run_at_a_time_than_asked_for_and_each_after_those_before_it(
    tmp_path: Path, parallel: int
) -> None:
    made = fleet(50, tmp_path)
    outcome = await made.apply(parallel=parallel)
    assert (outcome.ended, outcome.done) == (Ended.DONE, 50 * STEPS + 1)

    after = {f"hosts/{s.id}": {f"hosts/{a}" for a in s.after} for s in steps(50)}
    running: set[str] = set()
    ended: set[str] = set()
    most = 0
    for event in made.events:
        if isinstance(event, StepStarted):
            running.add(event.step)
            assert after[event.step] <= ended
        elif isinstance(event, StepDone):
            running.remove(event.step)
            ended.add(event.step)
        most = max(most, len(running))
    assert most == parallel


async def test_steps_that_may_not_begin_yet_have_no_task(tmp_path: Path) -> None:
    made, most = fleet(50, tmp_path), 0

    async def count() -> None:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))

    made.behave = {f"h{h}:{s}": count for h in range(50) for s in range(STEPS)}
    assert (await made.apply()).ended is Ended.DONE
    assert 50 <= most < 100


async def test_a_failure_on_one_host_of_many_leaves_out_only_what_comes_after_it(
    tmp_path: Path,
) -> None:
    made = fleet(200, tmp_path)

    async def fail() -> None:
        raise OSError("no space left")

    made.behave = {"h7:4": fail}
    outcome = await made.apply()
    assert outcome.ended is Ended.FAILED
    assert len(outcome.errors) == 1
    assert outcome.done == 200 * STEPS - (STEPS - 4)
    assert outcome.skipped == STEPS - 5 + 1
