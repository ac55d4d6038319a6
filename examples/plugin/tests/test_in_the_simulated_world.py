"""A whole stack with this component and chain, in DISCO's simulated world: no root, no cluster.

`sim` is DISCO's test kit; it is in `tests/` of DISCO's repository, which has to be on PYTHONPATH.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from disco_hello.component import CHART, NAME

from sim import SimulatedStack
from sim.charts import CHARTS, Thing, workload

STACK = (Path(__file__).parents[1] / "stack.yaml").read_text()


def page_of_the_chart(namespace: str, values: dict[str, Any]) -> Iterator[Thing]:
    """What the chart puts into a cluster, as far as anybody waits for it."""
    yield workload("deployments", "Deployment", namespace, NAME, values["image"], 1)


CHARTS[CHART] = page_of_the_chart


def test_it_goes_up_a_second_plan_is_empty_and_it_is_removed(tmp_path: Path) -> None:
    stack = SimulatedStack(STACK, tmp_path)

    ran = stack.apply()
    assert ran.done, ran.outcome
    assert {"hello/release", "hello/ready", "chains.hellochain/ready"} <= set(ran.finished)
    assert stack.plan().empty

    assert stack.down(lowest_layer=4).finished == ["hello/release"]
    assert [p.name for p in stack.plan().parts if p.steps] == ["hello"]
    assert stack.down().done
    assert stack.state.networks == set()


def test_another_greeting_changes_the_release_and_nothing_else(tmp_path: Path) -> None:
    stack = SimulatedStack(STACK, tmp_path)
    stack.apply()

    stack.declare(STACK.replace("hello, world", "good morning"))
    changed = [a.identity for _, s in stack.plan().steps for a in s.actions if not a.waits]
    assert changed == ["release disco:release/hello/hello"]


def own(points: list[str]) -> list[int]:
    """The points of a run, counted from 1, that are this component's."""
    return [i for i, label in enumerate(points, 1) if f"{NAME}/{NAME}" in label]


def things(stack: SimulatedStack) -> list[str]:
    """What is in its namespace, which is one of them."""
    clusters = [h.cluster for h in stack.state.hosts.values() if h.cluster]
    paths = [p for c in clusters for p in c.objects]
    return [p for p in paths if f"{p}/".startswith(f"/api/v1/namespaces/{NAME}/")]


def test_killed_at_any_point_of_its_own_it_ends_up_the_same(tmp_path: Path) -> None:
    points = own(SimulatedStack(STACK, tmp_path / "whole").apply().points)

    assert points
    for point in points:
        stack = SimulatedStack(STACK, tmp_path / str(point))
        assert stack.apply(kill_at=point).killed
        assert stack.apply().done
        assert stack.plan().empty


def test_killed_on_the_way_out_it_is_gone_after_the_next_one(tmp_path: Path) -> None:
    stack = SimulatedStack(STACK, tmp_path)
    stack.apply()
    up = stack.simulation.capture()
    points = range(1, len(stack.down(lowest_layer=4).points) + 1)

    assert not things(stack)
    for point in points:
        stack.simulation.restore(up)
        assert things(stack)
        assert stack.down(kill_at=point, lowest_layer=4).killed
        assert stack.down(lowest_layer=4).done
        assert not things(stack)
