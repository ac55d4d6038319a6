"""What marks a test of the lab, and a running network that tests may break, always taken down."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import GATEWAY, NETWORK, UP_S, LabStack, lab_stack
from webhook import Webhook, listening

DEVNET = Path(__file__).resolve().parents[2] / "examples" / "devnet.yaml"
# A second validator, so that one can be lost while blocks go on; short scrapes, so that nobody
# waits long for what Prometheus has seen.
PORT = 18429
ALERTS = f"""\
alerts:
  receivers:
    ops: {{webhook: {{url: "http://{GATEWAY}:{PORT}/", token: "${{secret:alerts/ops}}"}}}}
  heartbeat: [ops]
  heartbeat_interval: 30s
  group_wait: 1s
  group_interval: 5s
"""
LOGS = "logs: {vault: {write: ['kv/logs/*']}}\n"
VAULT = """vault: {values: {kv/lab/motd: {text: "${secret:lab/motd}"}}}"""
# Validators of a chain that is broken together with the vault must not wait for it.
STAKES = "stakes: [9_000_000_000, 1_000_000_000]"
FILES = """    vault:
      files: {motd: "kv/lab/motd#text"}
      certificate: {names: [rpc.akash.svc], lasts: 1m}
      sign: [lab]
      refresh: 2s
      wait: false
"""
# The webhook knows no GET: that is an answer, too.
WATCHED = f"""\
probes:
  targets:
    hook: {{http: "http://{GATEWAY}:{PORT}/", expect: 501}}
kube_state: {{interval: 5s}}
"""
CHANGES = {
    "name: devnet": f"name: lab-{os.getpid()}",
    "  count: 1\n": f"  count: 1\n  network: {NETWORK}\n",
    "prometheus: {}": f"prometheus: {{scrape_interval: 5s}}\n\n{LOGS}\n{WATCHED}{ALERTS}",
    "vault: {}": VAULT,
    "    validators: 1\n": f"    validators: 2\n    {STAKES}\n{FILES}",
}

# What `make test` has no time for.
LONG = (
    "test_doctor.py",
    "test_growth.py",
    "test_loki.py",
    "test_network_faults.py",
    "test_plugin.py",
    "test_registries.py",
    "test_remote_write.py",
    "test_rules_fired.py",
    "test_rules_slow.py",
    "test_signer.py",
    "test_vault_quorum.py",
    "test_vault_seal.py",
    "test_vault_snapshot.py",
)
LEFT_OUT = pytest.mark.skipif(
    not os.environ.get("DISCO_LAB_WHOLE"), reason="takes long: `make lab` runs it"
)
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="local servers need root")


@pytest.hookimpl(tryfirst=True)  # before `-m lab` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The shared network stays up until the end: files with a network of their own come before it,
    # so that no two networks wait for the same cores.
    sharing = {item.path for item in items if _shares_the_network(item)}
    items.sort(key=lambda item: item.path in sharing)
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.lab)
            item.add_marker(NEEDS_ROOT)
            if item.path.name in LONG:
                item.add_marker(LEFT_OUT)


def _shares_the_network(item: pytest.Item) -> bool:
    """Whether it uses the `stack` below, and not one of its own file."""
    if not isinstance(item, pytest.Function) or "stack" not in item.fixturenames:
        return False
    return not hasattr(item.module, "stack")


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    """Takes the alerts of `stack`, for as long as it is there."""
    found = Webhook("first-canary-71e0")
    with listening(found, GATEWAY, PORT):
        yield found


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[LabStack]:
    """A copy of the devnet example, up."""
    text = DEVNET.read_text()
    for old, new in CHANGES.items():
        assert old in text, f"the example has no {old!r} any more"
        text = text.replace(old, new)
    with lab_stack(tmp_path_factory.mktemp("lab"), text) as running:
        running.put("alerts/ops", webhook.token)
        running.put("lab/motd", "the first one")
        running.must("up", "--yes", within_s=UP_S)
        yield running
