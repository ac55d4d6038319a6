"""The real journal; the process can be killed before, inside and after each record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from disco.engine.journal import Journal
from sim.errors import Killed
from sim.simulation import Simulation

CUT = b'\n{"action": "cut off by a cra'


class SimulatedJournal(Journal):
    def __init__(self, path: Path, simulation: Simulation) -> None:
        super().__init__(path)
        self._file, self._simulation = path, simulation

    def write(self, event: str, **fields: Any) -> None:
        what = self._before(event, fields)
        super().write(event, **fields)
        self._simulation.tick(f"after the record: {what}")

    async def record(self, event: str, **fields: Any) -> None:
        """At once: a thread beside a clock that jumps would come at another time in each run."""
        self.write(event, **fields)

    def _before(self, event: str, fields: dict[str, Any]) -> str:
        what = f"{event} {fields.get('step', '')} {fields.get('action', '')}".strip()
        try:
            self._simulation.tick(f"before the record: {what}")
        except Killed:
            if self._simulation.torn:
                self._tear()
            raise
        return what

    def _tear(self) -> None:
        with self._file.open("ab") as file:
            file.write(CUT)
            os.fsync(file.fileno())
        self._simulation.at_death = self._simulation.capture()
