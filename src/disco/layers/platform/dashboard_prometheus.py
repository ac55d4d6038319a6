"""The dashboard of Prometheus itself: what it asks, what it keeps, how it fares."""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_above, better_below

PROMETHEUS = Board(
    "prometheus",
    "Prometheus",
    "What Prometheus asks, what it keeps, and whether its rules are computed.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Targets that answer",
                    "Share of everything that is asked for metrics.",
                    (Query("avg(up)"),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("ScrapeTargetDown",),
                    columns=6,
                ),
                Panel(
                    "Series",
                    "That it keeps in memory; each takes a few kilobytes.",
                    (Query("prometheus_tsdb_head_series"),),
                    "",
                    "figure",
                    columns=6,
                ),
                Panel(
                    "Rules that failed",
                    "Within ten minutes. While a rule fails, its alerts can't fire.",
                    (Query("sum(increase(prometheus_rule_evaluation_failures_total[10m]))"),),
                    "",
                    "figure",
                    better_below(1, 1),
                    columns=6,
                    decimals=0,
                ),
                Panel(
                    "Configuration read",
                    "Off: it goes on with the one before.",
                    (Query("min(prometheus_config_last_reload_successful)"),),
                    "bool_on_off",
                    "figure",
                    better_above(1),
                    columns=6,
                ),
            ),
        ),
        Row(
            "Targets",
            (
                Panel(
                    "Targets that don't answer",
                    "By job. No other alert about a target can fire while it gives no metrics.",
                    (Query("count by (job) (up) - sum by (job) (up)", "{{job}}"),),
                    alerts=("ScrapeTargetDown",),
                ),
                Panel(
                    "Time of a scrape",
                    "The slowest target of each job. Beyond the scrape interval it counts as down.",
                    (Query("max by (job) (scrape_duration_seconds)", "{{job}}"),),
                    "s",
                ),
                Panel(
                    "Samples by job",
                    "What one round of scrapes brings.",
                    (
                        Query(
                            "sum by (job) (scrape_samples_post_metric_relabeling)",
                            "{{job}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Store",
            (
                Panel(
                    "Samples taken in",
                    "Each second.",
                    (
                        Query(
                            "sum(rate("
                            "prometheus_tsdb_head_samples_appended_total[$__rate_interval]))"
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "On its volume",
                    "Blocks of two hours and more, and the log of what is newer. The oldest block "
                    "goes when they are larger than `retention_size`.",
                    (
                        Query("prometheus_tsdb_storage_blocks_bytes", "blocks"),
                        Query("prometheus_tsdb_wal_storage_size_bytes", "log"),
                    ),
                    "bytes",
                ),
                Panel(
                    "Its memory",
                    "That its process holds.",
                    (Query('process_resident_memory_bytes{job="prometheus"}', "memory"),),
                    "bytes",
                ),
                Panel(
                    "Time of the rules",
                    "That each group took last. Beyond the scrape interval rounds are left out.",
                    (
                        Query(
                            "max by (rule_group) (label_replace("
                            "prometheus_rule_group_last_duration_seconds"
                            ', "rule_group", "$1", "rule_group", ".*;(.*)"))',
                            "{{rule_group}}",
                        ),
                    ),
                    "s",
                    columns=12,
                ),
                Panel(
                    "Time of queries",
                    "Which 99 of 100 stay below, of dashboards, checks and rules.",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (le) (rate("
                            "prometheus_http_request_duration_seconds_bucket[5m])))",
                            "99 of 100",
                        ),
                    ),
                    "s",
                    columns=12,
                ),
            ),
        ),
    ),
)
