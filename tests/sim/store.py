"""The real store, with points at which it can be killed, and secrets that tell where they leaked.

What a generator would draw at random is a function of the secret's name and of how often it was
made before. So two runs of one stack can be compared, and a secret that is made twice shows.
"""

from __future__ import annotations

import dataclasses
from functools import cache

from disco.engine.gate import Report
from disco.engine.place import Place
from disco.store.actions import Remember, remember
from disco.store.generate import PUBLIC_FIELDS, Generator
from disco.store.store import Store
from sim.simulation import Simulation

CANARY = "CANARY"


class SimulatedStore(Store):
    def __init__(self, place: Place, simulation: Simulation) -> None:
        super().__init__(place)
        self._simulation = simulation

    def put(self, name: str, fields: dict[str, str]) -> None:
        self._simulation.tick(f"before the secret {name} is written")
        super().put(name, fields)
        self._simulation.count(f"secret {name}")
        self._simulation.tick(f"after the secret {name} was written")

    def forget(self, name: str) -> None:
        super().forget(name)
        self._simulation.tick(f"after the secret {name} was forgotten")

    def keep(self, name: str, content: bytes) -> None:
        self._simulation.tick(f"before the file {name} is kept")
        super().keep(name, content)
        self._simulation.tick(f"after the file {name} was kept")

    def discard(self, name: str) -> None:
        super().discard(name)
        self._simulation.tick(f"after the file {name} was discarded")


@dataclasses.dataclass(frozen=True)
class Canary(Generator):
    """Fields like those of the real generator; secret ones hold the word CANARY."""

    name: str
    fields: tuple[str, ...]
    nth: int

    def describe(self) -> str:
        return "a secret of the simulation"

    def make(self) -> dict[str, str]:
        return {
            f: f"{'public' if f in PUBLIC_FIELDS else CANARY}:{self.name}:{f}:{self.nth}"
            for f in self.fields
        }


@cache
def fields_of(generator: Generator) -> tuple[str, ...]:
    """What a real generator gives; asked once, since some take a tenth of a second."""
    return tuple(generator.make())


async def remember_canary(
    action: Remember, store: Store, simulation: Simulation, report: Report
) -> None:
    """The real executor, with a generator that can be recognised."""
    nth = simulation.state.counts[f"secret {action.secret}"] + 1
    same = _without_parameters(action.generate)
    canary = Canary(action.secret, fields_of(same), nth)
    await remember(dataclasses.replace(action, generate=canary), store, report)


def _without_parameters(generator: Generator) -> Generator:
    """One of each kind is enough to learn its fields."""
    return _FIRST.setdefault(type(generator), generator)


_FIRST: dict[type[Generator], Generator] = {}
