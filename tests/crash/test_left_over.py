"""Pods that outlived what started them, as an interrupted kubeadm or a dead containerd leaves them:
the next run finds and ends them, and a host that is left has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from disco.layers.cluster.node import CONTAINERD
from sim.compare import differences, view
from sim.stack import SimulatedStack
from sim.stacks import STACKS

IRON = STACKS["iron"]
UNIT = f"/etc/systemd/system/{CONTAINERD}"


def up(folder: Path) -> SimulatedStack:
    stack = SimulatedStack(IRON, folder)
    assert stack.apply().done
    return stack


@pytest.mark.parametrize(
    ("where", "name"), [("control plane: etcd has data", "a"), ("join: the kubelet runs", "b")]
)
def test_pods_of_a_kubeadm_that_was_cut_off_do_not_stop_the_next_one(
    folder: Path, where: str, name: str
) -> None:
    stack = SimulatedStack(IRON, folder)
    nothing = stack.simulation.capture()
    points = stack.apply().points
    end = view(stack)
    stack.simulation.restore(nothing)
    assert stack.apply(kill_at=points.index(where) + 1).killed == where
    host = stack.state.hosts[name]
    host.units[CONTAINERD].active = False
    host.sandboxes.add("left over")
    assert stack.apply().done
    assert differences(end, view(stack)) == [] and stack.plan().empty


@pytest.mark.parametrize("broken", [False, True])
def test_a_host_whose_containerd_is_down_is_left_without_pods(folder: Path, broken: bool) -> None:
    """kubeadm reset ends pods by containerd, and only warns when it can't; the rest of them held
    the API's port, on a host that was no longer known as ours."""
    stack = up(folder)
    for host in stack.state.hosts.values():
        assert host.sandboxes
        host.units[CONTAINERD].active = False
        if broken:  # so that it can't be started either
            del host.files[UNIT]
    assert stack.down().done
    assert [h.sandboxes for h in stack.state.hosts.values()] == [set(), set()]
    again = stack.apply()  # nobody could ask the cluster whether its validators were gone
    assert not again.done
    assert [e.fix.rpartition(": ")[2] for e in again.outcome.errors] == ["disco signer take"]


def test_a_network_whose_hosts_went_with_a_dead_cluster_comes_up_again(folder: Path) -> None:
    """Its leases could not be ended in the cluster; with the hosts it is certainly gone."""
    stack = SimulatedStack(STACKS["devnet"], folder)
    assert stack.apply().done
    stack.state.hosts["h1"].units[CONTAINERD].active = False
    gone = stack.down()
    assert gone.done
    assert "end-lease" in {a.kind for _, s in gone.plan.steps for a in s.actions}
    assert stack.down().plan.empty
    assert stack.apply().done and stack.plan().empty
