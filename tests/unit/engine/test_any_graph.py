"""Whatever the graph, the steps and the failures: what a run promises, it keeps."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fake_components import Fakes, component, graph_of, outputs_of, step
from hypothesis import given, settings
from hypothesis import strategies as st

from disco.engine.apply import Ended
from disco.engine.component import Component, Layer
from disco.engine.errors import DiscoError
from disco.engine.events import StepDone, StepFailed, StepSkipped, StepStarted
from sim import in_virtual_time
from thorough import examples

Names = frozenset[str]


async def broken() -> None:
    raise DiscoError("it broke")


class Sketch:
    """A small stack. needs: component -> those below it; after: step -> steps before it."""

    def __init__(self, needs: dict[int, set[int]], steps: dict[int, list[set[int]]]) -> None:
        self.needs, self.steps = needs, steps

    def __repr__(self) -> str:
        return f"Sketch({self.needs}, {self.steps})"

    def name(self, part: int, number: int) -> str:
        return f"c{part}/s{number}"

    @property
    def names(self) -> list[str]:
        return [self.name(p, n) for p, found in self.steps.items() for n in range(len(found))]

    def components(self) -> list[type[Component]]:
        made: list[type[Component]] = []
        for part, below in self.needs.items():
            needs = {f"need{b}": outputs_of(made[b]) for b in sorted(below)}
            steps = [
                step(f"s{n}", self.name(part, n), after=[f"s{a}" for a in sorted(before)])
                for n, before in enumerate(self.steps[part])
            ]
            made.append(component(f"c{part}", steps, needs, Layer(part % 3)))
        return made

    def upstream(self, part: int) -> set[int]:
        found = set(self.needs[part])
        for below in self.needs[part]:
            found |= self.upstream(below)
        return found

    def before(self, part: int, number: int) -> set[int]:
        found = set(self.steps[part][number])
        for one in self.steps[part][number]:
            found |= self.before(part, one)
        return found

    def must_skip(self, failing: Names) -> Names:
        """Steps behind a failed one, in its component or above it."""
        skipped: set[str] = set()
        ill: set[int] = set()
        for part, found in self.steps.items():
            below = self.upstream(part) & ill
            names = [self.name(part, n) for n in range(len(found))]
            for number, name in enumerate(names):
                earlier = {self.name(part, b) for b in self.before(part, number)}
                if below or earlier & failing:
                    skipped.add(name)
            if below or failing & set(names):
                ill.add(part)
        return frozenset(skipped)


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    size = draw(st.integers(1, 6))
    needs = {
        i: draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set() for i in range(size)
    }
    steps = {}
    for i in range(size):
        count = draw(st.integers(0, 4))
        steps[i] = [
            draw(st.sets(st.integers(0, n - 1), max_size=2)) if n else set() for n in range(count)
        ]
    return Sketch(needs, steps)


def run(sketch: Sketch, failing: Names, parallel: int, done: Names = frozenset()) -> Fakes:
    fakes = Fakes(graph_of(sketch.components()), Path(tempfile.mkdtemp(dir=FOLDER.name)))
    fakes.behave = dict.fromkeys(failing, broken)
    fakes.done.names += sorted(done)
    outcome = in_virtual_time(fakes.apply(parallel=parallel))
    assert outcome.ended is (Ended.FAILED if outcome.errors else Ended.DONE)
    return fakes


FOLDER = tempfile.TemporaryDirectory(prefix="disco-any-graph-")


@settings(max_examples=examples(150), deadline=None)
@given(sketch=sketches(), data=st.data(), parallel=st.integers(1, 4))
def test_steps_run_at_most_once_in_order_and_are_skipped_only_behind_a_failure(
    sketch: Sketch, data: st.DataObject, parallel: int
) -> None:
    failing = frozenset(
        data.draw(st.sets(st.sampled_from(sketch.names), max_size=3)) if sketch.names else ()
    )
    fakes = run(sketch, failing, parallel)

    began = [e.step for e in fakes.of(StepStarted)]
    done = [e.step for e in fakes.of(StepDone)]
    failed = {e.step for e in fakes.of(StepFailed)}
    skipped = {e.step for e in fakes.of(StepSkipped)}

    assert len(began) == len(set(began))
    assert sorted([*done, *failed, *skipped]) == sorted(sketch.names)
    assert skipped == sketch.must_skip(failing)
    assert failed == failing - skipped
    order = {name: place for place, name in enumerate(fakes.done.names)}
    for part, found in sketch.steps.items():
        for number in range(len(found)):
            mine = order.get(sketch.name(part, number))
            earlier = [sketch.name(part, b) for b in sketch.before(part, number)]
            for below in sketch.upstream(part):
                earlier += [sketch.name(below, n) for n in range(len(sketch.steps[below]))]
            if mine is not None:
                assert all(order[e] < mine for e in earlier)


@settings(max_examples=examples(60), deadline=None)
@given(sketch=sketches(), data=st.data(), parallel=st.integers(1, 4))
def test_a_second_run_does_exactly_what_the_first_one_left(
    sketch: Sketch, data: st.DataObject, parallel: int
) -> None:
    names = sketch.names
    failing = frozenset(data.draw(st.sets(st.sampled_from(names), max_size=3)) if names else ())
    first = run(sketch, failing, parallel)
    done = frozenset(first.done.names)

    second = run(sketch, frozenset(), parallel, done)

    assert sorted(second.done.names) == sorted(names)
    assert not set(second.done.names[len(done) :]) & done
    assert in_virtual_time(second.plan()).empty
