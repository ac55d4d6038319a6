"""The way out can be interrupted too: run again, it ends with nothing left."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from disco.engine import plan as planning
from disco.engine.component import Layer
from sim import SimulatedStack
from sim.compare import differences, view
from sim.interruption import from_nothing, tell
from sim.stacks import STACKS

Record = Callable[[str, Any], None]


WAYS = [("devnet", Layer.SERVERS), ("iron", Layer.SERVERS), ("iron", Layer.PLATFORM)]


@pytest.mark.parametrize(("name", "lowest"), WAYS)
def test_a_stack_is_gone_after_dying_at_any_point_of_the_way_out(
    folder: Path, record_property: Record, name: str, lowest: Layer
) -> None:
    """Also when the cluster stays, and only what stands on it goes."""
    whole = from_nothing(name, folder)
    simulation = whole.stack.simulation
    again = partial(planning.make_removal, lowest_layer=lowest)
    points = whole.stack.down(lowest_layer=lowest).points
    end = view(whole.stack)
    wrong: dict[str, list[str]] = {}
    for number in range(1, len(points) + 1):
        simulation.restore(whole.world)
        simulation.orphans_go_on = number % 2 == 0
        whole.stack.down(kill_at=number, lowest_layer=lowest)
        last = whole.stack.down(lowest_layer=lowest)
        left = [step for step, _ in whole.stack.plan(again).steps]
        found = [] if last.done else [str(last.outcome)]
        found += [*differences(end, view(whole.stack)), *(f"still planned: {x}" for x in left)]
        if found:
            wrong[f"{number} {points[number - 1]}"] = found
    tell(wrong, record_property, len(points))


LOGINS = [f"/api/v1/namespaces/monitoring/secrets/remote-write-{n}" for n in range(3)]


def test_logins_go_with_prometheus_also_when_disco_dies_on_the_way_out(folder: Path) -> None:
    declared = STACKS["wide"]
    stack = SimulatedStack(declared, folder)
    assert stack.apply().done
    assert len(_logins(stack)) == 2
    start, end = declared.index("prometheus:"), declared.index("vault:")
    stack.declare(declared[:start] + declared[end:])
    begun = stack.simulation.capture()
    points = stack.apply().points
    gone = [i for i, p in enumerate(points) if "release/monitoring" in p or "secrets/remote" in p]
    assert gone
    for point in gone:
        stack.simulation.restore(begun)
        assert stack.apply(kill_at=point + 1).killed
        assert stack.apply().done
        assert _logins(stack) == []
        assert stack.plan().empty


def _logins(stack: SimulatedStack) -> list[str]:
    """Those of remote stores that the cluster has."""
    cluster = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
    return [login for login in LOGINS if login in cluster.objects]
