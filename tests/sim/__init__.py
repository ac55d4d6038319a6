"""A simulated world for tests: everything that DISCO reads and changes, in memory, without root.

It is data that components observe with DISCO's own readers' interface, and it refuses what the
real world could not do. `SimulatedStack` is where a test begins.
"""

from sim.clock import in_virtual_time
from sim.errors import Killed, SimulationError
from sim.simulation import Simulation, Snapshot
from sim.stack import Process, Ran, SimulatedStack
from sim.state import State

__all__ = [
    "Killed",
    "Process",
    "Ran",
    "SimulatedStack",
    "Simulation",
    "SimulationError",
    "Snapshot",
    "State",
    "in_virtual_time",
]
