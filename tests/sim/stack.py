"""A stack in the simulated world: DISCO's own way from the file to the plan and through it.

Every call is a new process: readers, graph and executors are made again from what is on disk and
in the world.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from disco.chains import registry as chain_definitions
from disco.cli.changing import end_data
from disco.cli.opened import opened
from disco.cli.wiring import Session
from disco.engine import leaving
from disco.engine import plan as planning
from disco.engine.apply import Ended, Outcome, Run, Stop
from disco.engine.component import World
from disco.engine.declared import Declared
from disco.engine.events import Event, Events, StepDone
from disco.engine.gate import Gate
from disco.engine.graph import Graph, build
from disco.engine.journal import Journal
from disco.engine.lock import Held, Lock
from disco.engine.machine_lock import MachineLock
from disco.engine.place import Place
from disco.engine.plan import Look, Plan
from disco.engine.secret import SecretRef
from disco.layers import registry
from disco.layers.servers.ssh import SshServersSpec
from disco.stack.load import Loaded, load_text
from disco.stack.model import Model
from sim.artifacts import SimulatedArtifacts, everything
from sim.clock import in_virtual_time
from sim.executors import executors
from sim.hosts import SimulatedHosts
from sim.journal import SimulatedJournal
from sim.kube import SimulatedKube
from sim.nspawn import SimulatedNspawn
from sim.simulation import Simulation
from sim.state import File, HostState, State
from sim.store import CANARY, SimulatedStore, simulated

T = TypeVar("T")
Make = Callable[[str, Graph, dict[str, Look]], Plan]


@dataclass
class Process:
    """Everything that one process of DISCO has in its memory."""

    graph: Graph
    world: World
    store: SimulatedStore
    artifacts: SimulatedArtifacts
    kube: SimulatedKube
    hosts: SimulatedHosts
    place: Place

    @property
    def journal(self) -> Journal:
        return Journal(self.place.journal)

    def lookup(self, ref: SecretRef) -> str:
        return self.store.lookup(ref)


@dataclass
class Ran:
    """How a run went. killed: where, when it was. points: every tick that it passed."""

    plan: Plan | None = None
    outcome: Outcome | None = None
    killed: str = ""
    finished: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    points: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.outcome is None or self.outcome.ended is Ended.DONE


# The same for every process of a test; looking for plugins takes longer than a run in memory.
components = cache(registry.components)


@cache
def loaded(text: str) -> tuple[Loaded, dict[str, Model]]:
    found = load_text(text, Path("stack.yaml"), registry.sections(), {})
    return found, registry.with_wanted(found.specs, Path())


class SimulatedStack:
    """text: of the stack file. folder: for the stack's files; the only thing that is on a disk."""

    def __init__(self, text: str, folder: Path, artifacts_held: bool = True) -> None:
        self.loaded, self._specs = loaded(text)
        self.place = Place(folder / self.loaded.name, folder)
        self.lock: Lock = MachineLock(self.place.lock)
        self.simulation = Simulation(self.place.root)
        self._runs = 0
        if artifacts_held:
            self.simulation.state.held = everything()
        self._put_up(self._specs["servers"])
        self._put_in()

    def _put_in(self) -> None:
        """Secrets that the stack file names: a person puts them into the store before."""
        for _, named in self.loaded.secrets():
            self.place.open()
            store = simulated(self.place)
            if not store.has(named.secret):
                store.put(named.secret, {named.field: f"{CANARY}:{named.secret}:{named.field}"})

    @property
    def state(self) -> State:
        return self.simulation.state

    def declare(self, text: str) -> None:
        """Somebody edits the stack file, and has the servers and secrets that it names."""
        self.loaded, self._specs = loaded(text)
        self._put_up(self._specs["servers"])
        self._put_in()

    def _put_up(self, servers: Model) -> None:
        """Hosts that exist before DISCO comes."""
        if not isinstance(servers, SshServersSpec):
            return
        for host in servers.hosts:
            if host.name in self.state.hosts:
                continue
            there = HostState(host.name, host.address, local=False, made=True, running=True)
            there.key = host.host_key
            there.files = {"/etc/hosts": File("127.0.0.1 localhost\n")}
            self.state.hosts[host.name] = there

    def plan(self, make: Make = planning.make) -> Plan:
        """What would be done now. Changes nothing."""
        self.simulation.begin("plan")

        async def work() -> Plan:
            return (await self._planned(self.start(), make))[0]

        return self._in_this_world(work())

    async def _planned(
        self, process: Process, make: Make, lowest_going: int | None = None
    ) -> tuple[Plan, dict[str, Look]]:
        """As `cli.changing` does: what left the file goes, and what is declared comes."""
        declared = Declared(self.place.declared).read(components())
        before = await leaving.before(declared, self.loaded.specs, self._wire, process.world)
        looks = await planning.observe(process.graph, process.world, lowest_going)
        plan = make(self.loaded.name, process.graph, looks)
        if before is None:
            return plan, looks
        left = await leaving.parts(before, looks, process.world, lowest_going)
        return leaving.joined(plan, left), looks

    def _wire(self, specs: Mapping[str, Model]) -> Graph:
        return build(components(), registry.with_wanted(specs, self.place.stack_folder), self.place)

    def apply(self, kill_at: int = 0, seed: int | None = None, parallel: int = 16) -> Ran:
        return self._change("apply", planning.make, kill_at, seed, parallel)

    def down(self, kill_at: int = 0, seed: int | None = None, lowest_layer: int = 0) -> Ran:
        make = partial(planning.make_removal, lowest_layer=lowest_layer)
        return self._change("down", make, kill_at, seed, parallel=16, lowest=lowest_layer)

    def start(self) -> Process:
        """A new process: nothing is known but what is in the world."""
        self.place.open()
        simulation = self.simulation
        store = SimulatedStore(self.place, simulation)
        artifacts = SimulatedArtifacts(simulation)
        kube = SimulatedKube(simulation, store.lookup)
        hosts = SimulatedHosts(simulation, store.lookup)
        nspawn = SimulatedNspawn(simulation)
        world = World(self.place, store, artifacts, hosts, kube, nspawn)
        graph = build(components(), self._specs, self.place)
        return Process(graph, world, store, artifacts, kube, hosts, self.place)

    def session(self) -> Session:
        """A new process as the command line opens it, to look; its executors are the real ones."""
        process = self.start()
        opened(process.store)
        none: Any = None
        return Session(
            self.loaded,
            self.place,
            process.graph,
            process.store,
            process.artifacts,
            none,
            process.kube,
            process.world,
        )

    def _change(
        self,
        what: str,
        make: Make,
        kill_at: int,
        seed: int | None,
        parallel: int,
        lowest: int | None = None,
    ) -> Ran:
        self._runs += 1
        run, ran = f"run-{self._runs}", Ran()
        self.simulation.begin(run, kill_at, seed)
        try:
            self._in_this_world(self._work(what, make, run, parallel, ran, lowest))
        except BaseException:
            if self.simulation.at_death is None:
                raise
            ran.killed = self.simulation.labels[-1]
            self.simulation.restore(self.simulation.at_death)
        ran.points, ran.finished = self.simulation.labels, self.simulation.finished
        return ran

    async def _work(
        self, what: str, make: Make, run: str, parallel: int, ran: Ran, lowest: int | None
    ) -> None:
        process = self.start()
        with self.lock.hold(what) as held:
            plan, looks = await self._planned(process, make, lowest)
            ran.plan = plan
            if not plan.empty:
                Declared(self.place.declared).begin(self.loaded.specs)
                await self._carry_out(what, plan, looks, process, held, run, parallel, ran)
            if ran.done and lowest is None:
                Declared(self.place.declared).settle(self.loaded.specs)
            elif ran.done and lowest == 0:
                Declared(self.place.declared).forget()

    async def _carry_out(
        self,
        what: str,
        plan: Plan,
        looks: dict[str, Look],
        process: Process,
        held: Held,
        run: str,
        parallel: int,
        ran: Ran,
    ) -> None:
        journal, events = SimulatedJournal(self.place.journal, self.simulation), Events()
        events.listen(ran.events.append)
        events.listen(self._note_finished)
        journal.write("run", run=run, what=what, plan=plan.digest[:16])
        gate = Gate(self._executors(process), journal, run, held.check)
        ran.outcome = await Run(
            plan,
            process.graph,
            looks,
            process.world,
            gate,
            events,
            Stop(),
            run,
            parallel=parallel,
        ).run()
        journal.write("end", run=run, **end_data(ran.outcome, {}))

    def _note_finished(self, event: Event) -> None:
        if isinstance(event, StepDone) and self.simulation.at_death is None:
            self.simulation.finished.append(event.step)

    def _executors(self, process: Process) -> Any:
        own = executors(
            self.simulation, process.store, process.artifacts, process.kube, process.lookup
        )
        return registry.with_executors(own, process.graph, process.world, process.lookup)

    def _in_this_world(self, work: Coroutine[Any, Any, T]) -> T:
        """The result; what the simulated world refused is raised even when the engine went on."""
        try:
            with patch.object(chain_definitions, "find", _find_once):
                result = in_virtual_time(work, self.simulation.passed)
        finally:
            if self.simulation.refused and self.simulation.at_death is None:
                raise self.simulation.refused[0]
        return result


# Reading YAML is most of the time that a run in memory takes, and definitions don't change.
_find_once = cache(chain_definitions.find)
