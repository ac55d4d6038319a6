"""A network in memory, which `disco top` looks at: everything is real but the machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from disco.cli import opened
from disco.cli.watch import Watch
from disco.layers import registry
from screen import simulated_top
from sim.stack import SimulatedStack
from sim.stacks import STACKS


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is changed of components, and what is opened, is forgotten after the test."""
    monkeypatch.setattr(opened, "_stores", [])
    monkeypatch.setattr(opened, "_kept", set())
    for component in registry.components():
        monkeypatch.setattr(component, "checks", simulated_top._checks)
    yield


@pytest.fixture
def network(tmp_path: Path) -> SimulatedStack:
    """Three servers with everything, up."""
    stack = SimulatedStack(STACKS["wide"], tmp_path)
    assert stack.apply().done
    return stack


@pytest.fixture
def watching(network: SimulatedStack) -> Callable[[], Watch]:
    return lambda: watch_of(network)


def watch_of(stack: SimulatedStack) -> Watch:
    @asynccontextmanager
    async def opens() -> Any:
        yield stack.session()

    return Watch(opens)
