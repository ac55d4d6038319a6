"""Some hosts of a fleet fail: so many may, the rest goes on; above that nothing new begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_components import Fakes, Touch, component, graph_of, outputs_of, step

from disco.engine.apply import Ended, Outcome
from disco.engine.component import Layer, Step
from disco.engine.errors import DiscoError, Retry
from disco.engine.events import StepSkipped
from disco.engine.gate import RETRIES
from sim import in_virtual_time

HOSTS = ("h1", "h2", "h3", "h4")


def on(host: str) -> list[Step]:
    """Two steps on a host, one after the other."""
    install, join = f"{host}/install", f"{host}/join"
    return [
        Step(install, f"install on {host}", (Touch(install),), at=host),
        Step(join, f"{host} joins", (Touch(join),), (install,), at=host),
    ]


def fleet(folder: Path, may_fail: int, *failing: str) -> Fakes:
    """Four hosts, a step after all of them, and a component that stands on the whole."""
    ready = Step("ready", "all are ready", (Touch("ready"),), tuple(f"{h}/join" for h in HOSTS))
    cluster = component("cluster", [s for h in HOSTS for s in on(h)] + [ready])
    cluster.may_fail = lambda made: may_fail  # type: ignore[method-assign]
    top = component("top", [step("t")], {"x": outputs_of(cluster)}, layer=Layer.PLATFORM)
    fakes = Fakes(graph_of([cluster, top]), folder)
    for name in failing:
        fakes.behave[name] = _fails(name)
    return fakes


def _fails(name: str) -> object:
    async def fail() -> None:
        raise DiscoError(f"{name} broke", where=name.partition("/")[0])

    return fail


def apply(fakes: Fakes, parallel: int = 16) -> Outcome:
    return in_virtual_time(fakes.apply(parallel=parallel))


def test_where_none_may_fail_what_stands_on_it_is_held_back_and_the_rest_finishes(
    tmp_path: Path,
) -> None:
    fakes = fleet(tmp_path, 0, "h2/install")
    outcome = apply(fakes)
    assert outcome.ended is Ended.FAILED
    assert {"h1/join", "h3/join", "h4/join"} <= set(fakes.done.names)
    assert not {"ready", "t"} & set(fakes.done.names)


def test_where_one_may_fail_the_rest_goes_on_and_the_failure_is_still_told(tmp_path: Path) -> None:
    fakes = fleet(tmp_path, 1, "h2/install")
    outcome = apply(fakes)
    assert outcome.ended is Ended.FAILED
    assert [e.where for e in outcome.errors] == ["h2"]
    assert {"h1/join", "h3/join", "h4/join", "ready", "t"} <= set(fakes.done.names)
    assert {e.step: e.why for e in fakes.of(StepSkipped)} == {
        "cluster/h2/join": "a step before it failed"
    }


def test_above_the_limit_nothing_new_begins_and_the_hosts_are_named(tmp_path: Path) -> None:
    fakes = fleet(tmp_path, 1, "h1/install", "h2/install")
    outcome = apply(fakes, parallel=1)
    assert outcome.ended is Ended.FAILED
    assert fakes.done.names == []
    why = {e.step: e.why for e in fakes.of(StepSkipped)}
    assert why["cluster/h3/install"] == "2 hosts failed (h1, h2), at most 1 may"
    assert why["top/t"] == "cluster did not come up"


def test_a_failure_that_is_no_hosts_own_is_never_tolerated(tmp_path: Path) -> None:
    fakes = fleet(tmp_path, 3, "ready")
    apply(fakes)
    assert "t" not in fakes.done.names


@pytest.mark.parametrize(("place", "attempts"), [("h1", RETRIES + 5), ("apart", 4 * 5)])
def test_what_fails_again_and_again_in_one_place_is_tried_less_and_less(
    tmp_path: Path, place: str, attempts: int
) -> None:
    """Five things there, each of which would be tried four times."""
    names = [f"{place if place == 'h1' else f'p{i}'}:thing{i}" for i in range(5)]
    fakes = Fakes(graph_of([component("a", [step(n, n) for n in names])]), tmp_path)
    tried: list[str] = []
    for name in names:

        async def lost(name: str = name) -> None:
            tried.append(name)
            raise DiscoError("the connection was lost", retry=Retry.LIKELY)

        fakes.behave[name] = lost
    outcome = apply(fakes, parallel=1)
    assert len(tried) == attempts
    held = [e for e in outcome.errors if any("not tried again" in d for d in e.details)]
    assert bool(held) is (place == "h1")
