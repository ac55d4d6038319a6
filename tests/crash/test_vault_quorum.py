"""A vault whose key is in shares: begun by one, opened by as many holders as it takes, and what
happens when a process dies in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from disco.engine.component import Layer
from disco.engine.component import Step as EngineStep
from disco.engine.graph import Graph
from disco.engine.plan import Look, Part, Plan
from disco.layers.platform import quorum
from disco.layers.platform.openbao import BEGUN, KEYS
from disco.layers.platform.vault import Vault
from disco.layers.platform.vault_rekey import RekeyVault
from disco.layers.platform.vault_shares import GiveShare, SealVault, VaultAction
from disco.store.store import Store
from sim.interruption import Uninterrupted, tell
from sim.stack import Ran, SimulatedStack
from sim.stacks import QUORUM
from sim.state import VaultState
from sim.store import simulated

TOLD = "after the vault told its keys"
STOPPED = "the vault is sealed, and its holders have to open it"
HOLDERS = ("anna", "ben", "carla")
NEW = quorum.Quorum(("anna", "ben", "dora"), 2)
Record = Callable[[str, Any], None]


@pytest.fixture
def whole(folder: Path) -> Uninterrupted:
    return Uninterrupted(SimulatedStack(QUORUM, folder))


def store_of(stack: SimulatedStack) -> Store:
    return simulated(stack.place)


def vault_of(stack: SimulatedStack) -> VaultState:
    found = next(h.cluster.vault for h in stack.state.hosts.values() if h.cluster)
    assert found is not None
    return found


def restart(stack: SimulatedStack) -> None:
    for pod in vault_of(stack).pods.values():
        pod.sealed, pod.given = True, []


def sealed(stack: SimulatedStack) -> list[bool]:
    return [p.sealed for p in vault_of(stack).pods.values()]


def doing(action: VaultAction, name: str, graph: Graph, looks: Mapping[str, Look]) -> Plan:
    part = Part("vault", Layer.PLATFORM, (EngineStep("it", "it", (action,)),), ())
    return Plan(name, (part,), narrowed=True)


def run(stack: SimulatedStack, action: VaultAction, kill_at: int = 0) -> Ran:
    return stack._change("vault", partial(doing, action), kill_at, None, 1)


def give(stack: SimulatedStack, member: str, kill_at: int = 0) -> Ran:
    cluster = cluster_of(stack)
    return run(stack, GiveShare(cluster, 3, member, quorum.share(member)), kill_at)


def cluster_of(stack: SimulatedStack) -> Any:
    plan = stack.plan(_all_of_the_vault)
    return plan.steps[0][1].actions[0].cluster  # type: ignore[attr-defined]


def _all_of_the_vault(name: str, graph: Graph, looks: dict[str, Look]) -> Plan:
    vault = next(look.component for n, look in looks.items() if n == "vault")
    assert isinstance(vault, Vault)
    step = EngineStep("it", "it", vault.opens())
    return Plan(name, (Part("vault", Layer.PLATFORM, (step,), ()),), narrowed=True)


def rekey(stack: SimulatedStack, member: str, kill_at: int = 0) -> Ran:
    made = RekeyVault(cluster_of(stack), member, quorum.share(member), NEW)
    return run(stack, made, kill_at)


def agrees(stack: SimulatedStack) -> bool:
    """The store has the very shares that open the vault, and no note of doubt."""
    store = store_of(stack)
    mine = [store.lookup(quorum.share(n)) for n in quorum.kept(store).holders]
    return mine == vault_of(stack).keys and not store.has_kept(quorum.REKEYING)


def errors(ran: Ran) -> list[str]:
    assert ran.outcome is not None
    return [e.what for e in ran.outcome.errors]


def test_each_holder_gets_one_share_and_nobody_gets_the_key(whole: Uninterrupted) -> None:
    store, vault = store_of(whole.stack), vault_of(whole.stack)
    assert store.fields(KEYS) == vault.role and vault.revoked
    shares = [store.lookup(quorum.share(n)) for n in HOLDERS]
    assert shares == vault.keys and len(set(shares)) == 3 and vault.threshold == 2
    assert sealed(whole.stack) == [False] * 3
    assert whole.still_planned() == []


def test_a_run_cut_off_anywhere_is_finished_with_the_help_of_two_holders_at_most(
    whole: Uninterrupted, record_property: Record
) -> None:
    """Twice where it died before the other pods had joined: each pod needs the shares."""
    inside = [i for i in whole.inside_actions() if "openbao" in whole.labels[i]]
    inside += [i for i in whole.inside_actions() if "vault" in whole.labels[i]]
    around = [i for i in whole.around_actions() if "vault" in whole.labels[i]]
    numbers = sorted({*inside, *around})
    wrong: dict[str, list[str]] = {}
    asked = 0
    for number, point in zip(numbers, whole.points(numbers), strict=True):
        whole.stack.simulation.restore(point.world)
        ran = whole.stack.apply()
        for _ in range(2):
            if not ran.done and errors(ran) == [STOPPED]:
                asked += 1
                for member in ("anna", "carla"):
                    assert give(whole.stack, member).done
                ran = whole.stack.apply()
        if found := whole.wrong_after((), ran):
            wrong[f"{number} {point.label}"] = found
    assert 0 < asked < len(numbers)
    tell(wrong, record_property, len(numbers))


def test_shares_that_were_told_and_not_kept_make_the_next_run_begin_again(
    whole: Uninterrupted,
) -> None:
    point = whole.point(TOLD)
    whole.stack.simulation.restore(point.world)
    store = store_of(whole.stack)
    assert store.has_kept(BEGUN) and quorum.kept(store).holders == ()

    assert whole.wrong_after(point.finished, whole.stack.apply()) == []
    assert whole.stack.state.counts["vault init"] == 2
    assert quorum.kept(store).holders == HOLDERS


def test_apply_stops_at_a_sealed_vault_and_names_who_opens_it(whole: Uninterrupted) -> None:
    restart(whole.stack)
    note = [n for p in whole.stack.plan().parts for n in p.notes]
    assert any("2 of anna, ben, carla" in n and "disco vault unseal" in n for n in note), note
    begun = whole.stack.state.now

    ran = whole.stack.apply()

    assert ran.outcome is not None
    assert errors(ran) == [STOPPED]
    assert "2 of anna, ben, carla" in ran.outcome.errors[0].why
    assert "disco vault unseal" in ran.outcome.errors[0].fix
    assert whole.stack.state.now - begun < 10
    assert sealed(whole.stack) == [True] * 3
    assert whole.stack.state.counts["vault init"] == 1


def test_two_of_three_open_it_and_one_does_not_however_often(whole: Uninterrupted) -> None:
    restart(whole.stack)
    for _ in range(2):
        assert give(whole.stack, "ben").done
        assert sealed(whole.stack) == [True] * 3
    assert give(whole.stack, "anna").done
    assert sealed(whole.stack) == [False] * 3
    assert whole.wrong_after((), whole.stack.apply()) == []


def test_a_share_is_given_to_every_pod_however_often_its_process_dies(
    whole: Uninterrupted, record_property: Record
) -> None:
    restart(whole.stack)
    first = whole.stack.simulation.capture()
    points = give(whole.stack, "anna").points
    wrong: dict[str, list[str]] = {}
    for number in range(1, len(points) + 1):
        whole.stack.simulation.restore(first)
        give(whole.stack, "anna", kill_at=number)
        assert give(whole.stack, "anna").done and give(whole.stack, "ben").done
        if sealed(whole.stack) != [False] * 3:
            wrong[f"{number} {points[number - 1]}"] = [str(sealed(whole.stack))]
    tell(wrong, record_property, len(points))


def test_a_share_of_another_vault_is_told_and_the_right_ones_open_it_after(
    whole: Uninterrupted,
) -> None:
    restart(whole.stack)
    right = store_of(whole.stack).fields(quorum.share("ben").name)
    store_of(whole.stack).put(quorum.share("ben").name, {"share": "CANARY:of another"})
    assert give(whole.stack, "anna").done
    ran = give(whole.stack, "ben")
    assert errors(ran) == ["the shares that openbao-0 was given do not open it"]
    store_of(whole.stack).put(quorum.share("ben").name, right)
    for member in ("anna", "ben"):
        assert give(whole.stack, member).done
    assert sealed(whole.stack) == [False] * 3


def test_sealing_ends_with_all_sealed_however_often_its_process_dies(
    whole: Uninterrupted, record_property: Record
) -> None:
    action = SealVault(cluster_of(whole.stack), 3)
    first = whole.stack.simulation.capture()
    points = run(whole.stack, action).points
    assert sealed(whole.stack) == [True] * 3
    wrong: dict[str, list[str]] = {}
    for number in range(1, len(points) + 1):
        whole.stack.simulation.restore(first)
        run(whole.stack, action, kill_at=number)
        run(whole.stack, action)
        if sealed(whole.stack) != [True] * 3:
            wrong[f"{number} {points[number - 1]}"] = [str(sealed(whole.stack))]
    tell(wrong, record_property, len(points))


def test_no_share_is_in_a_plan_a_journal_or_an_event(whole: Uninterrupted) -> None:
    restart(whole.stack)
    ran = give(whole.stack, "anna")
    assert ran.plan is not None
    told = [str(ran.plan), str(ran.events), whole.stack.place.journal.read_text()]
    told += [json.dumps(a.command()) for _, s in ran.plan.steps for a in s.actions]
    assert not any("CANARY" in text for text in told)


def test_what_goes_takes_the_shares_with_it(whole: Uninterrupted) -> None:
    whole.stack.declare(QUORUM.replace("vault: {", "# vault: {"))
    assert whole.stack.apply().done
    assert quorum.kept(store_of(whole.stack)).holders == ()
    assert KEYS not in store_of(whole.stack).names()


def test_two_of_the_old_holders_make_shares_for_the_new_ones(whole: Uninterrupted) -> None:
    old = list(vault_of(whole.stack).keys)
    for _ in range(2):
        assert rekey(whole.stack, "anna").done
        assert vault_of(whole.stack).keys == old
    assert rekey(whole.stack, "ben").done
    assert quorum.kept(store_of(whole.stack)).holders == NEW.holders
    assert agrees(whole.stack) and not set(old) & set(vault_of(whole.stack).keys)
    restart(whole.stack)
    for member in ("dora", "anna"):
        assert give(whole.stack, member).done
    assert sealed(whole.stack) == [False] * 3


def cut_off(whole: Uninterrupted) -> Iterator[str]:
    """The world after each point at which the last holder's rekey may die."""
    assert rekey(whole.stack, "anna").done
    first = whole.stack.simulation.capture()
    points = rekey(whole.stack, "ben").points
    for number in range(1, len(points) + 1):
        whole.stack.simulation.restore(first)
        rekey(whole.stack, "ben", kill_at=number)
        yield f"{number} {points[number - 1]}"


def test_a_rekey_that_died_anywhere_is_finished_by_two_holders(
    whole: Uninterrupted, record_property: Record
) -> None:
    wrong: dict[str, list[str]] = {}
    labels = []
    for label in cut_off(whole):
        labels.append(label)
        for _ in range(2):
            for member in ("anna", "ben"):
                ran = rekey(whole.stack, member)
                if not ran.done:
                    wrong.setdefault(label, []).extend(errors(ran))
        if not agrees(whole.stack) or quorum.kept(store_of(whole.stack), 2) != NEW:
            wrong.setdefault(label, []).append("the store and the vault differ")
    tell(wrong, record_property, len(labels))


def test_a_vault_that_restarts_after_a_rekey_died_is_opened_by_two_holders(
    whole: Uninterrupted, record_property: Record
) -> None:
    """With the new shares, or with the old ones, which come back when the new ones do not do."""
    wrong: dict[str, list[str]] = {}
    labels, came_back = [], 0
    for label in cut_off(whole):
        labels.append(label)
        restart(whole.stack)
        vault_of(whole.stack).rotation.clear()
        for member in ("anna", "ben", "anna", "ben"):
            if not give(whole.stack, member).done:
                came_back += 1
        if sealed(whole.stack) != [False] * 3:
            wrong[label] = [str(sealed(whole.stack))]
        for member in ("anna", "ben", "anna", "ben"):
            rekey(whole.stack, member)
        if not agrees(whole.stack):
            wrong.setdefault(label, []).append("the store and the vault differ")
    assert came_back
    tell(wrong, record_property, len(labels))


def test_a_wrong_share_after_a_rekey_that_died_loses_neither_the_old_nor_the_new_ones(
    whole: Uninterrupted,
) -> None:
    assert rekey(whole.stack, "anna").done
    first = whole.stack.simulation.capture()
    points = rekey(whole.stack, "ben").points
    whole.stack.simulation.restore(first)
    rekey(whole.stack, "ben", kill_at=points.index("after the new shares were proven") + 1)
    restart(whole.stack)
    store_of(whole.stack).put(quorum.share("anna").name, {"share": "CANARY:wrong"})
    for _ in range(2):
        assert give(whole.stack, "anna").done
        assert not give(whole.stack, "ben").done
    assert quorum.kept(store_of(whole.stack)).holders == NEW.holders
    for member in ("ben", "dora"):
        assert give(whole.stack, member).done
    assert sealed(whole.stack) == [False] * 3
    assert not store_of(whole.stack).has_kept(quorum.REKEYING)
