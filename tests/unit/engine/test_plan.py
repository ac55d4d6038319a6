"""A plan is data that says the same each time, and making one changes nothing."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from fake_components import Fakes, Touch, component, graph_of, outputs_of, step

from disco.engine import plan as planning
from disco.engine.action import to_data
from disco.engine.component import Layer, Step, World, pending
from disco.engine.errors import DiscoError, Exit, Several, WrongUse
from disco.engine.secret import SecretRef
from sim import in_virtual_time


def plan_text(fakes: Fakes) -> str:
    return json.dumps(in_virtual_time(fakes.plan()).data(), sort_keys=True)


def test_the_same_world_gives_the_same_bytes_whatever_the_order_of_declaration(
    tmp_path: Path,
) -> None:
    ground = component("ground", [step("g")])
    top = component("top", [step("t", "a", "b")], {"x": outputs_of(ground)}, layer=Layer.CLUSTER)
    side = component("side", [step("s")])

    one = Fakes(graph_of([ground, top, side]), tmp_path)
    other = Fakes(graph_of([side, top, ground]), tmp_path)
    assert plan_text(one) == plan_text(one) == plan_text(other)
    assert not one.done.names and not list(tmp_path.iterdir())


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    def digest(*steps: Step) -> str:
        fakes = Fakes(graph_of([component("a", steps)]), tmp_path)
        return in_virtual_time(fakes.plan()).digest

    assert digest(step("s")) == digest(step("s"))
    different = [
        digest(step("s")),
        digest(step("t")),
        digest(step("s", "x")),
        digest(step("s", "x", "y")),
        digest(step("s", "y", "x")),
        digest(step("r"), step("s", after=["r"])),
        digest(step("r"), step("s")),
        digest(Step("s", "do s", (Touch("s", ("everything",)),))),
    ]
    assert len(set(different)) == len(different)


def test_what_stands_on_what_is_not_there_is_planned_for_an_empty_place(tmp_path: Path) -> None:
    ground = component("ground", [step("g")])
    middle = component("middle", [step("m")], {"x": outputs_of(ground)})
    top = component("top", [step("t")], {"x": outputs_of(middle)})
    fakes = Fakes(graph_of([ground, middle, top]), tmp_path)
    fakes.done.names += ["m", "t"]

    plan = in_virtual_time(fakes.plan())

    assert [p.assumed_after for p in plan.parts] == [(), ("ground",), ("middle",)]
    assert [name for name, _ in plan.steps] == ["ground/g", "middle/m", "top/t"]


def test_what_would_be_lost_is_in_the_plan_of_the_way_out(tmp_path: Path) -> None:
    out = Step("r", "remove", (Touch("r", ("the disk",)), Touch("q", ("the disk", "the keys"))))
    fakes = Fakes(graph_of([component("a", removal=[out])]), tmp_path)

    plan = in_virtual_time(fakes.plan(planning.make_removal))

    assert plan.loses == ("the disk", "the keys")
    assert plan.removal and plan.data()["removal"]


def test_the_way_out_of_upper_layers_leaves_the_lower_ones(tmp_path: Path) -> None:
    ground = component("ground", removal=[step("rg")], ground=True)
    top = component(
        "top", needs={"x": outputs_of(ground)}, removal=[step("rt")], layer=Layer.CLUSTER
    )
    fakes = Fakes(graph_of([ground, top]), tmp_path)

    upper = partial(planning.make_removal, lowest_layer=Layer.CLUSTER)
    assert [n for n, _ in in_virtual_time(fakes.plan(upper)).steps] == ["top/rt"]
    whole = in_virtual_time(fakes.plan(planning.make_removal))
    assert [n for n, _ in whole.steps] == ["ground/rg"]


def raising(error: Exception) -> None:
    raise error


def test_the_way_out_goes_on_past_what_is_broken_on_ground_that_goes_too(tmp_path: Path) -> None:
    ground = component("ground", [step("g")], removal=[step("rg")], ground=True)
    broken = component(
        "broken",
        needs={"x": outputs_of(ground)},
        removal=[step("rb")],
        layer=Layer.CLUSTER,
        observed=lambda: raising(DiscoError("broken is ill")),
    )
    top = component("top", needs={"x": outputs_of(broken)}, removal=[step("rt")], layer=Layer.AKASH)
    fakes = Fakes(graph_of([ground, broken, top]), tmp_path)
    fakes.done.names += ["g"]

    def way_out(lowest: Layer) -> planning.Plan:
        looks = in_virtual_time(planning.observe(fakes.graph, fakes.world, lowest))
        return planning.make_removal("fake", fakes.graph, looks, lowest)

    whole = way_out(Layer.SERVERS)
    assert [name for name, _ in whole.steps] == ["ground/rg"]
    assert whole.loses == ("whatever broken holds; it could not be looked at: broken is ill",)
    with pytest.raises(Several):  # its ground stays, so it would stay half-removed
        way_out(Layer.CLUSTER)


def test_every_error_of_looking_is_told_at_once(tmp_path: Path) -> None:
    made = [
        component("a", observed=lambda: raising(DiscoError("a is ill"))),
        component("b", observed=lambda: raising(WrongUse("b is wrong"))),
        component("c", observed=lambda: raising(Several([DiscoError("c1"), DiscoError("c2")]))),
        component("d", observed=lambda: raising(ZeroDivisionError("by zero"))),
        component("e"),
    ]
    above = component("above", [step("x")], {"x": outputs_of(made[0])})
    fakes = Fakes(graph_of([*made, above]), tmp_path)

    with pytest.raises(Several) as caught:
        in_virtual_time(fakes.plan())

    told = sorted(e.what for e in caught.value.errors)
    assert told == ["a is ill", "a mistake in DISCO itself", "b is wrong", "c1", "c2"]
    assert caught.value.exit is Exit.WRONG_USE


def test_done_actions_fall_out_of_their_steps_and_done_steps_out_of_the_plan() -> None:
    steps = [step("one", "a", "b"), step("two", "c"), step("three", "d", after=["one", "two"])]

    left = list(pending(steps, {"touch a", "touch c"}))

    assert [(s.id, [a.identity for a in s.actions]) for s in left] == [
        ("one", ["touch b"]),
        ("three", ["touch d"]),
    ]
    assert left[1].after == ("one",)


def test_plain_data_of_an_action_has_its_kind_and_all_that_decides_what_it_does() -> None:
    assert to_data(Touch("a", ("b",))) == {"kind": "touch", "name": "a", "loses": ["b"]}
    assert Touch("a").digest != Touch("b").digest
    assert to_data({1: (None, True, 1.5, Layer.CLUSTER)}) == {"1": [None, True, 1.5, 1]}
    assert to_data([SecretRef("x")]) == ["${secret:x#value}"]


def test_a_world_gives_a_reader_by_its_type_and_by_that_of_its_parent() -> None:
    class Reader:
        pass

    class Special(Reader):
        pass

    special = Special()
    assert World(special)[Reader] is special
    world = World()
    with pytest.raises(LookupError, match="no Reader"):
        world[Reader]
    world.add(special, Reader)
    assert world[Reader] is special
