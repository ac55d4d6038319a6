"""A real validator whose key goes to a real tmkms, by the scripts of its pods, and is made to sign
twice."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from signed_network import Network, network_of, until

from disco.chains import lease as leases
from disco.chains.lease import SIGNER
from disco.layers.akash.signer_pods import of_file


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Its key has gone to its signer, after it was killed in the middle of a block."""
    with network_of(tmp_path_factory.mktemp("moves")) as found:
        found.kill("validator")
        at_home = found.left_at_home()
        assert at_home.height >= 5
        found.lease = found.lease.moved(SIGNER, at_home)
        found.start_validator(remote=True)  # it makes a key and a state of its own, and waits
        state = found.home / "data" / "priv_validator_state.json"
        until("it forgot", lambda: json.loads(state.read_text())["height"] == "0")
        found.kill("validator")
        again = found.left_at_home()
        assert again == at_home
        done = found.gate()
        assert done.returncode == 0, done.stderr
        assert found.signed() == at_home
        found.start_validator(remote=True)
        found.start_signer()
        yield found


def test_blocks_go_on_where_the_validator_ended_without_its_key(network: Network) -> None:
    carried = network.lease.signed.height
    network.reaches(carried + 5)
    made = json.loads((network.home / "config" / "priv_validator_key.json").read_text())
    assert made["address"] != network.lease.address, "the program makes one of its own, unused"
    assert network.signed().height > carried
    blocks = network.blocks()
    assert sorted(blocks) == list(range(1, max(blocks) + 1))


def test_a_signer_that_is_killed_goes_on_with_what_it_remembers(network: Network) -> None:
    network.kill("signer")
    before = network.signed()
    assert network.gate(begun=network.lease.fence).returncode == 0
    assert network.signed() == before
    network.start_signer()
    network.reaches(before.height + 3)


def test_a_validator_that_was_put_back_gets_no_second_signature(network: Network) -> None:
    """The home of some blocks ago asks for other votes for heights that were signed."""
    at = network.height()
    network.kill("validator", "signer")
    old = network.top / "old-home"
    shutil.copytree(network.home, old)
    network.start_validator(remote=True)
    network.start_signer()
    network.reaches(at + 6)
    network.kill("validator", "signer")
    signed = network.signed()
    newest = network.top / "newest-home"
    network.home.rename(newest)
    old.rename(network.home)
    try:
        network.start_validator(remote=True)
        network.start_signer()
        refused = network.log("signer")
        until("tmkms refuses", lambda: "regression" in refused.read_text(), 60)
        time.sleep(2)  # a second signature would come by now
        assert network.signed() == signed
        assert network.height() < signed.height
    finally:
        network.kill("validator", "signer")
        shutil.rmtree(network.home)
        newest.rename(network.home)
    network.start_validator(remote=True)
    network.start_signer()
    network.reaches(signed.height + 3)
    assert sorted(network.blocks())[0] == 1


def test_a_signer_and_a_validator_that_were_both_put_back_are_refused(network: Network) -> None:
    """tmkms would sign: it knows no more than its file. The lease knows what was noted."""
    old = (network.state / "state.json").read_text()
    network.reaches(network.signed().height + 3)
    network.kill("signer")
    newest = (network.state / "state.json").read_text()
    network.lease = leases.noted(network.lease, of_file(newest, "state"))
    (network.state / "state.json").write_text(old)
    done = network.gate(begun=network.lease.fence)
    assert done.returncode == 1
    assert "an older volume was put back" in done.stderr
    (network.state / "state.json").write_text(newest)
    assert network.gate(begun=network.lease.fence).returncode == 0
    network.start_signer()
    network.reaches(of_file(newest, "state").height + 2)


def test_a_volume_that_is_lost_is_taken_over_above_all_that_was_signed(network: Network) -> None:
    network.kill("signer")
    last = network.signed()
    shutil.rmtree(network.state)
    assert "is empty, and the key has signed" in network.gate(begun=network.lease.fence).stderr
    over = leases.taken_over(network.lease, "dev", "uid", replace(last, block="null"), "shredded")
    begun, network.lease = network.lease.fence, over
    done = network.gate(begun=begun)
    assert done.returncode == 0, done.stderr
    assert not network.signed().behind(last)
