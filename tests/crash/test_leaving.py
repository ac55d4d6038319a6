"""What leaves the stack file goes in an orderly way, also when that is interrupted anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from disco.engine import plan as planning
from sim.interruption import of_change, tell
from sim.stack import SimulatedStack
from sim.stacks import STACKS
from sim.state import File

Record = Callable[[str, Any], None]

LOCAL = """\
name: less
servers: {provider: local, count: COUNT, network: 10.90.0.0/24}
kubernetes: {}
vault: {}
chains:
  akash: {validators: 1}
"""
IRON = STACKS["iron"]
SECOND = "    - {name: b, address: 192.0.2.12, host_key: ssh-ed25519 AAAAb}\n"
CHAIN = "chains:\n  akash: {validators: 3, full_nodes: 1}\n"
CHANGES = {
    "a local server": (LOCAL.replace("COUNT", "3"), LOCAL.replace("COUNT", "1")),
    "a server over SSH": (IRON, IRON.replace(SECOND, "")),
    "a chain": (IRON, IRON.replace(CHAIN, "")),
    "a vault": (IRON, IRON.replace("vault: {replicas: 3}\n", "")),
    "all that stands on the cluster, and a server": (
        IRON,
        IRON.replace(CHAIN, "").replace("vault: {replicas: 3}\n", "").replace(SECOND, ""),
    ),
}


def up(text: str, folder: Path) -> SimulatedStack:
    stack = SimulatedStack(text, folder)
    assert stack.apply().done
    return stack


@pytest.mark.parametrize("leaves", CHANGES)
def test_it_is_gone_after_dying_at_any_point(
    folder: Path, record_property: Record, leaves: str
) -> None:
    whole = of_change(*CHANGES[leaves], folder)
    stack, wrong = whole.stack, {}
    assert whole.still_planned() == []
    for number, label in enumerate(whole.labels, 1):
        stack.simulation.restore(whole.before)
        stack.simulation.orphans_go_on = number % 2 == 0
        first = stack.apply(kill_at=number)
        last = stack.apply()
        finished = tuple(first.finished)
        if found := [*whole.wrong_after(finished, last), *whole.still_planned()]:
            wrong[f"{number} {label}"] = found
    tell(wrong, record_property, len(whole.labels))


def test_a_server_that_left_is_as_it_was_found(folder: Path) -> None:
    found = SimulatedStack(IRON, folder).state.hosts["b"].files
    stack = up(IRON, folder)
    assert stack.state.hosts["b"].files != found
    stack.declare(CHANGES["a server over SSH"][1])
    assert stack.apply().done
    left = stack.state.hosts["b"]
    assert (left.files, left.units, left.links) == (found, {}, {})


def test_a_server_leaves_the_cluster_before_it_goes(folder: Path) -> None:
    before, after = CHANGES["a local server"]
    stack = up(before, folder)
    stack.declare(after)
    plan = stack.plan()
    assert [name for name, _ in plan.steps] == [
        "leaving kubernetes/h2/drain",
        "leaving kubernetes/h3/drain",
        "leaving servers/h2",
        "leaving servers/h3",
    ]
    assert plan.parts[1].upstream == ("leaving kubernetes",)
    stack.apply()
    assert sorted(stack.state.hosts) == ["h1"]
    cluster = stack.state.hosts["h1"].cluster
    assert cluster is not None and cluster.orphans == set()


def test_a_server_that_was_only_half_made_is_missed_too(folder: Path) -> None:
    """Declared, begun, killed, and taken out of the file again."""
    one, three = (LOCAL.replace("COUNT", n) for n in "13")
    stack = up(one, folder)
    stack.declare(three)
    points = SimulatedStack(three, folder / "other").apply().points
    number = next(i for i, label in enumerate(points, 1) if "h3" in label and "boot" in label)
    stack.apply(kill_at=number)
    assert "h3" in stack.state.hosts
    stack.declare(one)
    assert stack.apply().done
    assert sorted(stack.state.hosts) == ["h1"]


def test_the_first_server_carries_the_control_plane_and_can_not_leave(folder: Path) -> None:
    stack = up(IRON, folder)
    first = "    - {name: a, address: 192.0.2.11, host_key: ssh-ed25519 AAAAa}\n"
    stack.declare(IRON.replace(first, ""))
    with pytest.raises(Exception, match="carries the control plane and can't leave"):
        stack.plan()


def test_what_left_goes_also_with_the_rest(folder: Path) -> None:
    """Taken out of the file, never applied, and the whole stack taken down."""
    before, after = CHANGES["a local server"]
    stack = up(before, folder)
    stack.declare(after)
    assert stack.down().done
    assert stack.state.hosts == {} and not stack.state.networks


def test_a_worker_that_is_away_is_left_out_where_one_may_be(folder: Path) -> None:
    text = IRON.replace("  provider: ssh\n", "  provider: ssh\n  max_unavailable: 1\n")
    stack = SimulatedStack(text, folder)
    stack.state.hosts["b"].running = False
    plan = stack.plan()
    assert not [name for name, _ in plan.steps if "/b/" in name]
    notes = [note for part in plan.parts for note in part.notes]
    assert notes == ["b does not answer and is left out (max_unavailable)"]
    assert stack.apply().done
    stack.state.hosts["b"].running = True
    assert stack.apply().done
    assert stack.plan().empty
    cluster = stack.state.hosts["a"].cluster
    assert cluster is not None and sorted(cluster.nodes) == ["a", "b"]


def test_a_worker_that_is_away_stops_all_where_none_may_be(folder: Path) -> None:
    stack = SimulatedStack(IRON, folder)
    stack.state.hosts["b"].running = False
    with pytest.raises(Exception, match="b"):
        stack.plan()


def test_a_host_that_was_installed_anew_is_named_and_joins_when_the_old_node_is_forgotten(
    folder: Path,
) -> None:
    stack = up(IRON, folder)
    host, cluster = stack.state.hosts["b"], stack.state.hosts["a"].cluster
    assert cluster is not None
    host.files, host.units, host.links, host.images = {}, {}, {}, {}
    host.files = {"/etc/hosts": File("127.0.0.1 localhost\n")}
    host.packages, host.reinstalled = set(), 1
    with pytest.raises(Exception, match="b is another machine than the node of that name"):
        stack.plan()
    del cluster.nodes["b"], cluster.machines["b"]  # kubectl delete node b
    assert stack.apply().done
    assert stack.plan().empty


def test_one_more_server_is_planned_alone_on_a_cluster_that_is_there(folder: Path) -> None:
    """The rest is looked at, though a part of what it stands on is missing."""
    two, three = (LOCAL.replace("COUNT", n) for n in "23")
    stack = up(two, folder)
    stack.declare(three)
    plan = stack.plan()
    names = [name for name, _ in plan.steps]
    assert [n for n in names if not n.startswith("kubernetes/h3/")] == [
        "servers/h3",
        "kubernetes/door",
        "kubernetes/ready",
    ]
    (kubernetes,) = (p for p in plan.parts if p.name == "kubernetes")
    assert kubernetes.assumed_after == ("servers",)
    assert stack.apply().done
    assert stack.plan().empty


def test_what_would_be_lost_is_known_also_while_a_server_is_away(folder: Path) -> None:
    stack = up(LOCAL.replace("COUNT", "2"), folder)
    stack.state.hosts["h2"].running = False
    assert any("cluster" in lost for lost in stack.plan(planning.make_removal).loses)


FIRST = "    - {name: a, address: 192.0.2.11, host_key: ssh-ed25519 AAAAa}\n"


@pytest.mark.parametrize(
    "declared",
    [
        IRON.replace(FIRST, ""),
        IRON.replace(SECOND, ""),
        IRON.replace("kubernetes: {", "kubernetes: {pod_subnet: 10.245.0.0/16, "),
    ],
)
def test_nothing_that_is_declared_otherwise_stops_the_way_out(folder: Path, declared: str) -> None:
    stack = up(IRON, folder)
    stack.declare(declared)
    assert stack.down().done
    for host in stack.state.hosts.values():
        assert (set(host.files), host.units, host.links) == ({"/etc/hosts"}, {}, {})
    assert stack.plan(planning.make_removal).empty


def test_a_dead_server_that_left_the_file_does_not_stop_the_way_out(folder: Path) -> None:
    stack = up(IRON, folder)
    stack.declare(IRON.replace(SECOND, ""))
    stack.state.hosts["b"].running = False
    assert stack.down().done
    assert set(stack.state.hosts["a"].files) == {"/etc/hosts"}
