"""A secret that got another value is delivered, also when DISCO dies on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from disco.layers.cluster.node import LOGINS
from sim import SimulatedStack
from sim.stacks import STACKS
from sim.store import simulated

NEW = 'another "one"'


def delivered(stack: SimulatedStack, secret: str) -> list[str]:
    """What is there of it now, wherever it is brought to."""
    if secret == "metrics/two":
        cluster = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
        login = cluster.objects["/api/v1/namespaces/monitoring/secrets/remote-write-1"]
        return [login["data"]["secret"]]
    if secret == "alerts/night":
        path = "/api/v1/namespaces/alerts/secrets/alertmanager-receivers"
        cluster = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
        return [cluster.objects[path]["data"]["night.routing_key"]]
    files = [host.files[LOGINS].content for host in stack.state.hosts.values()]
    return [json.loads(file)["auths"]["two.example"]["password"] for file in files]


@pytest.mark.parametrize("secret", ["metrics/two", "registry/two", "alerts/night"])
def test_it_is_there_after_dying_at_any_point(folder: Path, secret: str) -> None:
    stack = SimulatedStack(STACKS["wide"], folder)
    assert stack.apply().done
    simulated(stack.place).put(secret, {"key" if secret == "alerts/night" else "token": NEW})
    before = stack.simulation.capture()
    points = stack.apply().points
    new = delivered(stack, secret)
    assert secret != "registry/two" or set(new) == {NEW}
    for number in range(1, len(points) + 1):
        stack.simulation.restore(before)
        assert delivered(stack, secret) != new
        assert stack.apply(kill_at=number).killed
        assert stack.apply().done
        assert delivered(stack, secret) == new
        assert stack.plan().empty
