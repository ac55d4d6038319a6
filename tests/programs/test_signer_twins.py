"""Two validators with one key, real ones, which know nothing of each other: at one signer they do
not sign twice. With a signer for each they do, which shows that it would be seen."""

from __future__ import annotations

import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from signed_network import Network, free_port, network_of, until

SIGNED = re.compile(r"signed (\w+):(\w+) at h/r/s (\d+)/(\d+)/(\d+)")
REFUSED = re.compile(r"@tcp://127.0.0.1:(\d+)\] attempted double sign")
BLOCKS = 30
Vote = tuple[int, int, int]  # height, round, step


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with network_of(tmp_path) as found:
        yield found


@pytest.fixture
def twin(network: Network) -> Iterator[Network]:
    """A copy of the validator at the same height, on ports of its own. Both wait for a signer."""
    network.goes_there()
    network.reaches(network.lease.signed.height + 3)
    network.kill("validator", "signer")
    network.log("signer").unlink()
    found = replace(
        network, named=("twin", "twin-state"), rpc=free_port(), privval=free_port(), running={}
    )
    shutil.copytree(network.home, found.home)
    shutil.copytree(network.state, found.state)
    try:
        for one in (network, found):
            one.start_validator(remote=True)
        yield found
    finally:
        found.kill(*found.running)


def test_two_validators_at_one_signer_do_not_sign_twice(network: Network, twin: Network) -> None:
    before = network.signed().height
    network.start_signer(twin)
    until("one of them makes blocks", lambda: network.signed().height > before + BLOCKS, 90)
    until("the other one is refused", lambda: len(refusals(network)) > 3, 30)
    assert doubled(network) == {}
    time.sleep(1)  # one of them answers by now, whether or not it got a vote
    one, other = network.blocks(), twin.blocks()
    assert {h for h in one.keys() & other.keys() if one[h] != other[h]} == set()
    assert max(len(one), len(other)) > before + BLOCKS // 2


def test_with_a_signer_each_they_sign_twice_and_it_is_seen(network: Network, twin: Network) -> None:
    before = network.signed().height
    network.start_signer()
    twin.start_signer()
    for one in (network, twin):
        one.reaches(before + BLOCKS)
    assert len(doubled(network, twin)) > BLOCKS
    mine, others = network.blocks(), twin.blocks()
    assert any(mine[h] != others[h] for h in mine.keys() & others.keys())


def doubled(*networks: Network) -> dict[Vote, set[str]]:
    """What signers gave for more than one block at one height, round and step, as they say."""
    found: dict[Vote, set[str]] = defaultdict(set)
    for network in networks:
        for _, block, *vote in SIGNED.findall(network.log("signer").read_text()):
            height, round, step = map(int, vote)
            found[height, round, step].add(block)
    assert len(found) > BLOCKS, "signers say what they sign"
    return {vote: blocks for vote, blocks in found.items() if len(blocks) > 1}


def refusals(network: Network) -> list[str]:
    """The ports of those that were refused a vote, as often as it happened."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", network.log("signer").read_text())
    return REFUSED.findall(text)
