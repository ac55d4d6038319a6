"""A plan in a file is carried out as it was reviewed, or refused with the difference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fake_components import Fakes, FakeSpec, Touch, component, graph_of, outputs_of, step
from hypothesis import given
from hypothesis import strategies as st

from disco.engine import plan as planning
from disco.engine import saved as saving
from disco.engine.component import Step
from disco.engine.errors import DiscoError, WrongUse
from disco.engine.plan import Plan
from disco.stack.model import Model
from sim import in_virtual_time


class ProtectedSpec(Model):
    prevent_destroy: bool = True


def fakes(folder: Path, *steps: Step) -> Fakes:
    ground = component("ground", [step("g", "g1", "g2"), *steps])
    top = component("top", [step("t", after=[])], {"x": outputs_of(ground)})
    return Fakes(graph_of([ground, top]), folder)


def planned(folder: Path, *steps: Step, done: tuple[str, ...] = ()) -> Plan:
    made = fakes(folder, *steps)
    made.done.names += done
    return in_virtual_time(made.plan())


def test_the_same_plan_is_the_same_bytes(tmp_path: Path) -> None:
    assert saving.dump(planned(tmp_path)) == saving.dump(planned(tmp_path))


def test_a_plan_reads_from_its_file_as_it_was(tmp_path: Path) -> None:
    lost = Step("l", "lose it", (Touch("l", ("the disk",)),))
    plan = planned(tmp_path, lost)

    kept = saving.read(saving.dump(plan, "servers"), "p.json")

    assert (kept.layer, kept.digest) == ("servers", plan.digest)
    assert [(n, s.title, s.after) for n, s in kept.plan.steps] == [
        (n, s.title, s.after) for n, s in plan.steps
    ]
    for (_, read), (_, made) in zip(kept.plan.steps, plan.steps, strict=True):
        for mine, its in zip(read.actions, made.actions, strict=True):
            assert (mine.identity, mine.describe(), mine.command(), mine.destroys) == (
                its.identity,
                its.describe(),
                its.command(),
                its.destroys,
            )
    saving.must_be(kept, plan, "p.json")


def test_what_came_what_went_and_what_is_other_is_named(tmp_path: Path) -> None:
    kept = saving.read(
        saving.dump(planned(tmp_path, step("old"), step("same", "s", after=["g"]))), "p"
    )
    now = planned(tmp_path, step("new"), step("same", "s"), done=("g1",))

    with pytest.raises(DiscoError) as caught:
        saving.must_be(kept, now, "p")

    assert set(caught.value.details) == {
        "- ground/g: touch g1",
        "- ground/old: order",
        "- ground/old: touch old",
        "+ ground/new: order",
        "+ ground/new: touch new",
        "~ ground/same: order",
    }
    assert caught.value.fix


def test_words_that_were_changed_in_the_file_are_noticed(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    content = json.loads(saving.dump(plan))
    content["components"][0]["steps"][0]["actions"][0]["words"] = "touch nothing at all"

    with pytest.raises(DiscoError) as caught:
        saving.must_be(saving.read(json.dumps(content), "p"), plan, "p")
    assert "- ground/g: touch nothing at all" in caught.value.details


def test_the_plan_of_another_stack_is_refused(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    other = json.loads(saving.dump(plan)) | {"stack": "other"}
    with pytest.raises(WrongUse, match="of the stack other"):
        saving.must_be(saving.read(json.dumps(other), "p"), plan, "p")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1}', "{" * 5000, "[" * 99999])
def test_what_is_no_plan_is_wrong_use(text: str) -> None:
    with pytest.raises(WrongUse) as caught:
        saving.read(text, "p.json")
    assert caught.value.where == "p.json"


def test_a_plan_of_a_later_format_says_so(tmp_path: Path) -> None:
    content = json.loads(saving.dump(planned(tmp_path))) | {"format": 99}
    with pytest.raises(WrongUse, match="format 99"):
        saving.read(json.dumps(content), "p")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(at=st.integers(0, 200), value=JSON)
def test_any_value_anywhere_in_the_file_is_read_or_wrong_use(at: int, value: Any) -> None:
    content = json.loads(saving.dump(planned(Path("/nowhere"))))
    places = list(_places(content))
    holder, key = places[at % len(places)]
    holder[key] = value
    try:
        saving.read(json.dumps(content), "p")
    except WrongUse as error:
        assert error.where == "p"


def _places(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def test_what_is_protected_is_not_destroyed(tmp_path: Path) -> None:
    out = Step("r", "remove", (Touch("r", ("the disk",)),))
    made = Fakes(graph_of([component("a", removal=[out])]), tmp_path)
    plan = in_virtual_time(made.plan(planning.make_removal))
    planning.refuse_protected(plan, {"a": FakeSpec()})

    with pytest.raises(WrongUse, match="a must not be destroyed"):
        planning.refuse_protected(plan, {"a": ProtectedSpec()})


def test_a_change_by_hand_is_left_so_when_that_is_declared(tmp_path: Path) -> None:
    made = Fakes(graph_of([component("a", [step("s", "one"), step("t", "two")])]), tmp_path)
    in_virtual_time(made.apply())
    made.done.names.remove("one")  # by hand
    looks = in_virtual_time(planning.observe(made.graph, made.world))
    applied = made.journal.applied()
    assert [n for n, _ in planning.make("s", made.graph, looks, applied).steps] == ["a/s"]

    object.__setattr__(made.graph.nodes["a"].spec, "on_drift", "report")
    plan = planning.make("s", made.graph, looks, applied)
    assert plan.empty
    assert plan.parts[0].notes == ("changed by hand and left so (on_drift): do s",)
    fresh = planning.make("s", made.graph, looks, {})
    assert [n for n, _ in fresh.steps] == ["a/s"], "declared anew, not changed by hand"


def test_what_comes_after_a_change_by_hand_that_is_left_so_keeps_its_order(tmp_path: Path) -> None:
    order = [step("s", "one"), step("t", "two", after=["s"]), step("u", "three", after=["t"])]
    made = Fakes(graph_of([component("a", order)]), tmp_path)
    in_virtual_time(made.apply())
    applied = {i: d for i, d in made.journal.applied().items() if i == Touch("two").identity}
    made.done.names.clear()
    looks = in_virtual_time(planning.observe(made.graph, made.world))
    object.__setattr__(made.graph.nodes["a"].spec, "on_drift", "report")

    plan = planning.make("s", made.graph, looks, applied)

    assert [(n, s.after) for n, s in plan.steps] == [("a/s", ()), ("a/u", ("s",))]


@dataclass(frozen=True)
class Ready(Touch):
    """Waits until something is there."""

    waits: ClassVar[bool] = True


def test_a_step_that_only_waits_is_left_out_with_all_that_it_waits_for(tmp_path: Path) -> None:
    def waiting(name: str, *after: str) -> Step:
        return Step(name, name, (Ready(name),), after)

    steps = [step("s", "one"), waiting("w", "s"), waiting("x", "w"), waiting("alone")]
    made = Fakes(graph_of([component("a", steps)]), tmp_path)
    looks = in_virtual_time(planning.observe(made.graph, made.world))
    object.__setattr__(made.graph.nodes["a"].spec, "on_drift", "report")

    first = planning.make("s", made.graph, looks, {})
    assert [n for n, _ in first.steps] == ["a/s", "a/w", "a/x", "a/alone"], "nothing is by hand"
    applied = {Touch("one").identity: Touch("one").digest[:16]}
    by_hand = planning.make("s", made.graph, looks, applied)
    assert [n for n, _ in by_hand.steps] == ["a/alone"]
