"""Components of nothing: what they do is a list of names, what is done is a set of names.

No `from __future__ import annotations` here: the engine reads annotations of classes that are made
inside a function.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from disco.engine import plan as planning
from disco.engine.action import Action
from disco.engine.apply import Outcome, Run, Stop
from disco.engine.component import Component, Layer, Outputs, Step, World, pending
from disco.engine.events import Event, Events
from disco.engine.gate import Gate, Report
from disco.engine.graph import Graph, build
from disco.engine.journal import Journal
from disco.engine.place import Place
from disco.engine.plan import Plan
from disco.stack.model import Model

Do = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    await asyncio.sleep(0)


@dataclass(frozen=True)
class Touch(Action):
    """Adds its name to what is done."""

    kind: ClassVar[str] = "touch"
    name: str
    loses: tuple[str, ...] = ()

    @property
    def touches(self) -> str:
        return self.name

    def describe(self) -> str:
        return f"touch {self.name}"

    def command(self) -> str:
        return f"touch {self.name}"

    @property
    def destroys(self) -> tuple[str, ...]:
        return self.loses


class FakeSpec(Model):
    """What a fake component is declared with."""


@dataclass
class Done:
    """The world: names that were touched, in order."""

    names: list[str] = field(default_factory=list)


def step(id: str, *actions: str, after: Sequence[str] = ()) -> Step:
    """A step of actions that are called so; of one with its own name when none is given."""
    return Step(id, f"do {id}", tuple(Touch(a) for a in actions or (id,)), tuple(after))


def component(
    name: str,
    steps: Sequence[Step] = (),
    needs: Mapping[str, Any] | None = None,
    layer: Layer = Layer.SERVERS,
    removal: Sequence[Step] = (),
    ground: bool = False,
    observed: Callable[[], None] = lambda: None,
) -> type[Component]:
    """A component class. needs: attribute -> the Outputs class of another (or that | None)."""

    class Out(Outputs):
        pass

    class Made(Component):
        spec: FakeSpec

        async def observe(self, world: World) -> frozenset[str]:
            observed()
            await asyncio.sleep(0)
            return frozenset(world[Done].names)

        def nothing(self) -> frozenset[str]:
            return frozenset()

        def steps(self, seen: frozenset[str]) -> Iterator[Step]:
            return pending(steps, {Touch(n).identity for n in seen})

        def outputs(self, seen: frozenset[str]) -> Out:
            return Out()

        def removal(self, seen: frozenset[str], ground_goes: bool) -> Iterator[Step]:
            return iter(() if ground_goes else removal)

    Made.__name__ = name
    Made.section, Made.layer, Made.is_ground = name, layer, ground
    Made.__annotations__.update(needs or {})
    return Made


def outputs_of(made: type[Component]) -> Any:
    """The class by which others name it as an input."""
    from disco.engine.component import outputs_class

    return outputs_class(made)


def graph_of(made: Sequence[type[Component]], place: Place | None = None) -> Graph:
    specs = {m.section: FakeSpec() for m in made}
    return build(list(made), specs, place or Place(Path("/nowhere/fake")))


@dataclass
class Fakes:
    """A stack of fake components: planned and carried out for real.

    behave: name of an action -> what happens when it is carried out, before it counts as done.
    """

    graph: Graph
    folder: Path
    behave: dict[str, Do] = field(default_factory=dict)
    done: Done = field(default_factory=Done)
    events: list[Event] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    @property
    def world(self) -> World:
        return World(self.done)

    @property
    def journal(self) -> Journal:
        return Journal(self.folder / "journal.jsonl")

    async def plan(self, make: Callable[..., Plan] = planning.make) -> Plan:
        return make("fake", self.graph, await planning.observe(self.graph, self.world))

    async def apply(
        self,
        make: Callable[..., Plan] = planning.make,
        parallel: int = 16,
        check: Callable[[], Awaitable[None]] = _nothing,
        narrowed: Callable[[Plan], Plan] = lambda plan: plan,
    ) -> Outcome:
        looks = await planning.observe(self.graph, self.world)
        plan = narrowed(make("fake", self.graph, looks))
        heard = Events()
        heard.listen(self.events.append)
        gate = Gate({"touch": self._touch}, self.journal, "run", check)
        run = Run(
            plan, self.graph, looks, self.world, gate, heard, self.stop, "run", parallel=parallel
        )
        return await run.run()

    async def _touch(self, action: Any, report: Report) -> None:
        await self.behave.get(action.name, _nothing)()
        self.done.names.append(action.name)

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind, in order."""
        return [e for e in self.events if isinstance(e, kind)]
