"""A vault gets a certificate, and another one: also when DISCO dies on the way, it is open at the
end, holds what it held, and every pod shows what the store has."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

import sim.vault
from disco.layers.platform.openbao import AUTHORITY, CERTIFICATE
from disco.layers.platform.vault import Vault
from disco.store.store import Store
from disco.store.team import layout
from sim import SimulatedStack
from sim.stacks import STACKS
from sim.state import VaultState
from sim.store import simulated


def vault_of(stack: SimulatedStack) -> VaultState:
    found = next(h.cluster.vault for h in stack.state.hosts.values() if h.cluster)
    assert found is not None
    return found


def wrong_with(stack: SimulatedStack) -> list[str]:
    """What a person would complain of at the end."""
    crt, vault = simulated(stack.place).fields(CERTIFICATE)["crt"], vault_of(stack)
    found = [f"openbao-{i} is sealed" for i, p in vault.pods.items() if p.sealed]
    found += [f"openbao-{i} shows another" for i, p in vault.pods.items() if p.shows != crt]
    if vault.secrets.get("ours") != {"value": "kept"}:
        found.append("what it held is lost")
    return found


@pytest.fixture
def up(folder: Path) -> SimulatedStack:
    stack = SimulatedStack(STACKS["iron"], folder)
    assert stack.apply().done
    vault_of(stack).secrets["ours"] = {"value": "kept"}
    return stack


def owe(store: Store, *secrets: str) -> None:
    """Somebody left who could read them."""
    marks = {layout.owed_of(f"{store.stack}/{s}"): b"x" for s in secrets}
    store.shelf.write("Remove carla", files=marks)


def killed_at_each_point(stack: SimulatedStack) -> None:
    before = stack.simulation.capture()
    points = stack.apply().points
    assert wrong_with(stack) == [] and stack.plan().empty
    for number in range(1, len(points) + 1):
        stack.simulation.restore(before)
        assert stack.apply(kill_at=number).killed
        assert stack.apply().done, points[number - 1]
        assert wrong_with(stack) == [], points[number - 1]
        assert stack.plan().empty, points[number - 1]


@pytest.mark.parametrize("secret", [CERTIFICATE, AUTHORITY])
def test_another_certificate_is_taken_without_a_restart(up: SimulatedStack, secret: str) -> None:
    before = simulated(up.place).fields(CERTIFICATE)["crt"]
    owe(simulated(up.place), secret)
    revisions = {i: p.up_at for i, p in vault_of(up).pods.items()}
    killed_at_each_point(up)
    assert simulated(up.place).fields(CERTIFICATE)["crt"] != before
    assert {i: p.up_at for i, p in vault_of(up).pods.items()} == revisions


def test_a_plain_vault_gets_one_and_keeps_what_it_holds(folder: Path) -> None:
    plain = Vault._values

    def without(self: Vault) -> dict[str, object]:
        return {**plain(self), "tls": {"enabled": False, "secretName": ""}}

    stack = SimulatedStack(STACKS["iron"], folder)
    with (  # as an earlier DISCO installed it
        patch.object(Vault, "_values", without),
        patch.object(sim.vault, "not_believed", lambda shown, authority: ""),
    ):
        assert stack.apply().done
    for secret in (CERTIFICATE, AUTHORITY):
        simulated(stack.place).forget(secret)
    vault = vault_of(stack)
    vault.secrets["ours"] = {"value": "kept"}
    assert not any(p.shows for p in vault.pods.values())
    plan = stack.plan()
    notes = [n for part in plan.parts for n in part.notes]
    assert any("come up sealed; apply unseals each" in n for n in notes), notes
    killed_at_each_point(stack)
