"""Validators' keys go to signers: whatever happens on the way, a key never signs at two places, nor
below what it signed. The simulated world ends the test at the moment at which one would."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from disco.chains.signed import Signed
from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.layers.akash import signer
from disco.layers.akash.chain import ChainNode
from disco.layers.akash.signer import TakeOver
from disco.layers.akash.signer_back import BackExecutors
from disco.layers.akash.signer_executors import LeaseExecutors
from sim import listing
from sim.clock import in_virtual_time
from sim.errors import SimulationError
from sim.interruption import Uninterrupted, dies_everywhere, of_change
from sim.signers import HOME
from sim.stack import SimulatedStack
from sim.state import ChainVolume, ClusterState

Record = Callable[[str, Any], None]

LOCAL = """\
name: moving
servers: {provider: local, count: 2, network: 10.90.0.0/24}
kubernetes: {}
chains:
  akash: {validators: 2, full_nodes: 1}
"""
SIGNERS = LOCAL.replace("full_nodes: 1", "full_nodes: 1, signer: {}")
GONE = LOCAL.replace(LOCAL[LOCAL.index("chains:") :], "")


def cluster_of(stack: SimulatedStack) -> ClusterState:
    found = next(h.cluster for h in stack.state.hosts.values() if h.cluster)
    assert found is not None
    return found


def up(text: str, folder: Path) -> SimulatedStack:
    stack = SimulatedStack(text, folder)
    assert stack.apply().done
    return stack


def holders(stack: SimulatedStack) -> list[str]:
    """Volumes with a key of a validator, and Secrets that give one to a validator's pod."""
    cluster = cluster_of(stack)
    secrets = [p for p in cluster.objects if p.endswith("/namespaces/akash/secrets/keys")]
    return [*secrets, *(name for name, v in cluster.volumes.items() if v.key)]


@pytest.mark.parametrize(
    "change",
    [(LOCAL, SIGNERS), (GONE, SIGNERS), (SIGNERS, GONE), (SIGNERS, LOCAL)],
    ids=["move", "new", "gone", "back"],
)
def test_no_key_signs_twice_when_it_dies_at_any_point(
    folder: Path, record_property: Record, change: tuple[str, str]
) -> None:
    whole = of_change(*change, folder)
    dies_everywhere(whole, record_property)


def test_a_key_that_moved_is_nowhere_but_with_its_signer(folder: Path) -> None:
    stack = up(LOCAL, folder)
    assert len(holders(stack)) == 3
    before = dict(cluster_of(stack).signed)
    stack.declare(SIGNERS)
    assert stack.apply().done
    assert holders(stack) == []
    after = cluster_of(stack).signed
    assert all(after[k] > before[k] for k in before)


@pytest.mark.parametrize("seed", range(6))
def test_it_holds_in_whatever_order_things_happen(folder: Path, seed: int) -> None:
    stack = up(LOCAL, folder)
    stack.declare(SIGNERS)
    points = len(stack.apply(seed=seed).points)
    assert stack.plan().empty
    stack = up(LOCAL, folder / "killed")
    stack.declare(SIGNERS)
    stack.apply(kill_at=points * (seed + 1) // 7, seed=seed)
    assert stack.apply(seed=seed + 100).done
    assert stack.plan().empty


def test_a_pod_that_does_not_end_leaves_the_key_unsigned_and_never_twice(folder: Path) -> None:
    """Its node is away: nobody says that it has ended, so nothing begins in its place."""
    stack = up(LOCAL, folder)
    stack.declare(SIGNERS)
    with patch("sim.signers.ENDS_S", 1e9):
        ran = stack.apply()
    assert not ran.done and ran.outcome is not None
    assert "validator-0 is still ending" in str(ran.outcome.errors[0].why)
    assert not [p for p in cluster_of(stack).pods if "signer" in p]


async def _nothing_signed(*_: Any) -> Signed:
    return Signed()


@pytest.mark.parametrize(
    ("what", "instead", "told"),
    [
        ("_left_behind", _nothing_signed, "two sign with|signs for"),
        ("furthest", lambda *known: Signed(1), "signs for"),
    ],
)
def test_the_world_would_tell_if_a_step_were_left_out(
    folder: Path, what: str, instead: Any, told: str
) -> None:
    """Without waiting for what was signed, and with a state that goes back."""
    stack = up(LOCAL, folder)
    stack.declare(SIGNERS)
    where = LeaseExecutors if what == "_left_behind" else "disco.chains.lease"
    patched = (
        patch.object(where, what, instead)
        if not isinstance(where, str)
        else patch(f"{where}.{what}", instead)
    )
    with patched, pytest.raises(SimulationError, match=told):
        stack.apply()


def test_what_another_cluster_has_is_refused_before_anything_is_installed(folder: Path) -> None:
    """The same store, as another machine would have it; the first cluster lives."""
    first = up(LOCAL, folder)
    second = SimulatedStack(LOCAL, folder / "elsewhere")
    second.place.root.mkdir(parents=True)
    _copy(first.place.root / "store", second.place.root / "store")
    second.simulation.state.counts["cluster"] = 7  # its UID is another
    ran = second.apply()
    assert ran.outcome is not None and not ran.done
    error = next(e for e in ran.outcome.errors if isinstance(e, DiscoError))
    assert "is leased to the stack moving in the cluster cluster 1" in error.what
    assert "disco signer take" in error.fix
    assert not [p for p in cluster_of(second).objects if "/akash/" in p]


def test_a_lease_ends_with_its_chain_and_is_given_again(folder: Path) -> None:
    stack = up(SIGNERS, folder)
    stack.declare(GONE)
    assert stack.apply().done
    stack.declare(SIGNERS)
    assert stack.apply().done
    assert holders(stack) == []


def test_a_move_that_was_begun_and_given_up_goes_on_where_the_validator_ended(
    folder: Path,
) -> None:
    """Killed before the key was handed over, and taken out of the file again."""
    stack = up(LOCAL, folder)
    stack.declare(SIGNERS)
    before = stack.simulation.capture()
    points = stack.apply().points
    number = next(i for i, p in enumerate(points) if p.startswith("after: hand-over"))
    stack.simulation.restore(before)
    assert stack.apply(kill_at=number).killed
    assert not holders(stack)[2:], "the pods have lost their keys"
    stack.declare(LOCAL)
    assert stack.apply().done
    assert len(holders(stack)) == 3


def moved(folder: Path) -> SimulatedStack:
    """Its keys went from its validators to signers, and are to come back."""
    stack = up(LOCAL, folder)
    stack.declare(SIGNERS)
    assert stack.apply().done
    stack.declare(LOCAL)
    return stack


def test_no_key_signs_twice_when_it_dies_anywhere_on_the_way_back(
    folder: Path, record_property: Record
) -> None:
    """On volumes that remember what they had signed before the keys went to signers."""
    dies_everywhere(Uninterrupted(moved(folder)), record_property)


def test_a_key_that_came_back_is_nowhere_but_with_its_validator(folder: Path) -> None:
    stack = moved(folder)
    cluster = cluster_of(stack)
    before = dict(cluster.signed)
    assert stack.apply().done
    cluster = cluster_of(stack)
    assert len(holders(stack)) == 3
    assert sorted(cluster.pods) == sorted(cluster.volumes)
    assert not [p for p in [*cluster.objects, *cluster.pods] if "signer" in p or "node-keys" in p]
    assert all(cluster.signed[k] > before[k] for k in before)
    stack.declare(SIGNERS)
    assert stack.apply().done
    assert holders(stack) == []
    assert stack.plan().empty


@pytest.mark.parametrize("seed", range(6))
def test_the_way_back_holds_in_whatever_order_things_happen(folder: Path, seed: int) -> None:
    points = len(moved(folder).apply(seed=seed).points)
    stack = moved(folder / "killed")
    stack.apply(kill_at=points * (seed + 1) // 7, seed=seed)
    assert stack.apply(seed=seed + 100).done
    assert stack.plan().empty


def test_a_way_back_that_was_begun_and_given_up_leaves_the_signers_signing(folder: Path) -> None:
    """Killed at each of its points, and put into the file again."""
    whole = Uninterrupted(moved(folder))
    stack = whole.stack
    points = whole.worlds()
    assert len(points) > 20
    for point in points[::3]:
        stack.simulation.restore(point.world)
        stack.declare(SIGNERS)
        ran = stack.apply()
        assert ran.done, (point.label, ran.outcome)
        assert holders(stack) == [], point.label
        assert stack.plan().empty, point.label


def test_a_move_that_was_begun_and_given_up_comes_back(folder: Path) -> None:
    """Killed at each of the points of the way there, and taken out of the file again."""
    whole = of_change(LOCAL, SIGNERS, folder)
    stack = whole.stack
    for point in whole.worlds()[::3]:
        stack.simulation.restore(point.world)
        stack.declare(LOCAL)
        ran = stack.apply()
        assert ran.done, (point.label, ran.outcome)
        assert len(holders(stack)) == 3, point.label
        assert stack.plan().empty, point.label


def test_a_signer_that_does_not_end_leaves_the_key_with_it(folder: Path) -> None:
    """Its node is away: nobody says that it has ended, so no validator gets its key."""
    stack = moved(folder)
    with patch("sim.signers.ENDS_S", 1e9):
        ran = stack.apply()
    assert not ran.done and ran.outcome is not None
    assert "signer-0-0 is still ending" in str(ran.outcome.errors[0].why)
    assert holders(stack) == []
    assert not [p for p in cluster_of(stack).objects if re.search(r"secrets/(keys|signer-key)", p)]


@pytest.mark.parametrize("what", ["empty", "older"])
def test_a_signer_whose_volume_is_not_the_one_that_signed_gives_no_key_back(
    folder: Path, what: str
) -> None:
    stack = moved(folder)
    volume = cluster_of(stack).volumes["akash/signer-0-0"]
    if what == "empty":
        volume.files = {}
        told = "is empty, and the key has signed"
    else:
        volume.files["state.json"] = '{"height":"1","round":"0","step":2,"block_id":null}'
        told = "says 1/0/2, the key had signed"
    with patch("sim.signers._sign"):
        ran = stack.apply()
    assert not ran.done and ran.outcome is not None
    assert told in str(ran.outcome.errors[0].why)
    assert holders(stack) == []


async def _signed_nothing(*_: Any) -> Signed:
    return Signed()


def _home_without(*lines: str, to: Path) -> Path:
    """The validator's own gate, without some of its lines."""
    text = HOME.read_text()
    for line in lines:
        assert line in text
        text = text.replace(line, "true")
    to.write_text(text)
    return to


def test_the_world_would_tell_if_a_step_of_the_way_back_were_left_out(
    folder: Path, tmp_path: Path
) -> None:
    """Without waiting for the signers to end, and without laying what they signed."""
    stack = moved(folder)
    with (
        patch.object(BackExecutors, "_signed_by", _signed_nothing),
        pytest.raises(SimulationError, match=r"two sign with|signs for"),
    ):
        stack.apply()
    stack = moved(folder / "again")
    forgets = _home_without(
        'lay "$(lease height)" "$(lease round)" "$(($(lease step) + 1))"', to=tmp_path / "home.sh"
    )
    with patch("sim.signers.HOME", forgets), pytest.raises(SimulationError, match="signs for"):
        stack.apply()


def _copy(source: Path, to: Path) -> None:
    for file in source.rglob("*"):
        if file.is_file():
            there = to / file.relative_to(source)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(file.read_bytes())
    listing.changed(to)


def test_a_volume_that_is_lost_stops_its_signer_until_a_person_takes_the_key_over(
    folder: Path,
) -> None:
    stack = up(SIGNERS, folder)
    cluster = cluster_of(stack)
    before = dict(cluster.signed)
    cluster.volumes["akash/signer-0-0"] = ChainVolume()
    del cluster.pods["akash/signer-0-0"]
    ran = stack.apply()
    assert not ran.done
    assert "is empty, and the key has signed" in cluster_of(stack).pods["akash/signer-0-0"].refused
    above = max(before.values()) + 1000
    process = stack.start()
    node = next(n for n in process.graph if n.name == "chains.akash")
    chain = node.component(node.name, node.spec, {}, stack.place)
    assert isinstance(chain, ChainNode)
    keys = signer.keys_of(chain.validators)
    at = Cluster("disco", "https://10.90.0.11:6443", "kubernetes/ca")
    take = TakeOver(at, "akash", chain.chain_id, keys, height=above, why="its disk is shredded")
    do = LeaseExecutors(process.kube, process.store)
    in_virtual_time(do.take_over(take, lambda note, share: None), stack.simulation.passed)
    assert stack.apply().done
    assert stack.plan().empty
    assert all(h >= above for h in cluster_of(stack).signed.values())
