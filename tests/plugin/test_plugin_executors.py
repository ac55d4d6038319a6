"""A component may define kinds of action of its own, and says who carries them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from disco.engine.errors import WrongUse
from disco.engine.gate import Gate
from disco.engine.graph import Graph, build
from disco.engine.journal import Journal
from disco.layers.registry import with_executors
from disco.plugin import (
    Action,
    Component,
    Executor,
    Layer,
    Lookup,
    Model,
    Outputs,
    Place,
    Report,
    SecretRef,
    Step,
    World,
)

TOKEN = SecretRef("beacon/token")


class BeaconSpec(Model):
    """A beacon."""


@dataclass(frozen=True)
class Light(Action):
    """A beacon that is lit with a token."""

    kind: ClassVar[str] = "beacon-light"
    token: SecretRef

    @property
    def touches(self) -> str:
        return "beacon"

    def describe(self) -> str:
        return "light the beacon"

    def command(self) -> str:
        return f"echo {self.token} > beacon"


class Beacon(Component):
    """A beacon, which is a file in the stack's folder."""

    contract = 1
    layer = Layer.SERVICES
    section = "beacon"
    spec: BeaconSpec
    kind: ClassVar[str] = Light.kind

    @classmethod
    def executors(cls, world: World, lookup: Lookup) -> Mapping[str, Executor]:
        async def light(action: Action, report: Report) -> None:
            assert isinstance(action, Light)
            (world[Place].root / "beacon").write_text(lookup(action.token))

        return {cls.kind: light}

    async def observe(self, world: World) -> bool:
        return (world[Place].root / "beacon").exists()

    def nothing(self) -> bool:
        return False

    def steps(self, seen: bool) -> Iterator[Step]:
        if not seen:
            yield Step("light", "light the beacon", (Light(TOKEN),))

    def outputs(self, seen: bool) -> Outputs:
        return Outputs()


class Thief(Beacon):
    """Takes a kind of action that is another's."""

    kind: ClassVar[str] = "apply"


async def held() -> None:
    """The lock is ours."""


async def nobody(action: Action, report: Report) -> None:
    raise AssertionError("another's executor was asked")


def graph_of(component: type[Component], place: Place) -> Graph:
    return build([component], {"beacon": BeaconSpec()}, place)


async def test_an_action_of_its_own_is_carried_out_through_the_gate(tmp_path: Path) -> None:
    place = Place(tmp_path)
    world, journal = World(place), Journal(place.journal)
    executors = with_executors(
        {"apply": nobody}, graph_of(Beacon, place), world, lambda ref: f"value of {ref.name}"
    )
    beacon = Beacon("beacon", BeaconSpec(), {}, place)
    (step,) = beacon.steps(await beacon.observe(world))

    gate = Gate(executors, journal, "run", held)
    await gate.carry_out("beacon/light", step.actions[0], lambda note, share: None)

    assert (tmp_path / "beacon").read_text() == "value of beacon/token"
    assert [r["event"] for r in journal.read()] == ["intent", "done"]
    assert "value of" not in place.journal.read_text()
    assert list(beacon.steps(await beacon.observe(world))) == []


def test_a_kind_that_is_anothers_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with pytest.raises(WrongUse, match="beacon carries out actions of the kind apply"):
        with_executors({"apply": nobody}, graph_of(Thief, place), World(place), lambda ref: "")
