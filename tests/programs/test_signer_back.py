"""A real validator whose key comes back from a real tmkms, by the scripts of their pods. It is the
only one: what it may not sign again would be a block that never comes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from signed_network import Network, network_of

from disco.chains import lease as leases
from disco.chains.lease import HOME
from disco.engine.errors import DiscoError
from disco.layers.akash.signer_pods import signed_at_signer


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with network_of(tmp_path) as found:
        yield found


def at_home(network: Network) -> tuple[int, int, int]:
    text = (network.home / "data" / "priv_validator_state.json").read_text()
    data = json.loads(text)
    return int(data["height"]), data["round"], data["step"]


def test_blocks_go_on_above_what_was_signed_there_and_back_and_there_again(
    network: Network,
) -> None:
    """Killed in the middle of blocks each time; heights only rise, and none has two votes."""
    heights = [network.height()]
    for _ in range(2):
        network.goes_there()
        heights.append(network.reaches(heights[-1] + 5))
        told = network.comes_back()
        assert f"key=here address={network.lease.address} fence={network.lease.fence} " in told
        laid = network.lease.signed
        assert at_home(network) >= (laid.height, laid.round, laid.step + 1)
        key = json.loads((network.home / "config" / "priv_validator_key.json").read_text())
        assert key["address"] == network.lease.address
        heights.append(network.reaches(heights[-1] + 5))
        assert at_home(network)[0] > laid.height
    assert (network.lease.fence, network.lease.place) == (5, HOME)
    blocks = network.blocks()
    assert sorted(blocks) == list(range(1, max(blocks) + 1))


def test_a_signer_that_runs_on_keeps_its_key(network: Network) -> None:
    """As of a pod that was deleted by force: its process has the lock of its volume."""
    network.goes_there()
    network.reaches(network.lease.signed.height + 3)
    refused = network.gate(begun=network.lease.begun, leaving=True)
    assert refused.returncode == 1
    assert "another process signs on its volume" in refused.stderr
    assert (network.top / "gate").read_text().startswith("fence=2 refused=another process")
    network.reaches(network.height() + 3)


def test_a_key_that_came_back_is_given_to_no_signer(network: Network) -> None:
    """Nor does a validator sign whose volume is from before its key came back."""
    network.goes_there()
    network.reaches(network.lease.signed.height + 3)
    network.comes_back()
    done = network.gate(begun=network.lease.begun)
    assert done.returncode == 1
    assert "the key is leased to validator, not to a signer" in done.stderr
    network.reaches(network.lease.signed.height + 3)
    network.kill("validator")
    (network.home / "data" / "priv_validator_state.json").write_text(
        '{"height": "2", "round": 0, "step": 3}'
    )
    with pytest.raises(subprocess.CalledProcessError) as refused:
        network.lay_home(remote=False)
    assert b"an older volume was put back" in refused.value.stderr


def test_an_older_volume_of_a_signer_gives_no_key_back(network: Network) -> None:
    """Whatever the ConfigMaps of the cluster say of it: the store knows that it has signed."""
    network.goes_there()
    network.reaches(network.lease.signed.height + 3)
    network.kill("signer")
    newest = network.signed()
    network.lease = leases.noted(network.lease, newest)
    older = {"height": str(newest.height - 2), "round": "0", "step": 2, "block_id": None}
    (network.state / "state.json").write_text(json.dumps(older))
    assert network.gate(begun=network.lease.begun, leaving=True).returncode == 1
    (network.state / "lease").write_text(
        f"address={network.lease.address}\nfence=1\nchain=disco-local-1\n"
    )
    assert network.gate(begun=0, leaving=True).returncode == 0, "the ConfigMap was put back, too"
    with pytest.raises(DiscoError, match="is not the one that remembers"):
        signed_at_signer((network.top / "gate").read_text(), network.lease, "signer-0-0")
