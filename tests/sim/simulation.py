"""The simulated world as a whole: its state, its clock, and the points at which it can be killed.

A kill keeps the state as it is at that instant, files of the stack included; whatever the
unwinding process still does is thrown away, as it would be for SIGKILL.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from disco.hosts.host import Host
from sim import listing
from sim.errors import Killed, SimulationError
from sim.state import HostState, State


@dataclass(frozen=True)
class Snapshot:
    """The world at one instant. files: path -> (content, mode); folders: path -> mode."""

    state: bytes
    files: dict[str, tuple[bytes, int]]
    folders: dict[str, int]

    def is_like(self, other: Snapshot) -> bool:
        """Whether both are the same world; the bytes of one state may be others each time, and
        blocks go on while somebody looks."""
        same_files = (self.files, self.folders) == (other.files, other.folders)
        return same_files and self._still() == other._still()

    def _still(self) -> State:
        state: State = pickle.loads(self.state)
        for cluster in (h.cluster for h in state.hosts.values() if h.cluster):
            cluster.signed = dict.fromkeys(cluster.signed, 0)
            for volume in cluster.volumes.values():
                volume.height = 0
                volume.files = {n: _timeless(text) for n, text in volume.files.items()}
        return state


def _timeless(text: str) -> str:
    return re.sub(r'(height"?[=:] ?"?)[0-9]+', r"\1N", text)


class Simulation:
    """folder: where the stack keeps its files; real ones.

    kill_at:       the tick at which the process dies; 0 is never.
    fault:         what goes wrong in its place at the tick `fault_at`, and only there.
    orphans_go_on: what a killed process has begun on a host goes on there and ends.
    torn:          the record that is being written when the process dies is cut off.
    labels:        the points that this process has passed.
    finished:      the steps that it has finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State()
        self.run = ""
        self.kill_at = 0
        self.fault_at = 0
        self.fault: Callable[[Simulation], Exception] | None = None
        self.orphans_go_on = False
        self.torn = False
        self.chance: random.Random | None = None
        self.labels: list[str] = []
        self.finished: list[str] = []
        self.at_death: Snapshot | None = None
        self.refused: list[SimulationError] = []
        self.watch: Callable[[str], None] | None = None

    def begin(self, run: str, kill_at: int = 0, seed: int | None = None) -> None:
        """A new process starts."""
        self.run, self.kill_at = run, kill_at
        self.chance = None if seed is None else random.Random(seed)
        self.labels, self.finished, self.at_death, self.refused = [], [], None, []

    def tick(self, label: str) -> None:
        """One more point at which the process can die."""
        if self.at_death:
            return
        self.labels.append(label)
        if self.watch:
            self.watch(label)
        self._chains_go_on()
        if len(self.labels) == self.kill_at:
            self.at_death = self.capture()
            raise Killed(label)
        if self.fault and len(self.labels) == self.fault_at:
            raise self.fault(self)

    def _chains_go_on(self) -> None:
        """At every point: a double sign is one, whoever looks."""
        from sim import cluster, signers

        for host in self.state.hosts.values():
            if host.cluster and host.cluster.pods and cluster.is_up(host, self.state.now):
                signers.go_on(self, host.cluster)

    def remotely(self, label: str, script: Iterator[str]) -> None:
        """Something that runs elsewhere, step by step; it can outlive a killed process."""
        for point in script:
            try:
                self.tick(f"{label}: {point}")
            except Killed:
                if self.orphans_go_on:
                    list(script)
                    self.at_death = self.capture()
                raise

    async def breathe(self) -> None:
        """Time passes, and others may come first."""
        await asyncio.sleep(self.chance.uniform(0.01, 1.0) if self.chance else 0.1)

    def passed(self, seconds: float) -> None:
        self.state.now += seconds

    def refuse(self, why: str) -> SimulationError:
        """For raising; also remembered, since the engine goes on after a step's error."""
        error = SimulationError(why)
        self.refused.append(error)
        return error

    def host(self, host: Host) -> HostState:
        """A host that something is done on now."""
        there = self.state.reached(host.name, host.address)
        if there is None or not there.running:
            raise self.refuse(f"{host.name} is not booted")
        if there.key and there.key != host.host_key:
            raise self.refuse(f"{there.name} is taken for {host.name}")
        return there

    def count(self, what: str) -> int:
        self.state.counts[what] += 1
        return self.state.counts[what]

    def capture(self) -> Snapshot:
        files, folders = {}, {}
        for path in sorted(self.folder.rglob("*")):
            name, mode = str(path.relative_to(self.folder)), path.stat().st_mode & 0o7777
            if path.is_dir():
                folders[name] = mode
            else:
                files[name] = (path.read_bytes(), mode)
        return Snapshot(pickle.dumps(self.state), files, folders)

    def restore(self, snapshot: Snapshot) -> None:
        self.state = pickle.loads(snapshot.state)
        shutil.rmtree(self.folder, ignore_errors=True)
        listing.put_back(self.folder)
        self.folder.mkdir(parents=True, mode=0o700)
        for name, mode in snapshot.folders.items():
            (self.folder / name).mkdir(mode=mode)
        for name, (content, mode) in snapshot.files.items():
            path = self.folder / name
            path.write_bytes(content)
            path.chmod(mode)
