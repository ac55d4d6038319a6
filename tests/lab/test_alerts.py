"""What is broken for real is told to a webhook within a minute, names its page, and is told when it
is mended; a receiver that refuses is seen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509
from stack import LabStack, until
from tools import BIG, BUSYBOX, CHAIN, HOST, Tools, pod
from webhook import Webhook

WITHIN_S = 60.0
CUT = """set -eu
nft add table inet lab
nft add chain inet lab cut '{ type filter hook input priority -300; }'
nft add rule inet lab cut tcp dport '{ 9100, 10250 }' drop
"""
# What is broken, all at once, and the alert for it with a label that names it.
BROKEN = {
    "ChainStopped": {"namespace": CHAIN},
    "HostDown": {"node": HOST},
    "NodeNotReady": {"node": HOST},
    "VaultSealed": {"pod": "openbao-0"},
    "VaultNoLeader": {"namespace": "vault"},
    "ComponentGone": {"namespace": "logs", "app": "logs"},
    "ProbeFailed": {"probe": "vault/health"},
    "PodCrashLooping": {"namespace": "default", "pod": "lab-crash"},
    "JobFailed": {"namespace": "default", "kube_job": "lab-job"},
}
CRASHING = pod("lab-crash", ["false"])
FAILING = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "lab-job", "namespace": "default"},
    "spec": {
        "backoffLimit": 0,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "c", "image": BUSYBOX, "command": ["false"]}],
            }
        },
    },
}
COVERED = "NodeNotReady"  # not told when it is later than HostDown


@pytest.fixture(scope="module")
def tools(stack: LabStack) -> Tools:
    return Tools(stack)


@contextmanager
def trouble(t: Tools) -> Iterator[float]:
    """A host of which nothing is heard, a validator with nine tenths of the stake that hangs, a
    sealed vault, no store of logs, a pod that ends again and again, and a job that fails. Gives
    when it began, by time.monotonic."""
    hangs = {"HOSTNAME": BIG}
    assert t.kubeconfig  # asked for once, before anything is timed
    try:
        began = time.monotonic()
        t.apply(CRASHING, FAILING)
        t.stack.must("vault", "seal", "--yes")  # by the kubelet, of which nothing is heard then
        t.signal("akash", "STOP", hangs)
        t.scale("logs", "statefulset/logs", 0)
        t.on_host(CUT)
        yield began
    finally:
        t.signal("akash", "CONT", hangs)
        t.on_host("nft delete table inet lab")
        t.kubectl("-n", "default", "delete", "pod/lab-crash", "job/lab-job", "--now")
        t.stack.must("apply", "--yes", within_s=300)


def firing(t: Tools) -> list[tuple[str, dict[str, str]]]:
    """Names and labels."""
    done = t.stack.disco("alerts", "--json")
    assert done.returncode in (0, 3), done.stderr
    return [(a["alert"], a["labels"]) for a in json.loads(done.stdout)]


def test_alerts_get_through_when_nothing_is_wrong(tools: Tools, webhook: Webhook) -> None:
    until("the heartbeat is told", lambda: webhook.when("Watchdog", "firing", 0.0), 60)
    code, rows = tools.checks("alerts/")
    assert code == 0, rows
    assert "Watchdog" not in dict(firing(tools))
    assert webhook.refused == 0


@pytest.mark.parametrize("program", ["alertmanager", "blackbox_exporter", "bao", "prometheus"])
def test_what_speaks_to_the_open_internet_believes_its_authorities(
    tools: Tools, program: str
) -> None:
    """As its own file system has them; nothing of the open internet can be asked here."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    script = f"cat /proc/$(pidof -s {program})/root{bundle}"
    found = tools.on_host(script).encode()
    assert len(x509.load_pem_x509_certificates(found)) > 50


def test_what_breaks_is_told_within_a_minute_and_its_end_too(
    tools: Tools, webhook: Webhook
) -> None:
    seen: dict[str, float] = {}
    with trouble(tools) as began:

        def all_fire() -> bool:
            for name, labels in firing(tools):
                if BROKEN.get(name, {"": ""}).items() <= labels.items():
                    seen.setdefault(name, time.monotonic() - began)
            return set(seen) == set(BROKEN)

        def all_told() -> bool:
            wanted = {n: x for n, x in BROKEN.items() if n != COVERED}
            return all(webhook.when(n, "firing", began, **x) for n, x in wanted.items())

        until("all alerts fire", all_fire, WITHIN_S + 30)
        until("all are told", all_told, WITHIN_S)
    told = {n: webhook.when(n, "firing", began, **labels) for n, labels in BROKEN.items()}
    for name, at in told.items():
        print(f"{name}: fires {seen[name]:.0f} s after it broke, told {at and round(at)} s")
    assert not {name: at for name, at in seen.items() if at > WITHIN_S}
    assert not {name for name, at in told.items() if not at} - {COVERED}
    mended = time.monotonic()

    def all_over() -> bool:
        return all(
            webhook.when(n, "resolved", began, **x) for n, x in BROKEN.items() if n != COVERED
        )

    until("the end of each is told", all_over, 240)
    print(f"all ends told {time.monotonic() - mended:.0f} s after it was mended")
    message = next(a for _, a in webhook.told if a["labels"]["alertname"] == "ChainStopped")
    assert "dump_consensus_state" in message["annotations"]["runbook"]
    assert message["labels"]["stack"] == tools.stack.name
    page = tools.stack.must("alerts", "ChainStopped")
    assert page.startswith("# ChainStopped\n")


def test_a_receiver_that_refuses_is_seen_and_another_password_mends_it(
    tools: Tools, webhook: Webhook
) -> None:
    old, webhook.token = webhook.token, "another-canary-5d21"
    broke = time.monotonic()
    try:
        until("a message was refused", lambda: webhook.refused, 90)
        until("the check is red", lambda: tools.checks("alerts/delivery")[0] == 3, 120)
        row = tools.checks("alerts/delivery")[1]["alerts/delivery"]
        assert "to ops: webhook failed within 5 minutes" in row.evidence
        until("the alert fires", lambda: "AlertsNotDelivered" in dict(firing(tools)), 60)
        print(f"AlertsNotDelivered: fires {time.monotonic() - broke:.0f} s after it broke")
        tools.stack.put("alerts/ops", webhook.token)
        plan = tools.stack.must("plan", "--commands")
        assert "uses the secrets alerts/ops" in plan
        assert webhook.token not in plan and old not in plan
        since = time.monotonic()
        tools.stack.must("apply", "--yes", within_s=300)
        until("messages are taken again", lambda: webhook.when("Watchdog", "firing", since), 120)
    finally:
        tools.stack.put("alerts/ops", webhook.token)
        tools.stack.must("apply", "--yes", within_s=300)
    journal = tools.stack.place.journal.read_text()
    assert old not in journal and webhook.token not in journal
    until("the check is green again", lambda: tools.checks("alerts/delivery")[0] == 0, 120)
    until("the alert is over", lambda: "AlertsNotDelivered" not in dict(firing(tools)), 60)
