"""A devnet whose validators' keys go to tmkms and back: all sign, none twice, and what would make a
key sign twice is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from stack import UP_S, LabStack, lab_stack, until
from test_chain import height
from tools import Tools

from disco.chains import lease as leases
from disco.engine.secret import SecretRef

NETWORK = "10.88.233.0/24"
LOCAL = f"""\
name: lab-signer
servers: {{provider: local, count: 1, network: {NETWORK}}}
kubernetes: {{metrics_server: false}}
chains:
  akash: {{validators: 2}}
"""
SIGNERS = LOCAL.replace("validators: 2", "validators: 2, signer: {}")
VALIDATORS = ("validator-0", "validator-1")
NODE = ("-n", "akash")
STATE = "/state/state.json"
KEY_FILE = "/home/chain/config/priv_validator_key.json"
BLOCKS = 20  # at once, as CometBFT gives them
NO_EVIDENCE = hashlib.sha256(b"").hexdigest().upper()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("signer"), LOCAL) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


@pytest.fixture(scope="module")
def t(stack: LabStack) -> Tools:
    return Tools(stack)


def test_keys_of_a_running_network_go_to_signers_and_every_block_has_one_vote_of_each(
    stack: LabStack, t: Tools
) -> None:
    before = height(stack, "validator-0")
    homes = {v: signed_at_home(t, v) for v in VALIDATORS}
    stack.file.write_text(SIGNERS)
    stack.must("apply", "--yes", within_s=UP_S)
    assert "Nothing to do" in stack.disco("apply", "--yes").stderr

    until("blocks go on", lambda: height(stack, "validator-0") > before + 5, 60)
    for number, validator in enumerate(VALIDATORS):
        lease = lease_of(t, validator)
        assert (lease["place"], lease["begun"], lease["fence"]) == ("signer", 2, 2)
        assert lease["signed"]["height"] >= homes[validator]
        assert signed_by_signer(t, number) > lease["signed"]["height"]
        made = t.kubectl(*NODE, "exec", validator, "--", "cat", KEY_FILE)
        assert json.loads(made)["address"] != lease["address"], "the node makes one of its own"
    assert "not found" in failure(t, *NODE, "get", "secret", "keys")
    code, rows = t.checks("chain")
    assert code == 0, rows
    assert no_double_signs(t, height(stack, "validator-0")) > 0


def test_a_signer_that_was_deleted_signs_again_with_what_it_remembers(
    stack: LabStack, t: Tools
) -> None:
    before = signed_by_signer(t, 0)
    t.kubectl(*NODE, "delete", "pod", "signer-0-0")
    until("it signs again", lambda: signed_or_none(t, 0) > before + 3, 90)
    assert lease_of(t, "validator-0")["fence"] == 2


def test_a_second_pod_of_a_signer_is_refused_and_the_first_signs_on(
    stack: LabStack, t: Tools
) -> None:
    t.kubectl(*NODE, "scale", "statefulset", "signer-0", "--replicas", "2")
    try:
        said = until("it is refused", lambda: gate_of(t, "signer-0-1"), 60)
        assert "two of them would sign twice" in said
        before = signed_by_signer(t, 0)
        until("the first signs on", lambda: signed_by_signer(t, 0) > before + 2, 60)
    finally:
        t.kubectl(*NODE, "scale", "statefulset", "signer-0", "--replicas", "1")
        t.kubectl(*NODE, "delete", "persistentvolumeclaim/state-signer-0-1", "--wait=false")


def test_an_older_state_that_is_put_back_is_refused(stack: LabStack, t: Tools) -> None:
    """As a volume from a backup would; blocks stand still, and nothing is signed twice."""
    old = t.kubectl(*NODE, "exec", "signer-1-0", "--", "cat", STATE)
    before = signed_by_signer(t, 1)
    until("it has signed more", lambda: signed_by_signer(t, 1) > before + 3, 60)
    stack.must("signer", "note")
    newest = t.kubectl(*NODE, "exec", "signer-1-0", "--", "cat", STATE)
    put_back(t, old)
    try:
        said = until("it is refused", lambda: gate_of(t, "signer-1-0"), 90)
        assert "an older volume was put back" in said
    finally:
        put_back(t, newest)
    until("it signs again", lambda: signed_or_none(t, 1) > before + 4, 120)
    assert no_double_signs(t, height(stack, "validator-0")) > 0


def test_a_stack_with_the_same_keys_and_another_name_is_refused(stack: LabStack, t: Tools) -> None:
    """Its cluster is the same machine's: what differs is who asks."""
    lease = lease_of(t, "validator-0")
    path = leases.path_of(lease["address"])
    was = t.store.shelf.file(path)
    other = json.dumps({**lease, "stack": "another"}).encode()
    t.store.shelf.write("As if another stack had it", files={path: other})
    try:
        code, rows = t.checks("chain/akash/signers")
        assert code == 3
        assert "is leased to the stack another" in rows["chain/akash/signers"].evidence
        done = stack.disco("apply", "--yes", within_s=300)
        assert done.returncode == 1
        assert "is leased to the stack another" in done.stdout + done.stderr
    finally:
        t.store.shelf.write("As it was", files={path: was})
    assert t.checks("chain/akash/signers")[0] == 0


def test_keys_come_back_with_what_was_signed_and_blocks_go_on(stack: LabStack, t: Tools) -> None:
    before = height(stack, "validator-0")
    there = {v: signed_by_signer(t, n) for n, v in enumerate(VALIDATORS)}
    stack.file.write_text(LOCAL)
    refused = stack.disco("apply", "--yes")
    assert refused.returncode == 2 and "--allow-destroy" in refused.stderr
    stack.must("apply", "--yes", "--allow-destroy", within_s=UP_S)
    assert "Nothing to do" in stack.disco("apply", "--yes").stderr

    until("blocks go on", lambda: height(stack, "validator-0") > before + 5, 60)
    for row in json.loads(stack.must("signer", "status", "--json")):
        validator, lease = row["validator"], lease_of(t, row["validator"])
        assert (row["here"], lease["place"], lease["fence"]) == (True, "validator", 3)
        assert lease["signed"]["height"] >= there[validator]
        assert signed_at_home(t, validator) > lease["signed"]["height"]
        made = t.kubectl(*NODE, "exec", validator, "--", "cat", KEY_FILE)
        assert json.loads(made)["address"] == lease["address"]
    until("nothing is left of them", lambda: not of_signers(t), 120, told=lambda: of_signers(t))
    code, rows = t.checks("chain")
    assert code == 0, rows
    assert no_double_signs(t, height(stack, "validator-0")) > before


def of_signers(t: Tools) -> list[str]:
    """What there is because of them; pods and volumes go some seconds after their owner."""
    kinds = "pods,statefulsets,secrets,configmaps,persistentvolumeclaims,networkpolicies"
    found = t.kubectl(*NODE, "get", kinds, "-o", "name").split()
    return [x for x in found if any(w in x for w in ("signer", "node-keys", "begun"))]


def signed_at_home(t: Tools, validator: str) -> int:
    path = "/home/chain/data/priv_validator_state.json"
    return int(json.loads(t.kubectl(*NODE, "exec", validator, "--", "cat", path))["height"])


def signed_by_signer(t: Tools, number: int) -> int:
    text = t.kubectl(*NODE, "exec", f"signer-{number}-0", "--", "cat", STATE)
    return int(json.loads(text)["height"])


def signed_or_none(t: Tools, number: int) -> int:
    """What it signed last; nothing while its pod does not run."""
    done = t._program("kube", "kubectl", *NODE, "exec", f"signer-{number}-0", "--", "cat", STATE)
    return int(json.loads(done.stdout)["height"]) if done.returncode == 0 else 0


def lease_of(t: Tools, validator: str) -> dict[str, Any]:
    address = t.store.lookup(SecretRef(f"chains/akash/{validator}/validator", "address"))
    content = t.store.shelf.file(leases.path_of(address))
    assert content is not None
    found: dict[str, Any] = json.loads(content)
    return found


def failure(t: Tools, *words: str) -> str:
    done: subprocess.CompletedProcess[str] = t._program("kube", "kubectl", *words)
    assert done.returncode != 0
    return done.stderr


def gate_of(t: Tools, pod: str) -> str:
    """What its gate says against it."""
    done = t._program("kube", "kubectl", *NODE, "logs", pod, "-c", "gate")
    return done.stdout + done.stderr if "refused to start" in done.stdout + done.stderr else ""


def put_back(t: Tools, state: str) -> None:
    """On the volume of signer-1, while its pod is away."""
    t.kubectl(*NODE, "scale", "statefulset", "signer-1", "--replicas", "0")
    t.kubectl(*NODE, "wait", "--for=delete", "pod/signer-1-0", "--timeout=60s")
    (file,) = t.root.glob("**/*_akash_state-signer-1-0/state.json")
    file.write_text(state)
    t.kubectl(*NODE, "scale", "statefulset", "signer-1", "--replicas", "1")


def no_double_signs(t: Tools, last: int) -> int:
    """How many blocks were looked at: none has evidence of a double sign in it."""
    heights: set[int] = set()
    for top in range(last, 0, -BLOCKS):
        asked = f"blockchain?minHeight={max(1, top - BLOCKS + 1)}&maxHeight={top}"
        for block in t.rpc("validator-0", asked)["block_metas"]:
            assert block["header"]["evidence_hash"] == NO_EVIDENCE, block["header"]["height"]
            heights.add(int(block["header"]["height"]))
    assert heights == set(range(1, last + 1))
    return len(heights)
