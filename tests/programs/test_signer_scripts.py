"""The gate of a signer, run by a real shell on a volume that was tampered with: a key that forgot
what it signed must never sign."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from charts_helm import ROOT, program

from disco.chains.lease import HOME, SIGNER, Lease
from disco.chains.signed import Signed
from disco.store.generate import CometValidatorKey

FILES = ROOT / "charts" / "signer" / "files"
BLOCK = '{"hash":"AB","parts":{"total":1,"hash":"CD"}}'
LEASE = Lease("AA", "a-1", "s", "c", SIGNER, 2, Signed(40, 1, 2, BLOCK))


@dataclass
class Signer:
    """A signer's volume, its Secret, and what its pod is told."""

    top: Path
    lease: Lease = LEASE
    begun: str = ""
    chain: str = "a-1"
    pod: str = "signer-0-0"
    key: str = "AA"
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.top / "state"

    def start(self) -> subprocess.CompletedProcess[str]:
        self.state.mkdir(exist_ok=True)
        (self.top / "lease").write_bytes(self.lease.lines())
        key = {"address": self.key, "priv_key": {"value": "secret"}}
        (self.top / "key.json").write_text(json.dumps(key, indent=2))
        environment = {
            "PATH": "/usr/bin:/bin",
            "LEASE": str(self.top / "lease"),
            "KEY": str(self.top / "key.json"),
            "STATE": str(self.state),
            "CHAIN_ID": self.chain,
            "POD": self.pod,
            "SIGNER": "signer-0",
            "BEGUN": self.begun,
            "RESULT": str(self.top / "told"),
            **self.extra,
        }
        return subprocess.run(
            ["sh", str(FILES / "gate.sh")],
            env=environment,
            text=True,
            capture_output=True,
            timeout=20,
        )

    def opens(self) -> str:
        done = self.start()
        assert done.returncode == 0, done.stderr
        return (self.top / "told").read_text()

    def refusal(self) -> str:
        """What it says; nothing on the volume is another by it."""
        before = self.content()
        done = self.start()
        assert done.returncode == 1, done.stdout
        assert self.content() == before
        assert "secret" not in done.stderr
        return done.stderr

    def content(self) -> dict[str, str]:
        self.state.mkdir(exist_ok=True)
        return {p.name: p.read_text() for p in self.state.iterdir()}

    def signs(self, height: int, round: int = 0, step: int = 2) -> None:
        """As tmkms writes it."""
        state = {"height": str(height), "round": str(round), "step": step, "block_id": None}
        (self.state / "state.json").write_text(json.dumps(state))


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture
def signing(signer: Signer) -> Signer:
    """It has begun, and has signed height 50."""
    signer.opens()
    signer.begun = "2"
    signer.signs(50)
    return signer


def test_an_empty_volume_begins_where_the_validator_ended(signer: Signer) -> None:
    assert signer.opens() == "address=AA fence=2 height=40 round=1 step=2\n"
    state = json.loads((signer.state / "state.json").read_text())
    assert state == {"height": "40", "round": "1", "step": 2, "block_id": json.loads(BLOCK)}
    assert (signer.state / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_signer_that_starts_again_goes_on_with_what_it_has(signing: Signer) -> None:
    before = signing.content()
    assert "height=50" in signing.opens()
    assert signing.content() == before


def test_laying_it_twice_before_it_begins_is_laying_it_once(signer: Signer) -> None:
    signer.opens()
    before = signer.content()
    signer.opens()
    assert signer.content() == before


def test_a_kill_between_state_and_note_is_made_good(signer: Signer) -> None:
    signer.opens()
    whole = signer.content()
    (signer.state / "lease").unlink()
    (signer.state / "laying").write_text("AA on a-1\n")
    signer.opens()
    assert signer.content() == whole


def test_a_state_of_nobody_is_refused(signer: Signer) -> None:
    signer.opens()
    (signer.state / "lease").unlink()
    assert "no lease was noted" in signer.refusal()


@pytest.mark.parametrize("height", [0, 39])
def test_an_older_state_that_was_put_back_is_refused(signing: Signer, height: int) -> None:
    signing.signs(height)
    assert "the key had signed 40/1/2 before" in signing.refusal()


@pytest.mark.parametrize(("round", "step"), [(0, 2), (1, 1), (1, 0)])
def test_so_is_an_earlier_vote_for_the_same_height(signing: Signer, round: int, step: int) -> None:
    signing.signs(40, round, step)
    assert "an older volume was put back" in signing.refusal()


def test_what_was_noted_later_counts(signing: Signer) -> None:
    signing.lease = replace(LEASE, signed=Signed(60, 0, 2))
    assert "the key had signed 60/0/2 before" in signing.refusal()


def test_a_volume_that_was_lost_is_refused(signing: Signer) -> None:
    shutil.rmtree(signing.state)
    assert "is empty, and the key has signed" in signing.refusal()


def test_a_state_that_was_lost_is_refused_also_before_it_began(signer: Signer) -> None:
    signer.opens()
    (signer.state / "state.json").unlink()
    assert "has lost what the key has signed" in signer.refusal()


def test_a_volume_of_another_key_is_refused(signing: Signer) -> None:
    signing.key = "BB"
    signing.lease = replace(LEASE, address="BB")
    assert "holds what AA has signed, the key is that of BB" in signing.refusal()


def test_a_volume_of_another_chain_is_refused(signing: Signer) -> None:
    signing.chain = "b-1"
    assert "signed on a-1, not on b-1" in signing.refusal()


def test_a_key_that_the_lease_is_not_for_is_refused(signer: Signer) -> None:
    signer.key = "BB"
    assert "the lease is for AA" in signer.refusal()


def test_a_second_pod_of_a_scaled_set_is_refused(signing: Signer) -> None:
    signing.pod = "signer-0-1"
    assert "two of them would sign twice" in signing.refusal()


def test_a_key_that_is_with_its_validator_is_refused(signer: Signer) -> None:
    signer.lease = replace(LEASE, place=HOME)
    assert "leased to validator, not to a signer" in signer.refusal()


def test_a_store_that_went_back_is_refused(signing: Signer) -> None:
    signing.lease = replace(LEASE, fence=1)
    assert "is given the older lease 1" in signing.refusal()


def test_a_volume_from_before_a_take_over_is_taken_further_once(signing: Signer) -> None:
    signing.lease = replace(LEASE, fence=3, signed=Signed(80))
    assert "fence=3 height=80" in signing.opens()
    signing.begun = "3"
    signing.signs(90)
    assert "height=90" in signing.opens()


def test_a_volume_from_before_a_take_over_is_refused_after_signing_went_on(
    signing: Signer,
) -> None:
    signing.lease = replace(LEASE, fence=3, signed=Signed(80))
    signing.begun = "3"
    assert "signing went on under 3" in signing.refusal()


def test_a_take_over_never_takes_a_newer_state_back(signing: Signer) -> None:
    signing.lease = replace(LEASE, fence=3, signed=Signed(45))
    assert "fence=3 height=50" in signing.opens()


@pytest.mark.parametrize(
    "text", ["", "{}", '{"height": "x", "round": "0", "step": 1}', '{"height"']
)
def test_a_state_that_can_not_be_read_is_refused(signing: Signer, text: str) -> None:
    (signing.state / "state.json").write_text(text)
    assert "its volume holds" in signing.refusal()


@pytest.mark.parametrize("year", [2001, 2091])
def test_no_clock_decides_anything(signing: Signer, year: int) -> None:
    """No lease ends by time, and no volume is newer by its dates: what is refused stays so."""
    at = datetime(year, 1, 1, tzinfo=UTC).timestamp()
    told = signing.top / "bin"
    told.mkdir()
    (told / "date").write_text(f"#!/bin/sh\ntouch {told}/asked\necho {at:.0f}\n")
    (told / "date").chmod(0o755)
    signing.extra = {"PATH": f"{told}:/usr/bin:/bin"}
    for name in signing.content():
        os.utime(signing.state / name, (at, at))
    assert "height=50" in signing.opens()
    signing.signs(39)
    os.utime(signing.state / "state.json", (at, at))
    assert "an older volume was put back" in signing.refusal()
    assert not (told / "asked").exists()


def test_two_on_one_volume_do_not_run_at_once(tmp_path: Path) -> None:
    """A stand-in for tmkms of three lines: what is tested is that the script runs one of them."""
    state, program = tmp_path / "state", tmp_path / "tmkms"
    state.mkdir()
    (state / "lease").write_text("address=AA\nfence=2\nchain=a-1\n")
    program.write_text('#!/bin/sh\n[ "$1" = start ] || exit 0\necho runs\nexec sleep 60\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "STATE": str(state),
        "BEGUN": "2",
        "CONFIG": "none",
        "CONNECTION": str(tmp_path / "connection"),
    }
    command = ["sh", str(FILES / "sign.sh")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "runs\n"
        second = subprocess.run(
            command, env=environment, text=True, capture_output=True, timeout=20
        )
        assert second.returncode == 1
        assert "another process signs on this volume" in second.stderr
        first.terminate()
        first.communicate(timeout=20)
    environment["BEGUN"] = "3"
    third = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=20)
    assert third.returncode == 1
    assert "laid for lease 2, and signing is for lease 3" in third.stderr


SIGNS = """#!/bin/sh
[ "$1" = start ] || exit 0
put() {
  printf '{"height":"%s","round":"0","step":%s,"block_id":null}' "$1" "$2" > "$STATE/new"
  mv "$STATE/new" "$STATE/state.json"
}
height=1
while [ "$height" -lt 1000 ]; do
  for step in 0 1 2; do put "$height" "$step"; sleep 0.02; done
  sleep 0.15
  height=$((height + 1))
done
"""


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.04, 0.06, 0.1, 0.14, 0.18])
def test_a_signer_that_is_told_to_end_does_so_between_two_blocks(
    tmp_path: Path, after_s: float
) -> None:
    """A stand-in for tmkms signs a proposal and two votes for each block; the last is a precommit
    that was heard, whenever it is told."""
    state, stand_in = tmp_path / "state", tmp_path / "tmkms"
    state.mkdir()
    (state / "lease").write_text("address=AA\nfence=2\nchain=a-1\n")
    stand_in.write_text(SIGNS)
    stand_in.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "STATE": str(state),
        "BEGUN": "2",
        "CONFIG": "none",
        "CONNECTION": str(tmp_path / "connection"),
    }
    with subprocess.Popen(["sh", str(FILES / "sign.sh")], env=environment) as process:
        while not (state / "state.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.1 + after_s)
        process.terminate()
        assert process.wait(timeout=20) == 0
    last = json.loads((state / "state.json").read_text())
    time.sleep(0.3)
    assert json.loads((state / "state.json").read_text()) == last, "nothing signs on"
    assert last["step"] == 2


@pytest.mark.parametrize(("state", "told"), [(None, "added consensus"), ("{}", "error parsing")])
def test_tmkms_itself_takes_the_key_and_the_state_that_the_gate_laid(
    signer: Signer, state: str | None, told: str
) -> None:
    """The real one; its validator is a port that nobody listens on."""
    tmkms = Path(program("tmkms"))
    fields = CometValidatorKey().make()
    signer.key = fields["address"]
    block = json.dumps({"hash": "AB" * 32, "parts": {"total": 1, "hash": "CD" * 32}})
    signed = Signed(40, 1, 2, block)
    signer.lease = replace(LEASE, address=signer.key, chain_id="a-1", signed=signed)
    signer.opens()
    (signer.top / "key.json").write_text(fields["json"])
    if state is not None:
        (signer.state / "state.json").write_text(state)
    before = signer.content()["state.json"]
    config = signer.top / "tmkms.toml"
    config.write_text(
        f"""
[[chain]]
id = "a-1"
key_format = {{ type = "hex" }}
state_file = "{signer.state}/state.json"
[[providers.softsign]]
chain_ids = ["a-1"]
key_type = "consensus"
key_format = "json"
path = "{signer.top}/key.json"
[[validator]]
chain_id = "a-1"
addr = "tcp://127.0.0.1:1"
secret_key = "{signer.top}/connection"
protocol_version = "v0.34"
"""
    )
    environment = {
        "PATH": f"{tmkms.parent}:/usr/bin:/bin",
        "HOME": str(signer.top),
        "STATE": str(signer.state),
        "BEGUN": "2",
        "CONFIG": str(config),
        "CONNECTION": str(signer.top / "connection"),
    }
    command = ["timeout", "2", "sh", str(FILES / "sign.sh")]
    done = subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=20, check=False
    )
    assert told in done.stdout + done.stderr
    assert signer.content()["state.json"] == before
    assert fields["priv_key"] not in done.stdout + done.stderr
