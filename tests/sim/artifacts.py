"""Artifacts by the real catalogue; which of them are held is simulated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from disco.artifacts.actions import Obtain
from disco.artifacts.cache import Cache, Held
from disco.artifacts.catalogue import Catalogue, catalogue
from disco.artifacts.reader import SOURCES, Artifacts
from disco.engine.gate import Report
from sim.simulation import Simulation

NOWHERE = Path("/nowhere/in/the/simulation")


def digest_of(name: str) -> str:
    return hashlib.sha256(f"artifact {name}".encode()).hexdigest()


class SimulatedArtifacts(Artifacts):
    def __init__(self, simulation: Simulation) -> None:
        super().__init__(Cache(NOWHERE))
        self._simulation = simulation

    def held(self, name: str, sources: Sequence[str] = SOURCES) -> Held | None:
        self.catalogue.check(name)
        if name not in self._simulation.state.held:
            return None
        digest = digest_of(name)
        version = self.catalogue.version(name)
        return Held(name, version, NOWHERE / name, digest, 1_000_000, "build", digest[:32])

    def images(self, name: str) -> dict[str, str]:
        return images_of(self.catalogue, name) if self.held(name) else {}

    def path(self, name: str) -> Path:
        """What executors ask: the file, which must be there by now."""
        held = self.held(name)
        if held is None:
            raise self._simulation.refuse(f"the artifact {name} is used before it is held")
        return held.path

    async def obtain(self, action: Obtain, report: Report) -> None:
        for name in action.names:
            for part in self.catalogue.needs(name):
                if self.held(part) is None:
                    raise self._simulation.refuse(f"{name} is assembled without {part}")
            self._simulation.state.held.add(name)
            self._simulation.tick(f"after {name} came into the cache")


def images_of(known: Catalogue, name: str) -> dict[str, str]:
    """Image references of a set with made-up manifest digests."""
    return {n: f"sha256:{digest_of(n)}" for n in known.image_set(name).all_references}


def everything() -> set[str]:
    return set(catalogue().names)
