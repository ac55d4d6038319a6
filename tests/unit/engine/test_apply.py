"""A run carries out what was reviewed: in order, side by side, and no further than it may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_components import Fakes, Touch, component, graph_of, outputs_of, step

from disco.engine import plan as planning
from disco.engine.apply import Ended
from disco.engine.component import Component, Layer, Step, World
from disco.engine.errors import DiscoError, Retry, Several, WrongUse
from disco.engine.events import (
    Planned,
    RunEnded,
    RunStarted,
    StepDone,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from sim import in_virtual_time


async def fails() -> None:
    raise DiscoError("it broke", where="there")


async def mistaken() -> None:
    raise ZeroDivisionError("by zero")


def stack(tmp_path: Path, *made: type[Component]) -> Fakes:
    return Fakes(graph_of(made), tmp_path)


def two_branches(tmp_path: Path) -> Fakes:
    """ground; left and right on it; top on left."""
    ground = component("ground", [step("g")])
    left = component(
        "left", [step("l1"), step("l2", after=["l1"]), step("l3")], {"x": outputs_of(ground)}
    )
    right = component("right", [step("r1"), step("r2", after=["r1"])], {"x": outputs_of(ground)})
    top = component("top", [step("t")], {"x": outputs_of(left)}, layer=Layer.PLATFORM)
    return stack(tmp_path, ground, left, right, top)


def test_everything_is_done_once_and_the_next_plan_is_empty(tmp_path: Path) -> None:
    fakes = two_branches(tmp_path)

    outcome = in_virtual_time(fakes.apply())

    assert (outcome.ended, outcome.done, outcome.skipped) == (Ended.DONE, 7, 0)
    assert sorted(fakes.done.names) == ["g", "l1", "l2", "l3", "r1", "r2", "t"]
    assert in_virtual_time(fakes.plan()).empty
    assert fakes.of(RunStarted)[0].steps[0] == ("ground/g", "do g")
    assert fakes.of(RunEnded)[0].outcome == "done"


def test_a_failed_step_stops_what_stands_on_it_and_nothing_else(tmp_path: Path) -> None:
    fakes = two_branches(tmp_path)
    fakes.behave["l1"] = fails

    outcome = in_virtual_time(fakes.apply())

    assert outcome.ended is Ended.FAILED
    assert [str(e) for e in outcome.errors] == ["there: it broke"]
    assert sorted(fakes.done.names) == ["g", "l3", "r1", "r2"]
    why = {e.step: e.why for e in fakes.of(StepSkipped)}
    assert why == {"left/l2": "a step before it failed", "top/t": "left did not come up"}
    assert (outcome.done, outcome.skipped) == (4, 2)


def test_the_next_run_does_only_what_is_left(tmp_path: Path) -> None:
    fakes = two_branches(tmp_path)
    fakes.behave["l1"] = fails
    in_virtual_time(fakes.apply())
    fakes.behave.clear()
    before = list(fakes.done.names)

    assert in_virtual_time(fakes.apply()).ended is Ended.DONE
    assert sorted(fakes.done.names[len(before) :]) == ["l1", "l2", "t"]


def test_an_error_that_nobody_foresaw_is_told_as_one_and_the_others_go_on(tmp_path: Path) -> None:
    fakes = two_branches(tmp_path)
    fakes.behave["l1"] = mistaken

    outcome = in_virtual_time(fakes.apply())

    (error,) = outcome.errors
    assert isinstance(error, DiscoError)
    assert error.what == "a mistake in DISCO itself"
    assert "ZeroDivisionError: by zero" in error.why
    assert any("test_apply.py" in line for line in error.details)
    assert {"r1", "r2", "l3"} <= set(fakes.done.names)


def test_several_errors_of_one_step_are_told_one_by_one(tmp_path: Path) -> None:
    fakes = stack(tmp_path, component("a", [step("s")]))

    async def several() -> None:
        raise Several([DiscoError("one"), DiscoError("two")])

    fakes.behave["s"] = several
    outcome = in_virtual_time(fakes.apply())

    assert [e.what for e in outcome.errors] == ["one", "two"]
    assert [e.step for e in fakes.of(StepFailed)] == ["a/s"]


def test_actions_of_a_step_come_one_after_the_other_and_end_at_the_first_failure(
    tmp_path: Path,
) -> None:
    fakes = stack(tmp_path, component("a", [step("s", "one", "two", "three")]))
    fakes.behave["two"] = fails

    in_virtual_time(fakes.apply())

    assert fakes.done.names == ["one"]
    assert [r["event"] for r in fakes.journal.read()] == ["intent", "done", "intent", "failed"]


def test_steps_run_side_by_side_up_to_the_bound_over_all_components(tmp_path: Path) -> None:
    running: list[int] = [0, 0]  # now, at most

    async def busy() -> None:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(1)
        running[0] -= 1

    made = [component(f"c{i}", [step(f"s{i}-{j}") for j in range(4)]) for i in range(5)]
    for parallel in (1, 3, 16):
        fakes = stack(tmp_path, *made)
        running[:] = [0, 0]
        for i in range(5):
            for j in range(4):
                fakes.behave[f"s{i}-{j}"] = busy
        in_virtual_time(fakes.apply(parallel=parallel))
        assert running[1] == parallel
        assert len(fakes.done.names) == 20


def stopping(fakes: Fakes) -> Callable[[], object]:
    async def stop() -> None:
        fakes.stop.requested = True
        await asyncio.sleep(1)

    return stop


def test_a_stop_lets_the_running_action_end_and_begins_nothing_new(tmp_path: Path) -> None:
    fakes = stack(
        tmp_path,
        component("a", [step("s", "one", "two"), step("t", after=["s"]), step("u")]),
    )
    fakes.behave["one"] = stopping(fakes)  # type: ignore[assignment]

    outcome = in_virtual_time(fakes.apply(parallel=1))

    assert outcome.ended is Ended.STOPPED
    assert fakes.done.names == ["one"]
    assert fakes.journal.unfinished() == []
    assert {e.step for e in fakes.of(StepSkipped)} == {"a/s", "a/t", "a/u"}
    assert fakes.of(RunEnded)[0].outcome == "stopped"


def test_a_stop_that_comes_during_the_last_action_changes_nothing(tmp_path: Path) -> None:
    fakes = stack(tmp_path, component("a", [step("s")]))
    fakes.behave["s"] = stopping(fakes)  # type: ignore[assignment]

    assert in_virtual_time(fakes.apply()).ended is Ended.DONE


def test_a_stop_before_the_beginning_looks_at_nothing_again(tmp_path: Path) -> None:
    looked: list[str] = []
    ground = component("ground", [step("g")])
    top = component(
        "top", [step("t")], {"x": outputs_of(ground)}, observed=lambda: looked.append("top")
    )
    fakes = stack(tmp_path, ground, top)
    fakes.stop.requested = True

    outcome = in_virtual_time(fakes.apply())

    assert (outcome.ended, outcome.skipped) == (Ended.STOPPED, 2)
    assert (fakes.done.names, looked) == ([], [])


def test_what_is_cancelled_leaves_no_outcome_that_did_not_happen(tmp_path: Path) -> None:
    fakes = two_branches(tmp_path)

    async def slow() -> None:
        await asyncio.sleep(10)

    fakes.behave |= {"l1": slow, "r1": slow}

    async def work() -> None:
        task = asyncio.create_task(fakes.apply())
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_virtual_time(work())

    assert sorted(fakes.done.names) == ["g", "l3"]
    assert sorted(u.action for u in fakes.journal.unfinished()) == ["touch l1", "touch r1"]
    ended = {e.step for e in (*fakes.of(StepDone), *fakes.of(StepFailed))}
    assert ended == {"ground/g", "left/l3"}
    assert not fakes.of(StepSkipped)


def test_what_was_assumed_is_looked_at_again_before_it_runs(tmp_path: Path) -> None:
    ground = component("ground", [step("g")])
    top = component("top", [step("t1"), step("t2")], {"x": outputs_of(ground)})
    fakes = stack(tmp_path, ground, top)
    fakes.done.names.append("t1")

    plan = in_virtual_time(fakes.plan())
    assert plan.parts[1].assumed_after == ("ground",)
    assert [s.id for s in plan.parts[1].steps] == ["t1", "t2"]
    assert in_virtual_time(fakes.apply()).ended is Ended.DONE

    assert fakes.done.names == ["t1", "g", "t2"]
    assert fakes.of(Planned) == [Planned("top", (("top/t2", "do t2"),), at=fakes.of(Planned)[0].at)]


class Surprising:
    """Steps of a component that turn out to be others when it can be seen."""

    def __init__(self, reviewed: list[Step], found: list[Step]) -> None:
        self.reviewed, self.found = reviewed, found

    def fakes(self, tmp_path: Path) -> Fakes:
        ground = component("ground", [step("g")])
        top = component("top", [], {"x": outputs_of(ground)})
        other = component("other", [step("o")])
        top.steps = lambda made, seen: iter(self.found if seen else self.reviewed)  # type: ignore[method-assign, assignment]
        return stack(tmp_path, ground, top, other)


def test_more_than_was_reviewed_is_refused_with_the_difference(tmp_path: Path) -> None:
    surprising = Surprising([step("t")], [step("t"), step("extra", "extra")])
    fakes = surprising.fakes(tmp_path)

    outcome = in_virtual_time(fakes.apply())

    (error,) = outcome.errors
    assert error.what == "top needs more than was planned, now that it can be seen"
    assert error.why == "touch extra" and error.fix
    assert sorted(fakes.done.names) == ["g", "o"]


def test_something_destroyed_that_was_not_named_is_refused(tmp_path: Path) -> None:
    found = Step("t", "do t", (Touch("t", loses=("all the blocks",)),))
    fakes = Surprising([step("t")], [found]).fakes(tmp_path)

    (error,) = in_virtual_time(fakes.apply()).errors
    assert error.why == "destroys all the blocks"
    assert "t" not in fakes.done.names


@pytest.mark.parametrize(("silent", "ended"), [(2, Ended.DONE), (99, Ended.FAILED)])
def test_others_are_planned_by_what_was_done_only_when_that_is_seen(
    tmp_path: Path, silent: int, ended: Ended
) -> None:
    """A server that was booted and does not answer is not one that was never there."""
    ground = component("ground", [step("g")])
    whole, looks = ground.observe, 0

    async def observe(made: Component, world: World) -> frozenset[str]:
        nonlocal looks
        seen: frozenset[str] = await whole(made, world)
        looks += "g" in seen
        return seen if looks > silent else seen - {"g"}

    ground.observe = observe  # type: ignore[method-assign]
    top = component("top", [step("t")], {"x": outputs_of(ground)})
    fakes = stack(tmp_path, ground, top)

    outcome = in_virtual_time(fakes.apply())

    assert outcome.ended is ended
    if ended is Ended.FAILED:
        (error,) = outcome.errors
        assert error.what == "ground was carried out, and that can't be seen"
        assert error.why.endswith("do g")
    else:
        assert fakes.done.names == ["g", "t"]


def test_less_than_was_reviewed_is_carried_out(tmp_path: Path) -> None:
    fakes = Surprising([step("t"), step("u")], [step("u")]).fakes(tmp_path)

    assert in_virtual_time(fakes.apply()).ended is Ended.DONE
    assert sorted(fakes.done.names) == ["g", "o", "u"]


def test_looking_again_is_tried_again_when_that_can_help(tmp_path: Path) -> None:
    ground = component("ground", [step("g")])
    asked = 0

    def observed() -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise DiscoError("no answer in time", retry=Retry.LIKELY)

    top = component("top", [step("t")], {"x": outputs_of(ground)}, observed=observed)
    fakes = stack(tmp_path, ground, top)

    assert in_virtual_time(fakes.apply()).ended is Ended.DONE
    assert asked == 3 and fakes.done.names == ["g", "t"]


def test_a_component_that_can_not_be_looked_at_again_fails_alone(tmp_path: Path) -> None:
    ground = component("ground", [step("g")])
    fakes: Fakes

    def observed() -> None:
        raise Several([DiscoError("host a is unfit"), DiscoError("host b is unfit")])

    top = component("top", [step("t")], {"x": outputs_of(ground)}, observed=observed)
    other = component("other", [step("o")])
    fakes = stack(tmp_path, ground, top, other)

    outcome = in_virtual_time(fakes.apply())

    assert [e.what for e in outcome.errors] == ["host a is unfit", "host b is unfit"]
    assert sorted(fakes.done.names) == ["g", "o"]


def test_the_way_out_goes_in_reverse_and_keeps_the_ground_of_what_would_not_go(
    tmp_path: Path,
) -> None:
    ground = component("ground", removal=[step("rg")])
    left = component("left", needs={"x": outputs_of(ground)}, removal=[step("rl")])
    right = component("right", needs={"x": outputs_of(ground)}, removal=[step("rr")])
    fakes = stack(tmp_path, ground, left, right)
    fakes.behave["rl"] = fails

    outcome = in_virtual_time(fakes.apply(planning.make_removal))

    assert fakes.done.names == ["rr"]
    assert outcome.ended is Ended.FAILED
    assert {e.step: e.why for e in fakes.of(StepSkipped)} == {"ground/rg": "left is still there"}


def test_machines_that_go_take_along_what_is_on_them(tmp_path: Path) -> None:
    ground = component("ground", removal=[step("rg")], ground=True)
    top = component("top", needs={"x": outputs_of(ground)}, removal=[step("rt")])
    fakes = stack(tmp_path, ground, top)

    in_virtual_time(fakes.apply(planning.make_removal))

    assert fakes.done.names == ["rg"]


def test_one_layer_alone_is_carried_out_on_a_place_where_nothing_is_yet(tmp_path: Path) -> None:
    fakes = two_branches(tmp_path)

    outcome = in_virtual_time(fakes.apply(narrowed=lambda plan: planning.only(plan, Layer.SERVERS)))

    assert outcome.errors == []
    assert sorted(fakes.done.names) == ["g", "l1", "l2", "l3", "r1", "r2"]


def test_a_layer_whose_ground_is_not_there_is_refused_before_anything_is_done(
    tmp_path: Path,
) -> None:
    fakes = two_branches(tmp_path)

    with pytest.raises(WrongUse, match="top stands on left"):
        planning.only(in_virtual_time(fakes.plan()), Layer.PLATFORM)


def test_every_step_that_begins_ends_in_one_way(tmp_path: Path) -> None:
    fakes = two_branches(tmp_path)
    fakes.behave |= {"l2": fails, "r1": mistaken}

    in_virtual_time(fakes.apply())

    began = [e.step for e in fakes.of(StepStarted)]
    ended = [e.step for e in (*fakes.of(StepDone), *fakes.of(StepFailed))]
    assert sorted(began) == sorted(ended)
    assert not {e.step for e in fakes.of(StepSkipped)} & set(began)


@pytest.mark.parametrize(
    "steps",
    [
        [step("a", after=["b"]), step("b", after=["a"])],
        [step("a", after=["a"])],
        [step("a"), step("a")],
    ],
    ids=["a circle", "itself", "one id twice"],
)
def test_steps_that_could_never_be_ordered_are_refused_when_planned(
    tmp_path: Path, steps: list[Step]
) -> None:
    fakes = stack(tmp_path, component("c", steps))

    with pytest.raises(DiscoError, match=r"c's steps"):
        in_virtual_time(fakes.plan())
