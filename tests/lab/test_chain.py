"""The chain keeps what it has: volumes survive the pods, and one key is never used twice."""

from __future__ import annotations

import json
from typing import Any

from stack import UP_S, LabStack, until

from disco.engine.secret import SecretRef
from disco.store.store import Store
from disco.store.team.layout import owed_of

TOKEN = "kubernetes/bootstrap-token"


def status(stack: LabStack, pod: str) -> dict[str, Any]:
    path = f"/api/v1/namespaces/akash/pods/{pod}:26657/proxy/status"
    answer: dict[str, Any] = json.loads(stack.must("kubectl", "--", "get", "--raw", path))
    return answer["result"]


def height(stack: LabStack, pod: str) -> int:
    return int(status(stack, pod)["sync_info"]["latest_block_height"])


def answering(stack: LabStack, pod: str) -> int:
    """The height, or nothing while the pod does not answer."""
    path = f"/api/v1/namespaces/akash/pods/{pod}:26657/proxy/status"
    done = stack.disco("kubectl", "--", "get", "--raw", path)
    if done.returncode:
        return 0
    return int(json.loads(done.stdout)["result"]["sync_info"]["latest_block_height"])


def test_the_chains_own_client_runs_against_it(stack: LabStack) -> None:
    done = stack.disco("exec", "akash", "--", "akash", "status")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout or done.stderr)
    assert found["NodeInfo"]["network"] == "disco-local-1"


def test_a_deleted_pod_comes_back_with_its_blocks(stack: LabStack) -> None:
    before = height(stack, "validator-0")
    first = status(stack, "validator-0")["sync_info"]["earliest_block_height"]
    stack.must("kubectl", "--", "-n", "akash", "delete", "pod", "validator-0", within_s=120)
    until("it answers again", lambda: answering(stack, "validator-0") >= before, 120)
    assert status(stack, "validator-0")["sync_info"]["earliest_block_height"] == first
    until("blocks go on", lambda: answering(stack, "validator-0") > before + 2, 60)


def test_a_validator_on_a_volume_of_another_key_refuses_to_start(stack: LabStack) -> None:
    """Two keys swapped, as a wrong restore would: neither signs with the other's history."""
    store = Store(stack.place)
    right = store.lookup(SecretRef("chains/akash/validator-1/validator", "json"))
    wrong = store.lookup(SecretRef("chains/akash/validator-0/validator", "json"))
    try:
        _set_key(stack, wrong)
        stack.must("kubectl", "--", "-n", "akash", "delete", "pod", "validator-1", within_s=120)
        said = until("it refuses", lambda: _refusal(stack), 90)
        assert "key" in said
    finally:
        _set_key(stack, right)
        stack.must(
            "kubectl", "--", "-n", "akash", "delete", "pod", "validator-1", "--force", within_s=120
        )
    until("it signs again", lambda: answering(stack, "validator-1") > 0, 120)


def test_secrets_that_somebody_knows_are_made_anew_by_a_plan_and_blocks_go_on(
    stack: LabStack,
) -> None:
    """As after a member was removed: the mark is written as the removal writes it."""
    secret = "chains/akash/validator-1/node"
    before, was = status(stack, "validator-1")["node_info"]["id"], height(stack, "validator-0")
    mark = b'{"why": "ben left the team and could read it"}'
    marks = {owed_of(f"{stack.name}/{s}"): mark for s in (secret, "vault/probe", TOKEN)}
    Store(stack.place).shelf.write("Mark them", files=marks)
    assert secret in stack.disco("secrets", "list", "--owed").stdout
    assert "made anew: ben left the team" in stack.must("plan")

    stack.must("apply", "--yes", within_s=UP_S)
    assert json.loads(stack.must("secrets", "list", "--owed", "--json")) == {}
    assert "Nothing to do" in stack.disco("apply", "--yes").stderr
    until("blocks go on", lambda: answering(stack, "validator-0") > was + 3, 120)
    assert status(stack, "validator-1")["node_info"]["id"] != before
    path = "/api/v1/namespaces/akash/pods/validator-0:26657/proxy/net_info"
    mine = Store(stack.place).lookup(SecretRef(secret, "id"))
    stack.must("check", "--only", "vault", "--wait", "60")
    until(
        "the other one knows it by its other name",
        lambda: mine in stack.must("kubectl", "--", "get", "--raw", path),
        60,
    )


def _set_key(stack: LabStack, key: str) -> None:
    patch = json.dumps({"stringData": {"validator-1.priv_validator_key.json": key}})
    file = stack.file.parent / "patch.json"
    file.touch(mode=0o600)
    file.write_text(patch)
    words = ("-n", "akash", "patch", "secret", "keys", "--patch-file", str(file))
    stack.must("kubectl", "--", *words)


def _refusal(stack: LabStack) -> str:
    """What the container says that lays its home; it must never get as far as starting the node."""
    get = ("-n", "akash", "get", "pod", "validator-1", "-o", "json")
    done = stack.disco("kubectl", "--", *get)
    if done.returncode:
        return ""
    state = json.loads(done.stdout)["status"]
    assert not any(c.get("ready") for c in state.get("containerStatuses", ())), "it runs"
    log = stack.disco("kubectl", "--", "-n", "akash", "logs", "validator-1", "-c", "home").stdout
    return log if "refused to start validator-1" in log else ""
