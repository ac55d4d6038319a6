"""Rules that no other test here makes fire. What can be broken and told within a minute or so is,
all at once, and `disco alerts` has it. What waits for minutes on purpose is seen to wait.

docs/how-to/alerts.md says of each rule how it was proven; these words are compared with it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from stack import LabStack, until
from tools import BUSYBOX, CHAIN, HOST, Tools

from disco.layers.platform import measures
from disco.layers.platform.openbao import AUTHORITY, CERTIFICATE, HOSTS, OpenBao
from disco.layers.platform.vault_certificate import IN_CLUSTER, Reloader, ReloadVault
from disco.store import certificates

WITHIN_S = 100.0
LONG = "AlertsNotSent"  # it is told for two minutes more: `make lab` waits for its end
OLD_S, ENDS_DAYS = 8 * 24 * 3600, 10
NOWHERE = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "lab-nowhere", "namespace": "default"},
    "spec": {
        "serviceName": "lab-nowhere",
        "selector": {"matchLabels": {"lab": "nowhere"}},
        "template": {
            "metadata": {"labels": {"lab": "nowhere"}},
            "spec": {
                "nodeSelector": {"lab/nowhere": "yes"},
                "containers": [{"name": "c", "image": BUSYBOX, "imagePullPolicy": "Never"}],
            },
        },
    },
}
# A threshold that every server is below. The kubelet says so at once, and ends no pod for an hour.
PRESSED = """set -eu
cd /var/lib/kubelet
cp -p config.yaml config.lab
cat >> config.yaml <<'END'
evictionSoft: {memory.available: "99%"}
evictionSoftGracePeriod: {memory.available: 1h}
END
systemctl restart kubelet
"""
RELIEVED = """nft delete table inet lab || true
cd /var/lib/kubelet
[ ! -e config.lab ] || { mv config.lab config.yaml && systemctl restart kubelet; }
"""
# From Prometheus alone: `disco alerts` asks it by this API server.
CUT = """set -eu
nft add table inet lab
nft add chain inet lab cut '{{ type filter hook input priority -300; }}'
nft add rule inet lab cut ip saddr {0} tcp dport 6443 reject with tcp reset
"""
Labels = Mapping[str, str]
# The alerts that have to fire, each with labels that name what was broken, ...
FIRES: dict[str, Labels] = {
    "AlertsNotSent": {},
    "ApiServerDown": {},
    "CertificateEndsSoon": {"probe": "vault/health"},
    "ChainGone": {"namespace": CHAIN},
    "DiscoBackupOld": {"what": measures.VAULT},
    "NodeUnderPressure": {"node": HOST, "pressure": "memory"},
}
# ... and those that begin to wait.
WAITS: dict[str, Labels] = {
    "DiscoDrift": {"component": "alerts"},
    "PodPending": {"namespace": "default", "pod": "lab-nowhere-0"},
    "WorkloadShort": {"namespace": "default", "workload": "lab-nowhere"},
}


@pytest.fixture(scope="module")
def tools(stack: LabStack) -> Tools:
    return Tools(stack)


@contextmanager
def trouble(t: Tools, broke: dict[str, float]) -> Iterator[None]:
    """Nobody who takes alerts, no node of the chain, an old backup, a certificate of the vault that
    ends soon, a node that is short of memory, a pod without a place, and an API server that
    Prometheus can't reach. broke: gets when each began, by time.monotonic."""
    ip = t.get("-n", "monitoring", "pod", "prometheus-0")["status"]["podIP"]
    try:
        t.apply(NOWHERE)
        _now(broke, "PodPending", "WorkloadShort")
        t.scale("alerts", "statefulset/alertmanager", 0)
        _now(broke, "AlertsNotSent")
        t.scale(CHAIN, "statefulset/validator", 0)
        _now(broke, "ChainGone")
        t.tell(measures.backed_up(t.stack.name, measures.VAULT, time.time() - OLD_S))
        _now(broke, "DiscoBackupOld")
        _shows_one_that_ends_soon(t)  # by the kubelet, which starts anew then
        _now(broke, "CertificateEndsSoon")
        t.on_host(PRESSED)
        _now(broke, "NodeUnderPressure")
        t.stack.must("plan")
        _now(broke, "DiscoDrift")
        t.on_host(CUT.format(ip))
        _now(broke, "ApiServerDown")
        yield
    finally:
        t.on_host(RELIEVED)
        t.kubectl("-n", "default", "delete", "statefulset/lab-nowhere", "--ignore-not-found")
        t.stack.must("vault", "snapshot", "--to", str(t.stack.folder / "mended.age"))
        t.stack.must("apply", "--yes", within_s=300)


def _now(broke: dict[str, float], *names: str) -> None:
    broke |= dict.fromkeys(names, time.monotonic())


def _shows_one_that_ends_soon(t: Tools) -> None:
    """The vault, without a restart. `disco apply` would have signed another one long before."""
    ca = t.store.fields(AUTHORITY)
    crt, key = certificates.server_certificate(ca["crt"], ca["key"], HOSTS, ENDS_DAYS)
    t.store.put(CERTIFICATE, {"crt": crt, "key": key})
    change = json.dumps({"stringData": {"tls.crt": crt, "tls.key": key}})
    words = ("patch", "secret", IN_CLUSTER, "--type", "merge", "--patch-file", "/dev/stdin")
    t.kubectl("-n", "vault", *words, stdin=change)

    async def reload(bao: OpenBao, _: str) -> None:
        action = ReloadVault(bao._cluster, 1)
        await Reloader(bao._kube, t.store)(action, lambda note, share: None)

    t.vault(reload)


def firing(t: Tools) -> Iterator[tuple[str, Labels]]:
    """Names and labels, by DISCO. Each says what to do."""
    done = t.stack.disco("alerts", "--json")
    assert done.returncode in (0, 3), done.stderr
    for alert in json.loads(done.stdout):
        assert alert["runbook"], alert
        yield alert["alert"], alert["labels"]


def stopped_half_way(t: Tools) -> None:
    """An apply that is asked to stop in its first action."""
    skip = len(t.stack.journal())
    running = t.stack.start("apply", "--yes")

    def begun() -> bool:
        return any(r["event"] == "intent" for r in t.stack.journal()[skip:])

    until("it has begun", begun, 60, 0.02)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=120) == 1


def test_what_is_broken_fires_what_waits_on_purpose_waits_and_all_ends(tools: Tools) -> None:
    broke: dict[str, float] = {}
    fired: dict[str, float] = {}
    waiting: dict[str, float] = {}

    def all_seen() -> bool:
        for name, labels in firing(tools):
            if name in FIRES and FIRES[name].items() <= labels.items():
                fired.setdefault(name, time.monotonic() - broke[name])
        for name, labels in tools.waiting():
            if name in WAITS and WAITS[name].items() <= labels.items():
                waiting.setdefault(name, time.monotonic() - broke[name])
        return fired.keys() == FIRES.keys() and waiting.keys() == WAITS.keys()

    begun = time.monotonic()
    with trouble(tools, broke):
        try:
            until("all of it is seen", all_seen, WITHIN_S)
        finally:
            for name, after in sorted(fired.items()):
                print(f"{name}: fires {after:.0f} s after it broke")
            for name, after in sorted(waiting.items()):
                print(f"{name}: waits {after:.0f} s after it broke")
            missing = (FIRES.keys() | WAITS.keys()) - fired.keys() - waiting.keys()
            print(f"not seen: {sorted(missing)}")
        tools.on_host(RELIEVED)
        stopped_half_way(tools)
        unfinished = time.monotonic()
        until(
            "it waits for somebody to go on",
            lambda: "DiscoRunUnfinished" in dict(tools.waiting()),
            60,
        )
        print(f"DiscoRunUnfinished: waits {time.monotonic() - unfinished:.0f} s after it stopped")
    mended = time.monotonic()
    wanted: dict[str, Labels] = {**FIRES, **WAITS, "DiscoRunUnfinished": {}}
    if not os.environ.get("DISCO_LAB_WHOLE"):
        del wanted[LONG]

    def all_over() -> bool:
        now = [*firing(tools), *tools.waiting()]
        left = {n for n, labels in now if n in wanted and wanted[n].items() <= labels.items()}
        print(f"{time.monotonic() - mended:.0f} s after it was mended there is {sorted(left)}")
        return not left

    until("all of it is over", all_over, 150, 2.0)
    print(f"{time.monotonic() - begun:.0f} s in all")
