"""A part of a plan has what it needs; what is left out takes along what needs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_components import Fakes, component, graph_of, outputs_of, step

from disco.engine import plan as planning
from disco.engine.component import Layer
from disco.engine.errors import WrongUse
from disco.engine.narrow import Aim, narrowed
from disco.engine.plan import Plan
from sim import in_virtual_time


def fakes(folder: Path) -> Fakes:
    """servers; cluster on them; a vault and a chain on that."""
    servers = component("servers", [step("h1"), step("h2")], removal=[step("rs")])
    cluster = component(
        "cluster",
        [
            step("keys"),
            step("h1/join", after=["keys"]),
            step("h2/join", after=["keys"]),
            step("ready", after=["h1/join", "h2/join"]),
        ],
        {"x": outputs_of(servers)},
        layer=Layer.CLUSTER,
        removal=[step("rc")],
    )
    vault, chain = (
        component(
            name,
            [step(f"{name}1")],
            {"x": outputs_of(cluster)},
            layer=Layer.PLATFORM,
            removal=[step(f"r-{name}")],
        )
        for name in ("vault", "chain")
    )
    return Fakes(graph_of([servers, cluster, vault, chain]), folder)


def names(plan: Plan) -> list[str]:
    return [name for name, _ in plan.steps]


def aimed(made: Fakes, removal: bool = False, **aim: tuple[str, ...]) -> list[str]:
    make = planning.make_removal if removal else planning.make
    return names(narrowed(in_virtual_time(made.plan(make)), Aim(**aim)))


def test_a_component_comes_with_all_that_it_stands_on_when_that_is_not_there(
    tmp_path: Path,
) -> None:
    found = aimed(fakes(tmp_path), targets=("vault",))
    assert "chain/chain1" not in found
    assert {"servers/h1", "cluster/ready", "vault/vault1"} <= set(found)


def test_a_component_comes_alone_when_what_it_stands_on_is_there(tmp_path: Path) -> None:
    made = fakes(tmp_path)
    made.done.names += ["h1", "h2", "keys", "h1/join", "h2/join", "ready"]
    assert aimed(made, targets=("vault",)) == ["vault/vault1"]


def test_steps_by_their_beginning_come_with_those_before_them(tmp_path: Path) -> None:
    made = fakes(tmp_path)
    made.done.names += ["h1", "h2"]
    assert aimed(made, targets=("cluster/h2",)) == ["cluster/keys", "cluster/h2/join"]


def test_what_is_left_out_takes_along_what_needs_it(tmp_path: Path) -> None:
    made = fakes(tmp_path)
    made.done.names += ["h1", "h2"]
    assert aimed(made, excluded=("cluster/h2",)) == ["cluster/keys", "cluster/h1/join"]
    assert aimed(made, excluded=("vault",)) == [
        *("cluster/keys", "cluster/h1/join", "cluster/h2/join", "cluster/ready"),
        "chain/chain1",
    ]


def test_on_a_way_out_what_stands_on_the_target_goes_too(tmp_path: Path) -> None:
    made = fakes(tmp_path)
    made.done.names += ["h1", "h2", "keys", "h1/join", "h2/join", "ready", "vault1", "chain1"]
    assert aimed(made, removal=True, targets=("vault",)) == ["vault/r-vault"]
    everything = set(aimed(made, removal=True, targets=("cluster",)))
    assert everything == {"cluster/rc", "vault/r-vault", "chain/r-chain"}
    assert aimed(made, removal=True, excluded=("vault",)) == ["chain/r-chain"]


def test_a_name_that_nothing_has_is_wrong_use_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="nothing in the plan is called valt") as caught:
        aimed(fakes(tmp_path), targets=("valt",))
    assert "servers, cluster" in caught.value.fix


def test_what_was_not_aimed_at_is_not_done_when_it_turns_up_later(tmp_path: Path) -> None:
    made = fakes(tmp_path)
    aim = Aim(excluded=("chain",))
    outcome = in_virtual_time(made.apply(narrowed=lambda plan: narrowed(plan, aim)))
    assert not outcome.errors
    assert "chain1" not in made.done.names and "vault1" in made.done.names
