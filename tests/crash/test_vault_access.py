"""A vault's root token is revoked, and DISCO gets in by a role of its own: also when it dies on the
way, and in a vault from before there was such a role."""

from __future__ import annotations

from pathlib import Path

import pytest

from disco.layers.platform.openbao import KEYS
from sim import SimulatedStack
from sim.compare import differences, view
from sim.stacks import STACKS
from sim.state import VaultState
from sim.store import simulated


def vault_of(stack: SimulatedStack) -> VaultState:
    found = next(h.cluster.vault for h in stack.state.hosts.values() if h.cluster)
    assert found is not None
    return found


@pytest.fixture
def before(folder: Path) -> SimulatedStack:
    """As an earlier DISCO left it: the store has the root token, and nobody else gets in."""
    stack = SimulatedStack(STACKS["iron"], folder)
    assert stack.apply().done
    vault = vault_of(stack)
    vault.revoked = False
    vault.role.clear()
    vault.role_limits.clear()
    del vault.logins["approle/"], vault.policies["disco"]
    keys = {"root_token": vault.root_token, "unseal_0": vault.keys[0]}
    simulated(stack.place).put(KEYS, keys)
    return stack


def is_narrow(stack: SimulatedStack) -> bool:
    """Whether the root token is gone from both, and the store has what the vault knows."""
    vault, keys = vault_of(stack), simulated(stack.place).fields(KEYS)
    return vault.revoked and keys == {"unseal_0": vault.keys[0], **vault.role}


def test_a_vault_from_before_gets_the_role_after_dying_at_any_point(
    before: SimulatedStack,
) -> None:
    world = before.simulation.capture()
    assert not is_narrow(before) and not before.plan().empty
    points = before.apply().points
    assert is_narrow(before) and before.plan().empty
    for number in range(1, len(points) + 1):
        before.simulation.restore(world)
        assert before.apply(kill_at=number).killed
        assert before.apply().done, points[number - 1]
        assert is_narrow(before), points[number - 1]
        assert before.plan().empty, points[number - 1]


def test_a_vault_whose_pods_said_nothing_is_brought_over_after_dying_at_any_point(
    folder: Path,
) -> None:
    """As an earlier DISCO set it up: with the probe's role alone, in another form, and a pod that
    looked once."""
    stack = SimulatedStack(STACKS["iron"], folder)
    assert stack.apply().done
    cluster = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
    vault = vault_of(stack)
    vault.secrets["disco/setup"] = {"digest": "of an earlier DISCO"}
    vault.roles["vault-probe"] |= {"token_ttl": "10m"}
    vault.policies["disco"] = {"policy": 'path "sys/policies/acl/*" {}'}
    deployment = "/apis/apps/v1/namespaces/vault-probe/deployments/vault-probe"
    for path in (
        deployment,
        "/apis/networking.k8s.io/v1/namespaces/vault/networkpolicies/openbao-clients",
    ):
        del cluster.objects[path]
    world = stack.simulation.capture()
    points = stack.apply().points
    whole = view(stack)
    assert stack.plan().empty and vault_of(stack).roles["vault-probe"]["token_ttl"] == 60
    for number in range(1, len(points) + 1):
        stack.simulation.restore(world)
        assert stack.apply(kill_at=number).killed
        assert stack.apply().done, points[number - 1]
        assert differences(whole, view(stack)) == [], points[number - 1]
        assert stack.plan().empty, points[number - 1]


def test_a_key_that_was_made_exportable_is_not_set_up_for_ever(folder: Path) -> None:
    text = STACKS["iron"].replace("akash: {", "akash: {vault: {sign: [mine]}, ")
    stack = SimulatedStack(text, folder)
    assert stack.apply().done and stack.plan().empty
    vault_of(stack).keys_inside["mine"]["exportable"] = True
    assert stack.plan().empty, "nothing can be done about it"
    del vault_of(stack).keys_inside["mine"]
    assert not stack.plan().empty and stack.apply().done
    assert vault_of(stack).keys_inside["mine"]["type"] == "ed25519"


def test_a_role_that_was_widened_by_hand_is_written_again(folder: Path) -> None:
    text = STACKS["iron"].replace("akash: {", "akash: {vault: {read: [kv/akash/*]}, ")
    stack = SimulatedStack(text, folder)
    assert stack.apply().done and stack.plan().empty
    name, vault = "component-chains-akash", vault_of(stack)
    whole = view(stack)
    vault.policies[name] = {"policy": 'path "kv/data/*" { capabilities = ["read"] }'}
    assert not stack.plan().empty
    assert stack.apply().done and differences(whole, view(stack)) == []
    vault_of(stack).roles["component-somebody"] = {"token_policies": ["disco"]}
    notes = [n for part in stack.plan().parts for n in part.notes]
    assert any("component-somebody: nobody declares" in n for n in notes)
    assert stack.apply().done and differences(whole, view(stack)) == []


def test_a_new_vault_keeps_no_root_token(folder: Path) -> None:
    stack = SimulatedStack(STACKS["iron"], folder)
    assert stack.apply().done
    assert is_narrow(stack)
    assert [i for i, p in vault_of(stack).pods.items() if p.sealed] == []
