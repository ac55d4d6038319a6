"""Annotations are the edges; what can't be wired is refused before anything is looked at."""

from __future__ import annotations

import pytest
from fake_components import FakeSpec, component, graph_of, outputs_of

from disco.engine.component import Component, Layer, Outputs, inputs_of, outputs_class, spec_class
from disco.engine.errors import Exit, WrongUse
from disco.engine.graph import build
from disco.engine.place import Place


class Unknown(Outputs):
    pass


def test_each_component_comes_after_what_it_needs_however_they_are_given() -> None:
    ground = component("ground")
    middle = component("middle", needs={"under": outputs_of(ground)}, layer=Layer.CLUSTER)
    top = component(
        "top",
        needs={"one": outputs_of(middle), "two": outputs_of(ground)},
        layer=Layer.PLATFORM,
    )

    assert graph_of([top, middle, ground]).order == ("ground", "middle", "top")
    assert graph_of([ground, top, middle]).order == ("ground", "middle", "top")
    assert graph_of([top, middle, ground]).all_upstream("top") == {"ground", "middle"}


def test_components_that_need_nothing_of_each_other_come_by_layer_and_then_by_name() -> None:
    made = [component("b"), component("a"), component("c", layer=Layer.CLUSTER), component("d")]

    assert graph_of(made).order == ("a", "b", "d", "c")


def test_a_circle_is_named_with_everybody_in_it() -> None:
    one, two, three = component("one"), component("two"), component("three")
    one.__annotations__["x"] = outputs_of(three)
    two.__annotations__["x"] = outputs_of(one)
    three.__annotations__["x"] = outputs_of(two)

    with pytest.raises(WrongUse) as caught:
        graph_of([one, two, three])

    assert "circle" in caught.value.what
    assert all(name in caught.value.why for name in ("one", "two", "three"))


def test_a_component_that_needs_itself_is_a_circle() -> None:
    self_made = component("self")
    self_made.__annotations__["x"] = outputs_of(self_made)

    with pytest.raises(WrongUse, match="circle"):
        graph_of([self_made])


def test_an_input_that_nobody_gives_names_who_needs_what_and_the_fix() -> None:
    with pytest.raises(WrongUse) as caught:
        graph_of([component("lonely", needs={"x": Unknown})])

    assert "lonely needs a component that gives Unknown" in caught.value.what
    assert caught.value.fix and caught.value.exit is Exit.WRONG_USE


def test_an_input_that_two_components_give_is_refused_with_both_names() -> None:
    first = component("first")
    second = component("second")
    second.outputs.__annotations__["return"] = outputs_of(first)
    needy = component("needy", needs={"x": outputs_of(first)})

    with pytest.raises(WrongUse, match="first, second"):
        graph_of([first, second, needy])


def test_an_optional_input_is_wired_when_it_is_there_and_none_when_it_is_not() -> None:
    given = component("given")
    needy = component("needy", needs={"x": outputs_of(given) | None})

    assert graph_of([given, needy]).nodes["needy"].needs == {"x": "given"}
    alone = graph_of([needy])
    assert alone.nodes["needy"].needs == {"x": None}
    assert alone.nodes["needy"].upstream == ()


def test_a_subclass_of_what_is_needed_will_do() -> None:
    class Special(Unknown):
        pass

    given = component("given")
    given.outputs.__annotations__["return"] = Special
    needy = component("needy", needs={"x": Unknown})

    assert graph_of([given, needy]).nodes["needy"].needs == {"x": "given"}


def test_two_inputs_from_one_component_are_one_edge_in_a_plan() -> None:
    given = component("given")
    needy = component("needy", needs={"x": outputs_of(given), "y": outputs_of(given)})

    assert graph_of([given, needy]).nodes["needy"].upstream == ("given",)


def test_entries_of_a_section_with_many_are_nodes_of_their_own() -> None:
    chain = component("chains")
    specs = {"chains.a": FakeSpec(), "chains.b": FakeSpec()}

    assert build([chain], specs, Place.__new__(Place)).order == ("chains.a", "chains.b")


def test_a_section_that_no_component_has_is_named() -> None:
    with pytest.raises(WrongUse, match="no component is called ghost"):
        build([component("a")], {"ghost": FakeSpec()}, Place.__new__(Place))


def test_only_annotations_that_are_outputs_are_inputs() -> None:
    made = component("a", needs={"x": Unknown, "y": int, "z": str | None, "u": Unknown | None})

    found = {i.attribute: i.optional for i in inputs_of(made)}
    assert found == {"x": False, "u": True}


def test_a_component_whose_outputs_say_nothing_of_their_class_is_a_programming_error() -> None:
    made = component("vague")
    made.outputs.__annotations__["return"] = str

    with pytest.raises(TypeError, match="vague"):
        outputs_class(made)


def test_a_component_without_a_model_for_its_spec_is_a_programming_error() -> None:
    made: type[Component] = component("specless")
    made.__annotations__["spec"] = dict

    with pytest.raises(TypeError, match="specless"):
        spec_class(made)
