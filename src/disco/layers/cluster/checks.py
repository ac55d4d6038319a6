"""Checks of Kubernetes: what the API tells, what the nodes tell, and what pods see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from disco.engine.check import Check
from disco.engine.component import World
from disco.layers.cluster.check_api import api_checks
from disco.layers.cluster.check_network import network_checks
from disco.layers.cluster.check_nodes import node_checks
from disco.layers.cluster.check_volumes import volume_check

if TYPE_CHECKING:
    from disco.layers.cluster.kubernetes import Kubernetes


def checks(component: Kubernetes, world: World) -> Iterator[Check]:
    """Those that take longest come first."""
    yield volume_check(component, world)
    yield from network_checks(component, world)
    yield from api_checks(component, world)
    yield from node_checks(component, world)
