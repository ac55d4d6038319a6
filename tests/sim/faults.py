"""What can go wrong at a point of a run without the process dying."""

from __future__ import annotations

from collections.abc import Callable

from disco.engine.errors import DiscoError, Retry
from sim.simulation import Simulation

BOOTING_S = 40.0
HALF_OPEN_S = 30.0

Fault = Callable[[Simulation], Exception]


def lost(simulation: Simulation) -> Exception:
    """The connection breaks; what was done by then stays done."""
    return DiscoError("the connection was lost or refused", where="h1", retry=Retry.LIKELY)


def half_open(simulation: Simulation) -> Exception:
    """Nothing comes any more, until the patience ends."""
    simulation.passed(HALF_OPEN_S)
    return DiscoError("no answer in time", where="h1", retry=Retry.LIKELY)


def rebooted(simulation: Simulation) -> Exception:
    """All hosts restart: units that are enabled start again, others do not."""
    for host in simulation.state.hosts.values():
        for unit in host.units.values():
            unit.active = unit.enabled
        if host.cluster:
            host.cluster.up_at = simulation.state.now + BOOTING_S
            host.cluster.restarted = True
    return lost(simulation)


def full_disk(simulation: Simulation) -> Exception:
    """There or here; trying again does not help."""
    return DiscoError("No space left on device", where="h1", fix="free some space")


def read_only(simulation: Simulation) -> Exception:
    return DiscoError("Read-only file system", where="h1", fix="remount it")


PASSING: dict[str, Fault] = {"lost": lost, "half-open": half_open}
LASTING: dict[str, Fault] = {"full disk": full_disk, "read-only": read_only}
