"""What the nodes of a chain say is judged: votes, peers, keys, heights, volumes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from disco.chains.lease import HOME, SIGNER, Lease
from disco.chains.signed import Signed
from disco.layers.akash import verdicts
from disco.layers.akash.rpc import Status

Json = dict[str, Any]


def status(height: int = 100, catching_up: bool = False, pub_key: str = "k") -> Status:
    return Status("id", "c-1", height, catching_up, pub_key)


def test_a_node_that_is_behind_or_catching_up_is_not_in_sync() -> None:
    answer = verdicts.synced(
        {"v-0": status(100), "v-1": status(60), "v-2": status(99, True)}, {"v-0": "", "v-3": "gone"}
    )
    assert answer.evidence == (
        "1 of 4 nodes in sync; v-3: gone; v-1: is 40 blocks behind; v-2: is catching up, at 99"
    )
    assert verdicts.synced({"v-0": status(100), "v-1": status(99)}, {}).ok


def test_every_validator_must_have_signed_one_of_the_last_blocks() -> None:
    ours, heights = {"AA": "v-0", "BB": "v-1"}, range(5, 10)
    assert verdicts.signed({"AA", "BB"}, {"AA", "BB"}, ours, heights).ok
    absent = verdicts.signed({"AA", "BB"}, {"AA"}, ours, heights)
    assert absent.evidence == "1 of 2 validators sign; v-1: signed none of blocks 5 to 9"
    removed = verdicts.signed({"AA"}, {"AA"}, ours, heights)
    assert "v-1: is no active validator" in removed.evidence
    foreign = verdicts.signed({"AA", "BB", "CC"}, {"AA", "BB"}, ours, heights)
    assert "CC: signed none" in foreign.evidence


def test_everybody_must_know_every_validator_but_itself() -> None:
    ids = {"v-0": "i0", "v-1": "i1"}
    well = verdicts.peers({"v-0": {"i1"}, "v-1": {"i0"}, "node-0": {"i0", "i1", "x"}}, ids, {})
    assert well.evidence == "3 of 3 nodes know all validators: 1 to 3 peers"
    alone = verdicts.peers({"v-0": set(), "v-1": "does not answer"}, ids, {})
    assert alone.evidence == (
        "0 of 2 nodes know all validators; v-0: is not connected with v-1; v-1: does not answer"
    )
    assert verdicts.peers({"v-0": set()}, {"v-0": "i0"}, {}).ok
    assert not verdicts.peers({}, {}, {}).ok


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"v-0": "a", "v-1": "b", "node-0": "c"}, ""),
        ({"v-0": "a", "v-1": "a"}, "v-1: has not the key that is kept for it"),
        ({"v-0": "a", "v-1": "b", "twin": "a"}, "twin: has the key of v-0"),
        ({"v-0": "a", "v-1": "b", "n-0": "c", "n-1": "c"}, "n-1: has the same key as n-0"),
        ({"v-0": "other", "v-1": "b"}, "v-0: has not the key"),
    ],
)
def test_no_key_is_used_twice_and_each_is_the_kept_one(found: dict[str, str], fault: str) -> None:
    answer = verdicts.keys(found, {"v-0": "a", "v-1": "b"}, {})
    assert answer.ok == (not fault)
    assert fault in answer.evidence


def test_a_node_that_does_not_answer_has_no_proven_key() -> None:
    assert not verdicts.keys({"v-0": "a"}, {"v-0": "a", "v-1": "b"}, {"v-1": "does not answer"}).ok


def claim(name: str, phase: str = "Bound", **meta: str) -> Json:
    spec = {"resources": {"requests": {"storage": "2Gi"}}}
    return {"metadata": {"name": name, **meta}, "spec": spec, "status": {"phase": phase}}


def test_a_volume_is_bound_and_there_to_stay() -> None:
    claims = [
        claim("home-v-0"),
        claim("home-v-1", "Pending"),
        claim("home-v-2", deletionTimestamp="2026-11-24T12:00:00Z"),
    ]
    answer = verdicts.volumes(claims, [f"home-v-{i}" for i in range(4)])
    assert answer.evidence.startswith("1 of 4 volumes bound; home-v-1: is Pending; home-v-2: is go")
    assert "home-v-3: there is no such claim" in answer.details
    assert verdicts.volumes(claims, ["home-v-0"]).evidence == "1 of 1 volumes bound: 2Gi"


@pytest.mark.parametrize(
    ("metric", "age_s", "height", "pace", "apart"),
    [
        (100, 0, 100, 0.0, False),
        (100, 0, 115, 0.0, False),
        (100, 15, 150, 2.0, False),  # 15 s of two blocks each, and some more
        (100, 15, 190, 2.0, True),
        (100, 60, 190, 2.0, False),  # a slower Prometheus may be further behind
        (100, 15, 150, 0.0, True),
        (150, 15, 100, 1.0, True),  # no node goes back
        (None, 0, 100, 1.0, True),
    ],
)
def test_a_metric_may_be_as_old_as_its_last_scrape(
    metric: float | None, age_s: float, height: int, pace: float, apart: bool
) -> None:
    assert bool(verdicts.apart(metric, age_s, height, pace)) is apart


def test_an_address_is_the_hash_of_a_key() -> None:
    key = "dKKsjpfedgGDZpiJfTEBMxUZbK/yCZiDKIj+dDvPS3Q="  # of a running node
    assert verdicts.address(key) == "471273A3AAE5D80F8AEF4D9889B03B29AFFB86FB"


def test_a_genesis_is_compared_by_content_not_by_layout() -> None:
    genesis = {"chain_id": "c-1", "app_state": {"b": [1, 2], "a": ""}}
    laid_out = json.loads(json.dumps(genesis, indent=4, sort_keys=True))
    assert verdicts.digest(genesis) == verdicts.digest(laid_out)
    assert verdicts.digest(genesis) != verdicts.digest({**genesis, "chain_id": "c-2"})


HELD = Lease("AA", "c-1", "prod", "one", SIGNER, 2, Signed(9), 2)


def gate(code: int, message: str) -> Json:
    ended = {"terminated": {"exitCode": code, "message": message}}
    return {"status": {"initContainerStatuses": [{"name": "gate", "state": ended}]}}


@pytest.mark.parametrize(
    ("lease", "here", "wanted", "signer", "fault"),
    [
        (HELD, True, SIGNER, gate(0, "address=AA fence=2 height=9"), ""),
        (HELD, False, SIGNER, gate(0, "fence=2"), "is leased to the stack prod in the cluster one"),
        (replace(HELD, cluster=""), False, SIGNER, None, "is leased to nobody"),
        (HELD, True, HOME, None, "signs at its signer, and is declared to sign at its validator"),
        (HELD, True, SIGNER, None, "has no signer's pod"),
        (replace(HELD, begun=1), True, SIGNER, gate(0, "fence=2"), "has not begun to sign"),
        (HELD, True, SIGNER, gate(1, "fence=2 refused=its volume is empty"), "volume is empty"),
        (HELD, True, SIGNER, gate(0, "fence=1"), "its signer was let in by lease 1"),
        (replace(HELD, place=HOME), True, HOME, None, ""),
        (replace(HELD, place=HOME), True, HOME, gate(0, ""), "has a signer beside its own key"),
    ],
)
def test_a_key_signs_where_its_lease_says_and_nowhere_else(
    lease: Lease, here: bool, wanted: str, signer: Json | None, fault: str
) -> None:
    found = verdicts.leased(lease, here, wanted, signer)
    assert fault in found
    assert bool(found) == bool(fault)
