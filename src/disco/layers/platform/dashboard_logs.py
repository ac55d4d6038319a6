"""The dashboard of the store of logs and its collectors."""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_above, better_below

STORED = 'vl_rows_ingested_total{pod!~"log-collector.*"}'

LOGS = Board(
    "logs",
    "Logs",
    "Whether lines come in from every node, what they take, and whether collectors lag behind.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Lines stored",
                    "Each second, of pods and of servers' journals.",
                    (
                        Query(
                            'sum(rate(vl_rows_ingested_total{type=~"nativeinsert|journald"}[5m]))'
                        ),
                    ),
                    "ops",
                    "figure",
                    better_above(0.01),
                    ("LogsStopped",),
                    columns=6,
                ),
                Panel(
                    "Disk left",
                    "Share of the disk below the store's volume that is free.",
                    (Query("min(vl_free_disk_space_bytes / vl_total_disk_space_bytes)"),),
                    "percentunit",
                    "figure",
                    better_above(0.1, 0.2),
                    ("LogsDiskNearlyFull",),
                    columns=6,
                ),
                Panel(
                    "Refuses lines",
                    "On: there is no room, and collectors keep what they read.",
                    (Query("max(vl_storage_is_read_only)"),),
                    "bool_on_off",
                    "figure",
                    better_below(1, 1),
                    ("LogsDiskNearlyFull",),
                    columns=6,
                ),
                Panel(
                    "Waiting on nodes",
                    "What collectors have read of pods' logs and the store has not taken yet.",
                    (Query("sum(vlagent_remotewrite_pending_data_bytes)"),),
                    "bytes",
                    "figure",
                    better_below(10_000_000, 500_000_000),
                    ("LogsCollectorStuck",),
                    columns=6,
                ),
            ),
        ),
        Row(
            "Lines",
            (
                Panel(
                    "Lines of pods",
                    "That each node's collector reads.",
                    (
                        Query(
                            "sum by (node) (rate("
                            'vl_rows_ingested_total{type="kubernetes_logs"}[$__rate_interval]))',
                            "{{node}}",
                        ),
                    ),
                    "ops",
                    alerts=("LogsStopped",),
                ),
                Panel(
                    "Lines of journals",
                    "That were sent of each server's own journal.",
                    (
                        Query(
                            "rate(journal_entries_sent_total[$__rate_interval])",
                            "{{node}}",
                        ),
                    ),
                    "ops",
                    alerts=("LogsStopped",),
                ),
                Panel(
                    "Failures of collectors",
                    "Within ten minutes: what could not be sent at once. It is tried again.",
                    (
                        Query("increase(journal_failures_total[10m])", "{{node}} journal"),
                        Query(
                            "increase(vlagent_remotewrite_retries_count_total[10m])",
                            "{{node}} pods",
                        ),
                    ),
                    alerts=("LogsCollectorStuck",),
                ),
            ),
        ),
        Row(
            "Store",
            (
                Panel(
                    "On its volume",
                    "What the lines and their index take. Whole days go when it is more than "
                    "`retention_size`.",
                    (Query("sum(vl_data_size_bytes)", "lines and index"),),
                    "bytes",
                ),
                Panel(
                    "Lines kept",
                    "In all.",
                    (Query("sum(vl_storage_rows)", "lines"),),
                ),
                Panel(
                    "Memory",
                    "That the store and the collectors hold.",
                    (
                        Query(
                            'process_resident_memory_bytes{namespace="logs"}',
                            "{{pod}}",
                        ),
                    ),
                    "bytes",
                ),
            ),
        ),
    ),
)
