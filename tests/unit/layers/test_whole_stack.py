"""Whole stacks in the simulated world, with the real registry, graph, plan and apply."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from known_worlds import Kept

from disco.cli.wiring import Session
from disco.engine import plan as planning
from disco.engine.action import secrets_in
from disco.engine.events import StepStarted
from disco.engine.plan import Plan
from disco.layers.cluster.node import LOGINS as LOGINS_OF_REGISTRIES
from sim import SimulatedStack
from sim.executors import executors
from sim.mending import BY_HAND, OWED, READ_BY, change_by_hand, changed, owe, uses_of
from sim.stacks import PULLING, STACKS
from sim.state import File
from sim.store import CANARY, simulated


def plain(plan: Plan) -> str:
    return json.dumps(plan.data(), sort_keys=True)


def test_one_run_brings_a_stack_up_and_the_next_plan_is_empty(
    kept: Kept, up: SimulatedStack
) -> None:
    assert kept.ran.done, kept.ran.outcome
    assert [name for name, _ in up.plan().steps] == []


def test_a_run_does_nothing_twice(up: SimulatedStack) -> None:
    actions = Counter(identity for _, _, identity in up.state.log)

    assert actions
    assert [a for a, times in actions.items() if times > 1] == []


def test_the_way_out_leaves_no_host_of_ours_and_nothing_on_those_of_others(
    up: SimulatedStack,
) -> None:
    assert up.down().done

    assert up.state.networks == set()
    for host in up.state.hosts.values():
        assert not host.local
        assert (host.cluster, host.units, host.links, host.images) == (None, {}, {}, {})
        assert set(host.files) == {"/etc/hosts"}
    assert [name for name, _ in up.plan(planning.make_removal).steps] == []


def test_a_stack_that_was_taken_down_comes_up_again_with_the_same_keys(
    up: SimulatedStack,
) -> None:
    store = simulated(up.place)
    names = {n for n in store.names() if not n.startswith("vault/init")}
    before = {n: store.fields(n) for n in names}
    up.down()

    assert up.apply().done
    assert up.plan().empty
    assert {n: simulated(up.place).fields(n) for n in names} == before


def test_a_plan_is_the_same_bytes_each_time_and_changes_nothing(stack: SimulatedStack) -> None:
    stack.place.open()
    before = stack.simulation.capture()
    first, second = stack.plan(), stack.plan()

    assert first.steps
    assert plain(first) == plain(second)
    assert first.digest == second.digest
    assert stack.simulation.capture().is_like(before)


def test_a_plan_of_half_a_stack_is_the_same_bytes_each_time_and_changes_nothing(
    stack: SimulatedStack,
) -> None:
    assert stack.apply(kill_at=200).killed
    before = stack.simulation.capture()

    assert stack.plan().steps
    assert plain(stack.plan()) == plain(stack.plan())
    assert stack.simulation.capture().is_like(before)


def test_no_plan_event_or_record_holds_a_secret_value(kept: Kept, up: SimulatedStack) -> None:
    assert kept.ran.plan is not None
    removal = up.plan(planning.make_removal)
    for plan in (kept.ran.plan, up.plan(), removal):
        assert CANARY not in plain(plan)
        actions = [a for _, s in plan.steps for a in s.actions]
        assert CANARY not in "".join(a.command() + a.describe() + a.identity for a in actions)
    assert CANARY not in repr(kept.ran.events)
    assert CANARY not in up.place.journal.read_text()


def test_the_canary_is_in_the_world_so_that_it_could_be_seen(up: SimulatedStack) -> None:
    store = simulated(up.place)
    values = [v for n in store.names() for v in store.fields(n).values()]
    files = [f for h in up.state.hosts.values() for f in h.files.values()]

    assert any(CANARY in v for v in values)
    assert any(CANARY in f.content for f in files)


def test_files_with_secrets_are_for_root_only(up: SimulatedStack) -> None:
    open_to_all = [
        path
        for host in up.state.hosts.values()
        for path, file in host.files.items()
        if CANARY in file.content and file.mode & 0o077
    ]
    assert open_to_all == []


def test_no_step_is_planned_twice_and_each_names_steps_that_there_are(
    stack: SimulatedStack,
) -> None:
    plan = stack.plan()
    names = [name for name, _ in plan.steps]
    assert len(names) == len(set(names))

    for part in plan.parts:
        ids = {s.id for s in part.steps}
        unknown = [(s.id, a) for s in part.steps for a in s.after if a not in ids]
        assert unknown == []


def test_components_are_planned_after_those_that_they_stand_on(stack: SimulatedStack) -> None:
    plan = stack.plan()

    names = [part.name for part in plan.parts]
    for part in plan.parts:
        assert all(names.index(up) < names.index(part.name) for up in part.upstream)
        assert all(a in names for a in part.assumed_after)


def test_steps_begin_after_the_steps_that_they_name(kept: Kept) -> None:
    began = [e.step for e in kept.ran.events if isinstance(e, StepStarted)]
    assert kept.ran.plan is not None
    compared = 0
    for part in kept.ran.plan.parts:
        for step in part.steps:
            name = f"{part.name}/{step.id}"
            for before in (f"{part.name}/{a}" for a in step.after):
                if before in began and name in began:
                    compared += 1
                    assert began.index(before) < began.index(name)
    assert compared > 5


def test_the_simulated_world_carries_out_every_kind_that_is_wired(
    stack: SimulatedStack,
) -> None:
    process = stack.start()
    session = Session(
        stack.loaded,
        stack.place,
        process.graph,
        process.store,
        process.artifacts,
        None,  # type: ignore[arg-type]
        process.kube,
        process.world,
    )
    simulated = executors(
        stack.simulation, process.store, process.artifacts, process.kube, process.lookup
    )

    assert set(simulated) == set(session._executors())


def test_artifacts_that_are_missing_are_had_first_and_the_rest_is_planned_for_later(
    tmp_path: Path,
) -> None:
    stack = SimulatedStack(STACKS["devnet"], tmp_path, artifacts_held=False)

    known_after = {p.name: p.assumed_after for p in stack.plan().parts}
    assert "artifacts" in known_after["servers"]
    assert stack.apply().done
    assert stack.plan().empty


def test_a_vault_that_came_up_sealed_is_the_only_thing_that_is_mended(up: SimulatedStack) -> None:
    vaults = [h.cluster.vault for h in up.state.hosts.values() if h.cluster]
    for pod in (p for v in vaults if v for p in v.pods.values()):
        pod.sealed = True

    (mended,) = [p for p in up.plan().parts if p.steps]
    assert mended.name == "vault"
    kinds = {a.kind for _, step in up.plan().steps for a in step.actions}
    assert "vault-unseal" in kinds and "vault-init" not in kinds, "it has its key"
    assert up.apply().done
    assert up.plan().empty


def test_a_file_that_was_lost_is_put_back_and_its_program_not_forgotten(
    up: SimulatedStack,
) -> None:
    host = next(iter(up.state.hosts.values()))
    del host.files["/etc/disco/containerd.toml"]

    touched = [a.identity for _, s in up.plan().steps for a in s.actions]
    assert f"put {host.name}:/etc/disco/containerd.toml" in touched
    assert up.apply().done
    assert up.plan().empty


@pytest.mark.parametrize("kept", ["devnet", "iron"], indirect=True)  # servers of both kinds
@pytest.mark.parametrize("path", READ_BY)
@pytest.mark.parametrize("by_hand", BY_HAND)
def test_what_reads_a_file_that_was_changed_by_hand_is_restarted_when_it_is_put_back(
    up: SimulatedStack, path: str, by_hand: File | None
) -> None:
    mending = change_by_hand(up, path, by_hand)

    assert changed(up) == [*mending]
    assert up.apply().done
    assert up.plan().empty


def test_a_unit_that_stopped_is_started(up: SimulatedStack) -> None:
    host = next(iter(up.state.hosts.values()))
    host.units["disco-apiproxy.service"].active = False

    touched = [a.identity for _, s in up.plan().steps for a in s.actions]
    assert f"unit {host.name}:unit/disco-apiproxy.service" in touched
    assert up.apply().done
    assert host.is_active("disco-apiproxy.service")


def test_an_edited_value_changes_what_it_is_for_and_nothing_else(
    kept: Kept, up: SimulatedStack
) -> None:
    declared = STACKS[kept.stack.loaded.name]
    try:
        without = declared.replace("    pace: relaxed\n", "")
        edited = without.replace("akash: {", "akash: {pace: upstream, ")
        up.declare(edited.replace("akash:\n", "akash:\n    pace: upstream\n"))
        assert changed(up) == ["release disco:release/akash/akash"]
        assert up.apply().done
        assert up.plan().empty
    finally:
        up.declare(declared)


def test_what_somebody_deleted_in_the_cluster_is_put_back(up: SimulatedStack) -> None:
    cluster = next(h.cluster for h in up.state.hosts.values() if h.cluster)
    del cluster.objects["/apis/apps/v1/namespaces/akash/statefulsets/validator"]
    del cluster.objects["/api/v1/namespaces/akash/configmaps/genesis"]

    assert sorted(changed(up)) == ["apply disco:objects/akash", "release disco:release/akash/akash"]
    assert up.apply().done
    assert up.plan().empty


def test_a_secret_edited_in_the_cluster_is_put_back(up: SimulatedStack) -> None:
    cluster = next(h.cluster for h in up.state.hosts.values() if h.cluster)
    secret = cluster.objects["/api/v1/namespaces/akash/secrets/keys"]
    secret["data"] = dict.fromkeys(secret["data"], "ZWRpdGVk")

    assert changed(up) == ["apply disco:objects/akash"]
    assert up.apply().done
    assert up.plan().empty


LOGIN = "/api/v1/namespaces/monitoring/secrets/remote-write-{}"
VAULT = ["vault-setup disco:vault/vault-setup"]
LOGINS = ["apply disco:objects/remote-write", "release disco:release/monitoring/prometheus"]


@pytest.fixture
def sending(worlds: Callable[[str], Kept]) -> Iterator[SimulatedStack]:
    """With other stores of metrics, and logins for two of them."""
    wide = worlds("wide")
    wide.stack.simulation.restore(wide.up)
    yield wide.stack
    wide.stack.declare(STACKS["wide"])


def held(stack: SimulatedStack, number: int) -> str | None:
    """What the cluster has as the login of a remote store."""
    cluster = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
    found = cluster.objects.get(LOGIN.format(number))
    return base64.b64decode(found["data"]["secret"]).decode() if found else None


def test_a_secret_that_the_stack_file_names_is_delivered(
    worlds: Callable[[str], Kept], sending: SimulatedStack
) -> None:
    one, two = f"{CANARY}:metrics/one:value", f"{CANARY}:metrics/two:token"
    assert [held(sending, n) for n in range(3)] == [one, two, None]
    sending.simulation.restore(worlds("wide").nothing)
    uses = {name: secrets_in(s.actions) for name, s in sending.plan().steps}
    assert uses["prometheus/logins"] == {"metrics/one", "metrics/two"}
    assert uses["prometheus/release"] == {"metrics/one", "metrics/two"}
    assert uses["kubernetes/h2/runtime"] == set(), "a key that logs in is brought nowhere"


def test_a_rotated_secret_plans_what_uses_it_and_starts_it_anew(sending: SimulatedStack) -> None:
    simulated(sending.place).put("metrics/two", {"token": "second token", "note": "not used"})

    assert changed(sending) == LOGINS
    assert sending.apply().done
    assert held(sending, 1) == "second token"
    assert sending.plan().empty


def test_a_login_that_is_no_longer_declared_goes(sending: SimulatedStack) -> None:
    declared = STACKS["wide"]
    one = next(line for line in declared.splitlines() if "one.example" in line)
    sending.declare(declared.replace(f"{one}\n", ""))
    assert sending.apply().done
    assert [held(sending, n) for n in range(3)] == [f"{CANARY}:metrics/two:token", None, None]
    assert sending.plan().empty


def logins_on(stack: SimulatedStack, host: str) -> dict[str, Any]:
    """What the kubelet of a node logs in with, by registry."""
    file = stack.state.hosts[host].files[LOGINS_OF_REGISTRIES]
    assert file.mode == 0o600
    found: dict[str, Any] = json.loads(file.content)["auths"]
    return found


def test_a_secret_that_is_for_hosts_is_on_each_for_its_owner_alone(
    worlds: Callable[[str], Kept], sending: SimulatedStack
) -> None:
    password = f"{CANARY}:registry/pull:value"
    for host in ("h1", "h2", "h3"):
        found = logins_on(sending, host)
        assert list(found) == ["registry.example:5000", "two.example"]
        assert found["registry.example:5000"] == {"username": "me", "password": password}
    sending.simulation.restore(worlds("wide").nothing)
    uses = {name: secrets_in(s.actions) for name, s in sending.plan().steps}
    assert uses["kubernetes/h3/programs"] == {"registry/pull", "registry/two"}
    assert CANARY not in plain(sending.plan())


def test_a_rotated_login_of_a_registry_is_on_all_nodes_and_their_kubelets_start_anew(
    sending: SimulatedStack,
) -> None:
    new = 'with "quotes" and \\'
    simulated(sending.place).put("registry/two", {"token": new})

    hosts = ("h1", "h2", "h3")
    unit = "kubelet.service"
    asked = [[f"put {h}:{LOGINS_OF_REGISTRIES}", f"unit {h}:unit/{unit}"] for h in hosts]
    assert changed(sending) == [identity for both in asked for identity in both]
    assert sending.apply().done
    assert [logins_on(sending, h)["two.example"]["password"] for h in hosts] == [new] * 3
    assert sending.plan().empty


def test_a_login_that_left_the_file_is_taken_off_the_nodes(sending: SimulatedStack) -> None:
    sending.declare(STACKS["wide"].replace(PULLING, "kubernetes: {}\n"))
    assert sending.apply().done
    assert [logins_on(sending, h) for h in ("h1", "h2", "h3")] == [{}, {}, {}]
    assert sending.plan().empty


def test_a_rotated_key_of_a_node_starts_the_chain_anew(up: SimulatedStack) -> None:
    store = simulated(up.place)
    store.put("chains/akash/validator-0/node", {"id": "0" * 40, "json": "{}"})

    assert changed(up) == ["apply disco:objects/akash", "release disco:release/akash/akash"]
    assert up.apply().done
    assert up.plan().empty


def test_a_rotated_secret_of_the_vault_is_written_into_it(up: SimulatedStack) -> None:
    simulated(up.place).put("vault/probe", {"value": "another"})

    assert changed(up) == VAULT
    assert up.apply().done
    assert up.plan().empty


TWO = """\
name: two
servers: {provider: local, count: 1, network: 10.91.0.0/24}
kubernetes: {}
chains:
  first: {definition: akash}
  second: {definition: akash, validators: 2}
"""


def test_two_chains_of_one_definition_have_a_genesis_each(tmp_path: Path) -> None:
    stack = SimulatedStack(TWO, tmp_path)

    ran = stack.apply()

    assert ran.done, ran.outcome
    one, other = (
        simulated(stack.place).kept(f"chains/{n}/genesis.json") for n in ("first", "second")
    )
    assert one and other and one != other
    assert stack.plan().empty


@pytest.mark.parametrize("secret", OWED)
def test_what_is_owed_and_can_be_made_anew_is_with_all_that_uses_it_in_one_plan(
    up: SimulatedStack, secret: str
) -> None:
    store = simulated(up.place)
    before = store.fields(secret)
    owe(up, secret)

    touched, uses = changed(up), uses_of(up, secret)
    assert touched[0] == f"remember secret {secret}"
    assert [t for t in touched if t in uses] == uses
    notes = [note for part in up.plan().parts for note in part.notes]
    assert f"the secret {secret} is made anew: somebody left" in notes
    assert up.apply().done
    assert simulated(up.place).fields(secret) != before
    assert simulated(up.place).owed() == {}
    assert up.plan().empty


def test_what_is_owed_and_can_not_be_made_anew_is_left_to_people(up: SimulatedStack) -> None:
    owe(up, "kubernetes/ca")
    owe(up, "chains/akash/validator-0/validator")
    assert up.plan().empty
