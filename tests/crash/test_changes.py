"""A stack that is up becomes what its file says now, also when that is interrupted anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.interruption import dies_everywhere, of_change
from sim.stacks import STACKS

Record = Callable[[str, Any], None]
Edit = tuple[str, str]  # what the file said, what it says now

SERVERS = "servers: {provider: local, count: 2, network: 10.90.0.0/24}\n"
SMALL = f"name: changing\n{SERVERS}kubernetes: {{}}\n"
FULL = f"""\
{SMALL}prometheus: {{}}
vault: {{}}
chains:
  akash: {{validators: 2, full_nodes: 1}}
"""
IRON = STACKS["iron"]
SECOND = "    - {name: b, address: 192.0.2.12, host_key: ssh-ed25519 AAAAb}\n"
THIRD = "    - {name: c, address: 192.0.2.13, host_key: ssh-ed25519 AAAAc}\n"
CHAIN = "chains:\n  akash: {validators: 2}\n"

KEY, TLS = "files: {key: 'kv/akash/key#a'}", "certificate: {names: [rpc.akash.svc]}"

CHANGES: dict[str, tuple[str, tuple[Edit, ...]]] = {
    "one more server": (FULL, (("count: 2", "count: 3"),)),
    "one server less": (FULL, (("count: 2", "count: 1"),)),
    "one more server over SSH": (IRON, ((SECOND, SECOND + THIRD),)),
    "more replicas of the vault": (FULL, (("vault: {}", "vault: {replicas: 3}"),)),
    "Prometheus asks less often and keeps less": (
        FULL,
        (("prometheus: {}", "prometheus: {scrape_interval: 30s, retention: 3d}"),),
    ),
    "no metrics-server": (SMALL, (("kubernetes: {}", "kubernetes: {metrics_server: false}"),)),
    "a metrics-server": (IRON, (("metrics_server: false", "metrics_server: true"),)),
    "another way between pods": (FULL, (("kubernetes: {}", "kubernetes: {backend: host-gw}"),)),
    "one more full node": (FULL, (("full_nodes: 1", "full_nodes: 2"),)),
    "no full node": (FULL, (("full_nodes: 1", "full_nodes: 0"),)),
    "another pace": (FULL, (("full_nodes: 1", "full_nodes: 1, pace: relaxed"),)),
    "Prometheus": (SMALL, ((SMALL, f"{SMALL}prometheus: {{}}\n"),)),
    "logs that are kept": (SMALL, ((SMALL, f"{SMALL}logs: {{}}\n"),)),
    "logs that are kept longer": (
        f"{SMALL}logs: {{}}\n",
        (("logs: {}", "logs: {retention: 90d}"),),
    ),
    "another store of logs": (
        f"{SMALL}logs: {{}}\n",
        (("logs: {}\n", "logs: {store: loki}\nartifacts: {sources: [build, download]}\n"),),
    ),
    "a vault": (SMALL, ((SMALL, f"{SMALL}vault: {{replicas: 3}}\n"),)),
    "a chain that gets a secret from the vault": (
        FULL,
        (
            ("vault: {}", "vault: {values: {kv/akash/key: {a: '${secret:akash/key}'}}}"),
            (
                "full_nodes: 1",
                f"full_nodes: 1, vault: {{{KEY}, {TLS}}}",
            ),
            ("prometheus: {}", "prometheus: {vault: {write: [kv/metrics/*], sign: [one]}}"),
        ),
    ),
    "a chain that gets none any more": (
        FULL.replace("full_nodes: 1", "full_nodes: 1, vault: {files: {key: 'kv/akash/key#a'}}"),
        ((", vault: {files: {key: 'kv/akash/key#a'}}", ""),),
    ),
    "a second chain": (FULL, (("  akash:", "  other: {definition: akash}\n  akash:"),)),
    "a chain and a server": (
        SMALL,
        (("count: 2", "count: 3"), ("kubernetes: {}\n", "kubernetes: {}\n" + CHAIN)),
    ),
    "several at once": (
        FULL,
        (
            ("count: 2", "count: 3"),
            ("kubernetes: {}", "kubernetes: {metrics_server: false}"),
            ("prometheus: {}\n", "prometheus: {scrape_interval: 30s}\n"),
            ("vault: {}", "vault: {replicas: 3}"),
            ("full_nodes: 1", "full_nodes: 2, pace: relaxed"),
        ),
    ),
}


def edited(text: str, edits: tuple[Edit, ...]) -> str:
    for was, now in edits:
        assert text.count(was) == 1, was
        text = text.replace(was, now)
    return text


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_made_after_dying_at_any_point(
    folder: Path, record_property: Record, change: str
) -> None:
    before, edits = CHANGES[change]
    whole = of_change(before, edited(before, edits), folder)
    dies_everywhere(whole, record_property)
