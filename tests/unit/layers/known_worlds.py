"""How stacks that were brought up once are kept for all tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

from sim import Ran, SimulatedStack, Snapshot


@dataclass
class Kept:
    """A stack, the world before it and the one with it, and how the run went in between."""

    stack: SimulatedStack
    nothing: Snapshot
    up: Snapshot
    ran: Ran
