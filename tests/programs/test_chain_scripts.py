"""The two scripts in a chain's pod, run by a real shell. The chain's program is a stand-in of three
lines: what is tested is what the scripts do with what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from charts_helm import ROOT

FILES = ROOT / "charts" / "chain" / "files"
PATH = "/usr/bin:/bin"
# The pod's user may not write to a file of mode 0400, as root may.
AS_IN_A_POD = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override"]
PROGRAM = """#!/bin/sh
while [ "$1" != --home ]; do shift; done
mkdir -p "$2/config" "$2/data"
echo made >> "$2/config/config.toml"
echo '{"height": "0", "round": 0, "step": 0}' > "$2/data/priv_validator_state.json"
echo random > "$2/config/priv_validator_key.json"
"""


@dataclass
class Volume:
    """A pod's volume, its Secret and its ConfigMap."""

    top: Path
    chain: str = "a-1"
    role: str = "validator"
    remote_signer: bool = False
    peers: str = ""

    def __post_init__(self) -> None:
        (self.top / "keys").mkdir()
        (self.top / "home").mkdir()
        (self.top / "program").write_text(PROGRAM)
        (self.top / "program").chmod(0o755)
        (self.top / "resolv.conf").write_text("search akash.svc.c.local svc.c.local c.local x\n")
        self.genesis(self.chain)
        self.key("validator-0", "AA")

    def genesis(self, chain: str) -> None:
        text = json.dumps({"chain_id": chain, "app_state": {"chain_id": "inner"}})
        (self.top / "genesis.json").write_text(text)

    def key(self, pod: str, address: str) -> None:
        text = json.dumps({"address": address, "priv_key": {"value": f"secret of {address}"}})
        path = self.top / "keys" / f"{pod}.priv_validator_key.json"
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o440)

    def start(self) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.top}/bin:{PATH}",
            "POD": "validator-0",
            "ROLE": self.role,
            "BINARY": str(self.top / "program"),
            "CHAIN_ID": self.chain,
            "CHAIN_HOME": str(self.top / "home"),
            "GENESIS": str(self.top / "genesis.json"),
            "KEYS": str(self.top / "keys"),
            "REMOTE_SIGNER": str(self.remote_signer).lower(),
            "PEERS": self.peers,
            "RESOLV": str(self.top / "resolv.conf"),
            "LEASE": str(self.top / "lease"),
            "RESULT": str(self.top / "told"),
        }
        command = ["sh", str(FILES / "home.sh"), "init", "validator-0"]
        command = [*AS_IN_A_POD, *command] if os.geteuid() == 0 else command
        return subprocess.run(
            command, env=environment, text=True, capture_output=True, timeout=20, check=False
        )

    def file(self, name: str) -> Path:
        return self.top / "home" / name

    def refusal(self) -> str:
        done = self.start()
        assert done.returncode == 1, done.stdout
        return done.stderr


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def test_an_empty_volume_gets_a_home_with_the_given_genesis_and_key(volume: Volume) -> None:
    done = volume.start()
    assert done.returncode == 0, done.stderr
    assert json.loads(volume.file("config/genesis.json").read_text())["chain_id"] == "a-1"
    key = volume.file("config/priv_validator_key.json")
    assert json.loads(key.read_text())["address"] == "AA"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_node_with_peers_starts_when_the_cluster_answers_names(volume: Volume) -> None:
    """Else it would drop them for good."""
    (volume.top / "bin").mkdir()
    lookup = volume.top / "bin" / "nslookup"
    lookup.write_text(
        f'#!/bin/sh\necho "$*" >> {volume.top}/asked; [ "$(wc -l < {volume.top}/asked)" -gt 2 ]\n'
    )
    lookup.chmod(0o755)
    volume.peers = "id@validator-1.validator:26656"

    assert volume.start().returncode == 0

    asked = (volume.top / "asked").read_text().splitlines()
    assert asked == ["kubernetes.default.svc.c.local"] * 3


def test_a_home_is_made_once_and_what_was_signed_is_kept(volume: Volume) -> None:
    volume.start()
    volume.file("data/priv_validator_state.json").write_text(
        '{"height": "7", "round": 0, "step": 3}'
    )
    volume.file("config/config.toml").write_text("mine")
    assert volume.start().returncode == 0
    assert "7" in volume.file("data/priv_validator_state.json").read_text()
    assert volume.file("config/config.toml").read_text() == "mine"


def test_a_home_that_was_cut_off_while_it_was_made_is_made_anew(volume: Volume) -> None:
    volume.file(".new/config").mkdir(parents=True)
    volume.file("config").mkdir()
    assert volume.start().returncode == 0
    assert volume.file("config/config.toml").read_text() == "made\n"
    assert not volume.file(".new").exists()


def test_a_key_that_was_cut_off_while_it_was_placed_is_placed_anew(volume: Volume) -> None:
    volume.start()
    half = volume.file("config/.priv_validator_key.json")
    half.write_text("half")
    half.chmod(0o400)
    assert volume.start().returncode == 0
    assert not half.exists()


def test_a_home_of_another_chain_is_refused(volume: Volume) -> None:
    volume.start()
    volume.chain = "b-1"
    volume.genesis("b-1")
    assert "home of chain a-1, not b-1" in volume.refusal()


def test_a_home_of_another_chain_is_known_by_its_genesis_too(volume: Volume) -> None:
    volume.start()
    volume.file("chain-id").unlink()
    volume.chain = "b-1"
    volume.genesis("b-1")
    assert "home of chain a-1, not b-1" in volume.refusal()


def test_a_home_of_another_validator_is_refused_and_left_as_it_was(volume: Volume) -> None:
    volume.start()
    volume.key("validator-0", "BB")
    words = volume.refusal()
    assert "validator AA" in words
    assert "key of BB" in words
    assert "secret" not in words
    assert "AA" in volume.file("config/priv_validator_key.json").read_text()


def test_a_home_of_another_validator_is_known_by_its_key_too(volume: Volume) -> None:
    volume.start()
    volume.file("validator").unlink()
    volume.key("validator-0", "BB")
    assert "validator AA" in volume.refusal()


def test_what_was_signed_stays_with_its_validator_when_the_config_is_lost(volume: Volume) -> None:
    volume.start()
    volume.file("config").rename(volume.top / "lost")
    volume.key("validator-0", "BB")
    assert "validator AA" in volume.refusal()


def test_one_key_for_two_pods_is_refused(volume: Volume) -> None:
    volume.key("validator-1", "AA")
    assert "validator-1.priv_validator_key.json is the same key" in volume.refusal()


def test_a_genesis_of_another_chain_is_refused(volume: Volume) -> None:
    volume.genesis("b-1")
    assert "genesis is of chain b-1, not a-1" in volume.refusal()


def test_a_validator_without_a_key_is_refused(volume: Volume) -> None:
    (volume.top / "keys" / "validator-0.priv_validator_key.json").unlink()
    assert "no key validator-0.priv_validator_key.json" in volume.refusal()


def test_a_validator_with_a_remote_signer_has_no_key_of_its_own(volume: Volume) -> None:
    volume.remote_signer = True
    assert volume.start().returncode == 0
    assert not volume.file("config/priv_validator_key.json").exists()


def test_a_full_node_never_gets_a_validators_key(volume: Volume) -> None:
    volume.role = "node"
    assert volume.start().returncode == 0
    assert volume.file("config/priv_validator_key.json").read_text() == "random\n"


@dataclass
class Node:
    """What a node says of itself, and the probe that asks it."""

    seen: Path
    url: str = ""
    height: int = 5
    catching_up: bool = False

    def ready(self) -> bool:
        environment = {
            "PATH": PATH,
            "STATUS_URL": self.url,
            "SEEN": str(self.seen),
            "STALL_SECONDS": "30",
        }
        command = ["sh", str(FILES / "ready.sh")]
        return subprocess.run(command, env=environment, timeout=20, check=False).returncode == 0

    def forget_for(self, seconds: int) -> None:
        """As if the height had last risen so long ago."""
        self.seen.write_text(f"{self.height} {int(time.time()) - seconds}\n")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    subject = Node(tmp_path / "seen")

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sync = {"latest_block_height": str(subject.height), "catching_up": subject.catching_up}
            body = json.dumps({"result": {"sync_info": sync}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Status)
    subject.url = f"http://127.0.0.1:{server.server_port}/status"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield subject
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_node_is_ready_once_its_height_was_seen_rising(node: Node) -> None:
    assert not node.ready()
    assert not node.ready()
    node.height += 1
    assert node.ready()


def test_a_node_stays_ready_between_two_blocks(node: Node) -> None:
    node.ready()
    node.height += 1
    node.ready()
    assert node.ready()


def test_a_node_of_a_chain_that_stands_still_is_not_ready(node: Node) -> None:
    node.forget_for(seconds=31)
    assert not node.ready()


def test_a_node_that_catches_up_is_not_ready_though_its_height_rises(node: Node) -> None:
    node.ready()
    node.height += 100
    node.catching_up = True
    assert not node.ready()


def test_a_node_that_fell_back_must_rise_again(node: Node) -> None:
    node.forget_for(seconds=60)
    node.height -= 1
    assert not node.ready()
    node.height += 1
    assert node.ready()


def test_a_node_that_does_not_answer_is_not_ready(node: Node) -> None:
    node.url = "http://127.0.0.1:1/status"
    assert not node.ready()


FORGOTTEN = '{"height": "0", "round": 0, "step": 0}'


def signing(volume: Volume) -> None:
    """It has its own key, and has signed height 41."""
    volume.start()
    state = {"height": "41", "round": 1, "step": 3, "signature": "x", "signbytes": "AB12"}
    volume.file("data/priv_validator_state.json").write_text(json.dumps(state, indent=2))


def test_what_was_signed_is_told_by_the_pod_that_has_no_key_any_more(volume: Volume) -> None:
    signing(volume)
    volume.remote_signer = True
    assert volume.start().returncode == 0
    told = "key=gone address=AA height=41 round=1 step=3 signbytes=AB12\n"
    assert (volume.top / "told").read_text() == told
    assert not volume.file("config/priv_validator_key.json").exists()


def test_it_is_told_again_after_the_program_has_forgotten_it(volume: Volume) -> None:
    """Without a key it makes one of its own, and a state that says that it never signed."""
    signing(volume)
    volume.remote_signer = True
    volume.start()
    told = (volume.top / "told").read_text()
    volume.file("data/priv_validator_state.json").write_text(FORGOTTEN)
    volume.key("made-by-itself", "CC")
    volume.file("config/priv_validator_key.json").write_text('{"address": "CC"}')
    assert volume.start().returncode == 0
    assert (volume.top / "told").read_text() == told


LEASE = "address=AA\nfence={}\nplace={}\nheight={}\nround=0\nstep=0\nblock=null\n"


@pytest.mark.parametrize(
    ("lease", "why"),
    [
        (LEASE.format(1, "signer", 0), "the key is leased to its signer"),
        (LEASE.format(1, "validator", 50), "the key had signed 50 before"),
        (LEASE.format(0, "validator", 0), "is given the older lease 0"),
        (LEASE.format(1, "validator", 0).replace("AA", "BB"), "the lease is for the key of BB"),
    ],
)
def test_a_validator_with_its_own_key_signs_where_the_lease_says_so(
    volume: Volume, lease: str, why: str
) -> None:
    (volume.top / "lease").write_text(LEASE.format(1, "validator", 0))
    signing(volume)
    assert volume.start().returncode == 0
    (volume.top / "lease").write_text(lease)
    assert why in volume.refusal()


def test_a_home_that_is_laid_for_another_lease_begins_where_that_says(volume: Volume) -> None:
    signing(volume)
    (volume.top / "lease").write_text(LEASE.format(2, "validator", 50))
    assert volume.start().returncode == 0
    state = json.loads(volume.file("data/priv_validator_state.json").read_text())
    assert state == {"height": "50", "round": 0, "step": 1}
    (volume.top / "lease").write_text(LEASE.format(3, "validator", 45))
    assert volume.start().returncode == 0
    assert json.loads(volume.file("data/priv_validator_state.json").read_text()) == state


def given_up(volume: Volume) -> None:
    """Its key was to go to a signer; the program has forgotten what it signed."""
    signing(volume)
    volume.remote_signer = True
    volume.start()
    volume.file("data/priv_validator_state.json").write_text(FORGOTTEN)
    volume.remote_signer = False


def test_a_key_that_was_not_handed_over_goes_on_with_what_was_noted(volume: Volume) -> None:
    given_up(volume)
    (volume.top / "lease").write_text(LEASE.format(1, "validator", 0))
    for _ in range(2):
        done = volume.start()
        assert done.returncode == 0, done.stderr
        state = json.loads(volume.file("data/priv_validator_state.json").read_text())
        assert state == {"height": "41", "round": 1, "step": 3}


def test_a_key_that_a_signer_may_have_used_does_not_come_back(volume: Volume) -> None:
    given_up(volume)
    assert "its key was given to a signer" in volume.refusal()
    (volume.top / "lease").write_text(LEASE.format(2, "signer", 60))
    assert "the key is leased to its signer" in volume.refusal()


def came_back(volume: Volume, height: int, round: int, step: int) -> dict[str, object]:
    """What it signs above, of a key that a signer had signed with up to there: tmkms counts steps
    from 0."""
    lease = f"address=AA\nfence=3\nplace=validator\nheight={height}\nround={round}\nstep={step}\n"
    (volume.top / "lease").write_text(f"{lease}block=null\n")
    done = volume.start()
    assert done.returncode == 0, done.stderr
    found = volume.file("data/priv_validator_state.json").read_text()
    state: dict[str, object] = json.loads(found)
    told = f"key=here address=AA fence=3 height={state['height']} round={state['round']}"
    assert (volume.top / "told").read_text() == f"{told} step={state['step']}\n"
    return state


@pytest.mark.parametrize(
    ("signed", "above"),
    [
        ((60, 0, 2), ("60", 0, 3)),
        ((41, 1, 2), ("41", 1, 3)),  # what the home had signed itself
        ((41, 2, 0), ("41", 2, 1)),
        ((41, 1, 3), ("41", 1, 4)),  # nobody knows for what: not even the same again
        ((41, 0, 2), ("41", 1, 3)),  # the home knows more
        ((41, 1, 1), ("41", 1, 3)),
        ((7, 0, 2), ("41", 1, 3)),
    ],
)
def test_a_key_that_came_back_signs_above_all_that_both_places_signed(
    volume: Volume, signed: tuple[int, int, int], above: tuple[str, int, int]
) -> None:
    given_up(volume)
    for _ in range(2):
        state = came_back(volume, *signed)
        assert (state["height"], state["round"], state["step"]) == above
    assert volume.file("fence").read_text() == "3\n"


def test_a_home_that_had_signed_is_not_touched_by_a_lease_that_says_the_same(
    volume: Volume,
) -> None:
    """It keeps the signature that it may give again."""
    signing(volume)
    before = volume.file("data/priv_validator_state.json").read_text()
    came_back(volume, 41, 1, 2)
    assert volume.file("data/priv_validator_state.json").read_text() == before


def test_a_home_that_never_had_its_key_gets_it_and_begins_above_its_signer(volume: Volume) -> None:
    """Its chain began with signers: the key on it is one that its program made for itself."""
    volume.remote_signer = True
    volume.start()
    volume.file("config/priv_validator_key.json").write_text('{"address": "CC"}')
    volume.file("data/priv_validator_state.json").write_text(FORGOTTEN)
    volume.remote_signer = False
    assert came_back(volume, 60, 0, 1)["height"] == "60"
    key = json.loads(volume.file("config/priv_validator_key.json").read_text())
    assert key["address"] == "AA"


@pytest.mark.parametrize("left", ["state", "note"])
def test_a_kill_while_the_key_comes_back_is_made_good(volume: Volume, left: str) -> None:
    """Between the state and the end of the note, and between the state and the fence."""
    given_up(volume)
    note = volume.file("signed").read_text()
    whole = came_back(volume, 60, 0, 1)
    if left == "note":
        volume.file("signed").write_text(note)
    else:
        volume.file("fence").unlink()
    assert came_back(volume, 60, 0, 1) == whole
    assert not volume.file("signed").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"height": "4", "round": 0', '{"height": "x"}'])
def test_a_state_that_can_not_be_read_is_refused(volume: Volume, text: str) -> None:
    signing(volume)
    (volume.top / "lease").write_text(LEASE.format(1, "validator", 0))
    volume.file("data/priv_validator_state.json").write_text(text)
    assert "a state that can't be read" in volume.refusal()
    assert (volume.top / "told").read_text().startswith("fence=1 refused=its volume holds")


def test_a_lease_that_can_not_be_read_is_refused(volume: Volume) -> None:
    signing(volume)
    (volume.top / "lease").write_text("address=AA\nfence=2\nplace=validator\nheight=\n")
    assert "its lease can't be read" in volume.refusal()


def test_an_earlier_vote_for_the_same_height_is_an_older_volume(volume: Volume) -> None:
    signing(volume)
    came_back(volume, 60, 1, 2)
    older = {"height": "60", "round": 1, "step": 1}
    volume.file("data/priv_validator_state.json").write_text(json.dumps(older))
    assert "an older volume was put back" in volume.refusal()
