"""The dashboard of the vault, by OpenBao's metrics.

Its gauges carry the cluster's name only once it was unsealed, and the one without a name keeps its
last value for an hour, so queries take the larger one of each pod.
"""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_above, better_below

UNSEALED = "max by (pod) (vault_core_unsealed)"
NONE = f"0 * {UNSEALED}"  # of what a pod forgets when nothing happened for an hour

VAULT = Board(
    "vault",
    "Vault",
    "Whether the vault is open, has a leader and spare, and how it answers.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Sealed pods",
                    "While all are sealed nobody gets a secret.",
                    (Query(f"count({UNSEALED} == 0) or 0 * count({UNSEALED})"),),
                    "",
                    "figure",
                    better_below(1, 1),
                    ("VaultSealed",),
                    columns=6,
                ),
                Panel(
                    "Leaders",
                    "One, or nobody gets a secret.",
                    (Query("sum(max by (pod) (vault_core_active))"),),
                    "",
                    "figure",
                    better_above(1),
                    ("VaultNoLeader",),
                    columns=6,
                ),
                Panel(
                    "Healthy",
                    "What the leader thinks of all members together.",
                    (Query("min(vault_autopilot_healthy)"),),
                    "bool_on_off",
                    "figure",
                    better_above(1),
                    ("VaultUnhealthy",),
                    columns=6,
                ),
                Panel(
                    "Members that may be lost",
                    "Before the others can't decide any more; none of a vault of one pod.",
                    (Query("max(vault_autopilot_failure_tolerance)"),),
                    "",
                    "figure",
                    alerts=("VaultUnhealthy",),
                    columns=6,
                ),
            ),
        ),
        Row(
            "Over time",
            (
                Panel(
                    "Unsealed",
                    "Each pod: 1 is open.",
                    (Query(UNSEALED, "{{pod}}"),),
                    alerts=("VaultSealed",),
                    most=1,
                ),
                Panel(
                    "Requests",
                    "That each pod answers.",
                    (
                        Query(
                            "sum by (pod) (rate(vault_core_handle_request_count"
                            f"[$__rate_interval])) or {NONE}",
                            "{{pod}}",
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Leases and tokens",
                    "That it has given and not taken back yet.",
                    (
                        Query("max(vault_expire_num_leases) or vector(0)", "leases"),
                        Query("sum(vault_token_creation) or vector(0)", "tokens made"),
                    ),
                ),
                Panel(
                    "Memory",
                    "That each pod's process holds.",
                    (
                        Query(
                            'process_resident_memory_bytes{namespace="vault"}',
                            "{{pod}}",
                        ),
                    ),
                    "bytes",
                ),
                Panel(
                    "Raft",
                    "Changes that the leader has brought to its members, each second.",
                    (
                        Query(
                            f"sum by (pod) (rate(vault_raft_apply[$__rate_interval])) or {NONE}",
                            "{{pod}}",
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Audit lines that were not written",
                    "A vault that can't write them answers nobody.",
                    (
                        Query(
                            "sum by (pod) (vault_audit_log_request_failure"
                            f" + vault_audit_log_response_failure) or {NONE}",
                            "{{pod}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
