"""What becomes of one broken file: it plans the same twice, or is refused in its place."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pyrage  # type: ignore[import-untyped]

from disco.artifacts.lock import LOCK_NAME, Figure, Lock
from disco.chains import registry as definitions
from disco.chains.definition import Chain
from disco.cli import history
from disco.cli.wiring import wired
from disco.engine import machine_lock as locking
from disco.engine import plan as planning
from disco.engine.component import World
from disco.engine.errors import DiscoError, Several
from disco.engine.graph import Graph
from disco.engine.journal import Journal
from disco.engine.place import Place
from disco.engine.plan import Look, Plan
from disco.layers import registry
from disco.layers.servers.artifacts import Artifacts, ArtifactsOutputs, ArtifactsSeen
from disco.layers.servers.ssh import known_host_key
from disco.stack.load import Loaded, load
from disco.stack.problem import StackProblems
from disco.store import opening
from disco.store.team.keys import NotOpened, Own
from disco.store.team.memory import Memory
from disco.store.team.team import Team
from fuzz.originals import MINE, OWN_STACK
from sim.artifacts import SimulatedArtifacts
from sim.simulation import Simulation

REFUSALS = (DiscoError, Several, StackProblems)
T = TypeVar("T")
# The same for every input; looking for plugins takes longer than all the rest.
components, sections = cache(registry.components), cache(registry.sections)
_shipped = cache(definitions.find)
SEALED = pyrage.encrypt(b"for somebody else", [pyrage.x25519.Identity.generate().to_public()])


class Diverged(Exception):
    """What should not have happened."""


class Judge:
    """folder: for the files, emptied by nobody; one for each process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = Place(folder / "state", folder)
        self.place.root.mkdir()
        stack = folder / "own.yaml"
        stack.write_text(OWN_STACK)
        self.own = load(stack, sections(), {})

    def __call__(self, kind: str, content: bytes) -> bool:
        """Whether the file was taken. Raises Diverged, or what nobody foresaw."""
        judge: Callable[[bytes], None] = getattr(self, kind)
        try:
            with patch.object(registry, "components", components):
                judge(content)
        except REFUSALS as error:
            refused(error)
            return False
        return True

    def put(self, path: Path, content: bytes) -> Path:
        path.write_bytes(content)
        return path

    def stack(self, content: bytes) -> None:
        path = self.put(self.folder / "stack.yaml", content)
        mine = self.put(self.folder / "mine.yaml", MINE.encode())
        with placed(path):
            loaded = load(path, sections(), {"HOME": "home"})
        with patch.object(definitions, "find", _found):
            with placed(path, also=mine):
                graph = wired(loaded, self.place)
            same_twice(loaded, graph, lambda: wired(loaded, self.place), by_catalogue)

    def chain(self, content: bytes) -> None:
        path = self.put(self.folder / "mine.yaml", content)
        with placed(path):
            chain = definitions.load(path)
        with patch.object(definitions, "find", _unless_own(chain)):
            with placed(self.own.path):
                graph = wired(self.own, self.place)
            same_twice(self.own, graph, lambda: wired(self.own, self.place), by_any_name)

    def lock(self, content: bytes) -> None:
        path = self.put(self.folder / LOCK_NAME, content)
        with placed(path):
            lock = Lock.load(path)
        lock.find(Figure("helm", "4.3.1", "download", "amd64"))
        lock.save()
        once = path.read_bytes()
        Lock.load(path).save()
        if path.read_bytes() != once:
            raise Diverged("the lock file changes by being read and written")

    def journal(self, content: bytes) -> None:
        journal = Journal(self.put(self.place.journal, content))
        before = len(list(journal.read()))
        runs = history.runs_of(journal.read())
        for ran in runs:
            history._row(ran)
            history.data(ran)
            history.told(ran)
            for did in ran.actions:
                history._action_row(did)
        for left in journal.unfinished():
            f"{left.step}: {left.action}"
        journal.write("run", run="new")
        if len(list(journal.read())) != before + 1:
            raise Diverged("a new record is lost behind what was there")

    def holder(self, content: bytes) -> None:
        path = self.put(self.place.lock, content)
        lock = locking.MachineLock(path)
        lock.last_holder()
        locking._ago(locking._note(path).get("at"))
        with lock.hold("plan") as held:
            asyncio.run(held.check())

    def marker(self, content: bytes) -> None:
        path = self.put(self.place.root / "state.json", content)
        with placed(path, position=False, also=self.place.root):
            self.place.open()

    def identity(self, content: bytes) -> None:
        path = self.put(self.place.identity, content)
        path.chmod(0o600)
        own = Own([path])
        try:
            with placed(path, position=False):
                assert own.public
                own.open(SEALED)
        except NotOpened:
            return
        except DiscoError as error:
            if re.search("AGE-SECRET-KEY-1.", str(error)):
                raise Diverged("a refusal tells the key") from error
            raise

    def team(self, content: bytes) -> None:
        path = self.folder / "team.yaml"
        with placed(path):
            team = Team.read(content, str(path))
        if Team.read(team.text(), str(path)) != team:
            raise Diverged("a team changes by being written and read")

    def settings(self, content: bytes) -> None:
        path = self.put(self.place.root / opening.SETTINGS, content)
        try:
            with placed(path, position=False):
                opening.repository(self.place)
        finally:
            path.unlink()

    def memory(self, content: bytes) -> None:
        path = self.put(self.place.root / "team-seen.json", content)
        with placed(path, position=False):
            Memory(path).note(shared="0" * 40)

    def known_hosts(self, content: bytes) -> None:
        known_host_key("192.0.2.11", 22, self.put(self.folder / "known_hosts", content))


class placed:
    """What is refused in here names the file, and for YAML line and column."""

    def __init__(self, path: Path, *, position: bool = True, also: Path | None = None) -> None:
        places = "|".join(re.escape(str(p)) for p in (path, also) if p)
        self.wanted = re.compile(rf"({places}){':[1-9][0-9]*:[1-9]' if position else ''}")

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, REFUSALS):
            for text in texts(error):
                if not self.wanted.search(text):
                    raise Diverged(f"no place is named: {text[:300]!r}") from error


def texts(error: DiscoError | Several | StackProblems) -> list[str]:
    if isinstance(error, Several):
        return [str(e) for e in error.errors]
    return [str(p) for p in error.problems] if isinstance(error, StackProblems) else [str(error)]


def refused(error: DiscoError | Several | StackProblems) -> None:
    """A refusal can be shown: it says something, and nothing in it steers a terminal."""
    for text in texts(error):
        if not text.strip():
            raise Diverged("a refusal without words") from error
        if len(text) > 20_000:
            raise Diverged(f"a refusal of {len(text)} characters") from error
        steering = [c for c in text if not c.isprintable() and c != "\n"]
        if steering:
            raise Diverged(f"a refusal with {steering[0]!r} in it: {text[:300]!r}") from error


def _found(name: str, base: Path) -> Chain:
    """Definitions that come with DISCO are read once; a file is read each time."""
    return _shipped(name, base) if name == "akash" else definitions_find(name, base)


definitions_find = definitions.find


def _unless_own(chain: Chain) -> Callable[[str, Path], Chain]:
    return lambda name, base: chain if name == "mine.yaml" else _found(name, base)


Held = Callable[[Artifacts], ArtifactsSeen]


def same_twice(loaded: Loaded, graph: Graph, again: Callable[[], Graph], held: Held) -> None:
    """The plan for an empty place is the same when all of it is made again, and in order."""
    first, second = plan_of(loaded, graph, held), plan_of(loaded, again(), held)
    if first.digest != second.digest:
        raise Diverged("two plans of one stack differ")
    before: set[str] = set()
    for part in first.parts:
        if not set(part.upstream) <= before:
            raise Diverged(f"{part.name} is planned before what it stands on")
        before.add(part.name)
        ids = {s.id for s in part.steps}
        for step in part.steps:
            if not set(step.after) <= ids:
                raise Diverged(f"{part.name}/{step.id} comes after a step that is not there")


def by_catalogue(artifacts: Artifacts) -> ArtifactsSeen:
    """Nothing is held, and all that is wanted must be in the catalogue."""
    world = World(SimulatedArtifacts(Simulation(Path("/nowhere/state"))))
    return finished(artifacts.observe(world))


def by_any_name(artifacts: Artifacts) -> ArtifactsSeen:
    """Nothing is held, and what is wanted may be called anything: a chain's own program."""
    manifests: dict[str, tuple[tuple[str, str], ...]] = dict.fromkeys(artifacts.spec.also, ())
    return ArtifactsSeen(ArtifactsOutputs(digests={}, manifests=manifests, paths={}))


def plan_of(loaded: Loaded, graph: Graph, held: Held) -> Plan:
    """For a place where nothing is, not even artifacts."""
    looks: dict[str, Look] = {}
    outputs: dict[str, Any] = {}
    for node in graph:
        inputs = {k: outputs[n] if n else None for k, n in node.needs.items()}
        made = node.component(node.name, node.spec, inputs, graph.place)
        seen = held(made) if isinstance(made, Artifacts) else made.nothing()
        looks[node.name] = Look(node, made, seen, (), exists=False)
        outputs[node.name] = made.outputs(seen)
    return planning.make(loaded.name, graph, looks)


def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise Diverged("a simulated reader waits")
