"""The simulated world refuses what could not be for real; else passing in it means little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from known_worlds import Kept

from disco.engine import plan as planning
from disco.engine.action import Action
from disco.engine.plan import Plan
from disco.engine.secret import Text
from disco.hosts.actions import Put, Run, Unit
from disco.layers.platform.openbao import OpenBao
from disco.layers.platform.quorum import Quorum
from sim import Process, SimulatedStack, SimulationError, in_virtual_time
from sim.clock import VirtualLoop
from sim.executors import executors
from sim.state import File

UNIT = "/etc/systemd/system/disco-containerd.service"


@pytest.fixture
def kept(worlds: Callable[[str], Kept]) -> Kept:
    return worlds("three")


def planned(plan: Plan, identity: str) -> Action:
    """An action of a plan by what it touches."""
    return next(a for _, s in plan.steps for a in s.actions if a.identity == identity)


def carry_out(stack: SimulatedStack, action: Action) -> None:
    """One action in the world as it is, without any that should come before it."""
    process: Process = stack.start()
    found = executors(
        stack.simulation, process.store, process.artifacts, process.kube, process.lookup
    )
    work: Any = found[action.kind](action, lambda note, share: None)
    in_virtual_time(work, stack.simulation.passed)


def before(stack: SimulatedStack, label: str) -> None:
    """Bring the stack up to the point with this label, and no further."""
    kept = stack.simulation.capture()
    points = stack.apply().points
    stack.simulation.restore(kept)
    stack.apply(kill_at=points.index(label) + 1)


OUT_OF_ORDER = [
    ("nspawn-boot host h1", "booted before it is made"),
    ("put h1:/etc/disco/containerd.toml", "h1 is not booted"),
    ("packages h1:packages", "h1 is not booted"),
    ("run h1:control plane", "h1 is not booted"),
]


@pytest.mark.parametrize(("identity", "why"), OUT_OF_ORDER, ids=[i for i, _ in OUT_OF_ORDER])
def test_nothing_can_be_done_on_an_empty_place_before_its_ground_is_there(
    stack: SimulatedStack, identity: str, why: str
) -> None:
    action = planned(stack.plan(), identity)

    with pytest.raises(SimulationError, match=why):
        carry_out(stack, action)


INIT = "before: run h1:control plane"
TOO_EARLY = [
    (INIT, "run h2:join", "can't resolve|is down|needs|not ready"),
    (INIT, "run h1:door for joins", "needs"),
    (INIT, "release disco:release/kube-network/network", "before the API is up"),
    (INIT, "release disco:release/akash/akash", "before the API is up"),
    (
        "before: unit h1:unit/disco-containerd.service",
        "images h1:images/images/node",
        "containerd is down",
    ),
]


@pytest.mark.parametrize(("label", "identity", "why"), TOO_EARLY, ids=[i for _, i, _ in TOO_EARLY])
def test_nothing_can_be_done_before_what_it_needs(
    stack: SimulatedStack, label: str, identity: str, why: str
) -> None:
    action = planned(stack.plan(), identity)
    before(stack, label)

    with pytest.raises(SimulationError, match=why):
        carry_out(stack, action)


def unit_of(kept: Kept) -> Unit:
    assert kept.ran.plan is not None
    found = planned(kept.ran.plan, "unit h1:unit/disco-containerd.service")
    assert isinstance(found, Unit)
    return found


def test_a_unit_without_its_file_or_program_can_not_be_started(
    kept: Kept, up: SimulatedStack
) -> None:
    """Its program is named by its file, so a changed unit needs no change here."""
    machine, stamp = up.state.hosts["h1"], up.simulation.capture()
    del machine.links["/opt/disco/bin/containerd"]
    with pytest.raises(SimulationError, match="without /opt/disco/bin/containerd"):
        carry_out(up, unit_of(kept))

    up.simulation.restore(stamp)
    del up.state.hosts["h1"].files[UNIT]
    with pytest.raises(SimulationError, match="without its file"):
        carry_out(up, unit_of(kept))


def test_nobody_joins_an_api_that_is_not_ready(kept: Kept, up: SimulatedStack) -> None:
    assert kept.ran.plan is not None
    worker = up.state.hosts["h2"]
    del worker.files["/var/lib/disco/kubeadm-join.done"]
    cluster = next(h.cluster for h in up.state.hosts.values() if h.cluster)
    cluster.up_at = up.state.now + 1

    with pytest.raises(SimulationError, match="asks for an API that is not ready"):
        carry_out(up, planned(kept.ran.plan, "run h2:join"))


def test_nobody_joins_with_a_token_that_has_run_out(kept: Kept, up: SimulatedStack) -> None:
    assert kept.ran.plan is not None
    worker = up.state.hosts["h2"]
    del worker.files["/var/lib/disco/kubeadm-join.done"]
    cluster = next(h.cluster for h in up.state.hosts.values() if h.cluster)
    cluster.tokens.clear()
    del cluster.nodes["h2"]

    with pytest.raises(SimulationError, match="the door is closed"):
        carry_out(up, planned(kept.ran.plan, "run h2:join"))


def test_a_host_that_was_reset_by_hand_joins_again_through_a_door_opened_for_it(
    kept: Kept, up: SimulatedStack
) -> None:
    worker = up.state.hosts["h2"]
    for path in ("/var/lib/disco/kubeadm-join.done", "/etc/kubernetes/kubelet.conf"):
        del worker.files[path]
    cluster = next(h.cluster for h in up.state.hosts.values() if h.cluster)
    cluster.tokens.clear()
    del cluster.nodes["h2"]

    steps = [name for name, _ in up.plan().steps]
    assert "kubernetes/door" in steps and "kubernetes/h2/join" in steps
    assert up.apply().done
    assert up.plan().empty and "h2" in cluster.nodes


def test_a_chain_can_not_be_released_before_its_keys_are_there(stack: SimulatedStack) -> None:
    before(stack, "before: release disco:release/akash/akash")
    release = planned(stack.plan(), "release disco:release/akash/akash")
    cluster = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
    del cluster.objects["/api/v1/namespaces/akash/secrets/keys"]

    with pytest.raises(SimulationError, match="installed before secrets/keys"):
        carry_out(stack, release)


def vault_call(stack: SimulatedStack, call: Callable[[OpenBao], Any]) -> None:
    """One call to the vault, as DISCO makes it."""
    process = stack.start()

    async def work() -> None:
        looks = await planning.observe(process.graph, process.world)
        cluster = looks["kubernetes"].component.outputs(looks["kubernetes"].seen)
        await call(OpenBao(process.kube, cluster.cluster, process.lookup))  # type: ignore[attr-defined]

    in_virtual_time(work(), stack.simulation.passed)


def test_a_vault_is_initialised_once(up: SimulatedStack) -> None:
    with pytest.raises(SimulationError, match="init of a vault that is initialised"):
        vault_call(up, lambda bao: bao.init(Quorum()))


def test_a_vault_that_is_not_initialised_can_not_be_unsealed(stack: SimulatedStack) -> None:
    before(stack, "before: vault-init disco:vault/vault-init")
    stack.simulation.passed(5)

    with pytest.raises(SimulationError, match="before it is initialised"):
        vault_call(stack, lambda bao: bao.unseal(0, "key"))


def test_a_program_that_nobody_taught_it_is_refused(kept: Kept, up: SimulatedStack) -> None:
    with pytest.raises(SimulationError, match="nobody taught the simulation"):
        carry_out(up, Run(unit_of(kept).host, ("rm", "-rf", "/"), "something new"))


def test_what_it_refuses_is_raised_even_when_the_engine_took_it_for_a_failed_step(
    stack: SimulatedStack,
) -> None:
    def refuse(label: str) -> None:
        if label == "before: put h2:/etc/disco/node":
            raise stack.simulation.refuse("this can't be")

    stack.simulation.watch = refuse
    try:
        with pytest.raises(SimulationError, match="this can't be"):
            stack.apply()
    finally:
        stack.simulation.watch = None


def test_what_is_there_is_judged_by_the_world_and_not_by_what_was_done(
    kept: Kept, up: SimulatedStack
) -> None:
    up.state.log.clear()
    assert up.plan().empty

    up.state.hosts["h1"].files["/etc/disco/node"] = File("other\n")
    actions = [a for _, s in up.plan().steps for a in s.actions]
    assert [a.identity for a in actions if not a.waits] == ["put h1:/etc/disco/node"]
    carry_out(up, Put(unit_of(kept).host, "/etc/disco/node", Text.of(f"{up.place.id}\n")))
    assert up.plan().empty


def test_waiting_for_what_nobody_will_do_ends_the_test_instead_of_hanging() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(SimulationError, match="everybody waits"):
        in_virtual_time(forever())


def test_an_hour_passes_at_once_and_is_told() -> None:
    told: list[float] = []

    async def hour() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - began

    assert in_virtual_time(hour(), told.append) == pytest.approx(3600)
    assert sum(told) == pytest.approx(3600)
    assert VirtualLoop.time is not asyncio.SelectorEventLoop.time


def test_a_snapshot_brings_everything_back(stack: SimulatedStack) -> None:
    stack.apply(kill_at=300)
    kept = stack.simulation.capture()
    stack.apply()

    stack.simulation.restore(kept)
    assert stack.simulation.capture().is_like(kept)
