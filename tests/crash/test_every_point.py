"""A process that dies at any point of a run leaves what the next run brings to the same end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.compare import differences, view
from sim.interruption import Point, Uninterrupted, from_nothing, tell

SHARES = 3
Record = Callable[[str, Any], None]


def resume(whole: Uninterrupted, point: Point) -> list[str]:
    """Another process begins where the world was left; what is wrong at its end."""
    whole.stack.simulation.restore(point.world)
    ran = whole.stack.apply()
    return whole.wrong_after(point.finished, ran)


def resume_all(whole: Uninterrupted, numbers: list[int], record: Record) -> None:
    points = whole.points(numbers)
    found = {f"{n} {p.label}": resume(whole, p) for n, p in zip(numbers, points, strict=True)}
    tell({label: wrong for label, wrong in found.items() if wrong}, record, len(points))


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", ["devnet", "three"])
def test_a_stack_is_finished_after_dying_around_any_action(
    folder: Path, record_property: Record, name: str, share: int
) -> None:
    whole = from_nothing(name, folder)
    resume_all(whole, whole.around_actions()[share::SHARES], record_property)


def test_a_stack_is_finished_after_dying_inside_any_action(
    folder: Path, record_property: Record
) -> None:
    whole = from_nothing("devnet", folder)
    resume_all(whole, whole.inside_actions(), record_property)


def test_a_node_is_joined_after_dying_inside_its_join(
    folder: Path, record_property: Record
) -> None:
    """kubeadm refuses a node that the cluster has already: what is joined is taken as it is."""
    whole = from_nothing("three", folder)
    resume_all(
        whole, [i for i in whole.inside_actions() if "join:" in whole.labels[i]], record_property
    )


def test_a_killed_process_leaves_exactly_what_the_point_says(
    folder: Path, record_property: Record
) -> None:
    """The tests above begin at kept points; this one dies there, and compares."""
    whole = from_nothing("devnet", folder)
    numbers = range(0, len(whole.labels), 37)
    wrong: dict[str, list[str]] = {}
    for point, number in zip(whole.points(numbers), numbers, strict=True):
        whole.stack.simulation.restore(whole.before)
        ran = whole.stack.apply(kill_at=number + 1)
        left = view(whole.stack)
        assert ran.killed == point.label
        whole.stack.simulation.restore(point.world)
        if found := differences(view(whole.stack), left):
            wrong[f"{number} {ran.killed}"] = found
    tell(wrong, record_property, len(numbers))
