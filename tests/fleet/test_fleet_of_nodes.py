"""What a change costs depends on what changes, not on the cluster's size. Counts, not times."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sim import SimulatedStack
from sim.stacks import fleet


def added(hosts: int, folder: Path) -> tuple[Counter[str], set[str]]:
    """What is carried out when one more joins so many: how often each kind, and on what."""
    stack = SimulatedStack(fleet(hosts), folder)
    assert stack.apply().done and stack.plan().empty
    stack.declare(fleet(hosts + 1))
    before = len(stack.state.log)
    assert stack.apply().done and stack.plan().empty
    did = stack.state.log[before:]
    return Counter(kind for _, kind, _ in did), {i.split()[1].split(":")[0] for _, _, i in did}


def test_one_more_node_costs_as_many_commands_in_a_cluster_of_ten_as_of_a_thousand(
    tmp_path: Path,
) -> None:
    few, touched_few = added(10, tmp_path / "few")
    many, touched_many = added(1000, tmp_path / "many")

    assert few == many
    assert few["program"] == 6 and few["packages"] == 1
    assert (touched_few, touched_many) == ({"h0", "h10", "disco"}, {"h0", "h1000", "disco"})
