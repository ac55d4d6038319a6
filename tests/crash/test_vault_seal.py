"""A vault that somebody else's key opens: begun, killed, restarted, sealed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from disco.engine.errors import Several
from disco.layers.platform.openbao import KEYS
from sim.cluster import vault_of
from sim.interruption import Uninterrupted, dies_everywhere
from sim.stack import SimulatedStack
from sim.stacks import IRON
from sim.state import VaultState
from sim.store import simulated

TRANSIT = (
    '{transit: {url: "https://vault.example:8200", key: net, token: "${secret:vault/transit}"}}'
)
KMIP = (
    '{kmip: {endpoint: "kms.example:5696", key: k, certificate: pem, '
    'certificate_key: "${secret:vault/kmip}"}}'
)
HELD = IRON.replace("{replicas: 3}", f"{{replicas: 3, seal: {TRANSIT}}}")
TEAM = HELD.replace("replicas: 3, ", "replicas: 3, holders: [anna, ben], threshold: 2, ")
Record = Callable[[str, Any], None]


@pytest.fixture(params=[HELD, TEAM], ids=["recovery-key", "recovery-shares"])
def whole(request: pytest.FixtureRequest, folder: Path) -> Uninterrupted:
    return Uninterrupted(SimulatedStack(request.param, folder))


def vault(whole: Uninterrupted) -> VaultState:
    return vault_of(next(h.cluster for h in whole.stack.state.hosts.values() if h.cluster))


def test_it_is_finished_after_dying_anywhere_in_the_step_that_begins_it(
    whole: Uninterrupted, record_property: Record
) -> None:
    assert vault(whole).keys and not any(p.sealed for p in vault(whole).pods.values())
    dies_everywhere(whole, record_property)


def test_pods_that_were_restarted_are_open_without_anybody(whole: Uninterrupted) -> None:
    for pod in vault(whole).pods.values():
        pod.sealed = True

    ran = whole.stack.apply()

    assert ran.done and whole.wrong_after((), ran) == []
    assert not any(p.sealed for p in vault(whole).pods.values())


def test_pods_that_were_sealed_by_hand_are_started_anew(whole: Uninterrupted) -> None:
    for pod in vault(whole).pods.values():
        pod.sealed = pod.closed = True

    ran = whole.stack.apply()

    assert ran.done and whole.wrong_after((), ran) == []
    assert not any(p.sealed or p.closed for p in vault(whole).pods.values())


def test_no_pod_is_given_a_recovery_key(whole: Uninterrupted) -> None:
    """It would count as a share of something else."""
    assert not any(p.given for p in vault(whole).pods.values())
    assert "unseal_0" in simulated(whole.stack.place).fields(KEYS) or len(vault(whole).keys) == 2


@pytest.mark.parametrize(
    "seal",
    [
        "",
        f"seal: {TRANSIT.replace('key: net', 'key: another')}",
        f"seal: {KMIP}",
    ],
    ids=["none", "another-key", "another-kind"],
)
def test_what_opens_it_is_not_changed_while_it_is_there(folder: Path, seal: str) -> None:
    stack = SimulatedStack(HELD, folder)
    assert stack.apply().done
    stack.declare(HELD.replace(f"seal: {TRANSIT}", seal).replace(", }", "}"))

    with pytest.raises(Several) as refused:
        stack.apply()

    (error,) = refused.value.errors
    assert error.what == "what opens the vault can't be changed while it is there"
    assert error.where == "vault.seal"


def test_a_key_that_was_named_wrong_is_named_right_before_the_vault_is_begun(
    folder: Path,
) -> None:
    stack = SimulatedStack(HELD.replace("key: net", "key: wrong"), folder)
    points = stack.apply().points
    other = SimulatedStack(HELD.replace("key: net", "key: wrong"), folder / "other")
    other.apply(kill_at=next(i for i, p in enumerate(points) if "vault-init" in p) + 1)
    other.declare(HELD)
    assert other.apply().done
