"""How a simulation ends early: by what could never happen for real, or by being killed."""

from __future__ import annotations


class SimulationError(AssertionError):
    """Something was asked of the simulated world that the real one could not do."""


class Killed(BaseException):
    """SIGKILL: nobody may catch it, and nothing that happens after it counts."""
