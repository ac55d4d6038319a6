"""The dashboard of probes: what answers, how fast, and how long certificates are good."""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_above

DAY_S = 24 * 3600

PROBES = Board(
    "probes",
    "Probes",
    "What was asked from inside of the cluster whether it answers.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Answered",
                    "Share of the addresses that answered as they should when asked last.",
                    (Query("avg(probe_success)"),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("ProbeFailed",),
                    columns=8,
                ),
                Panel(
                    "Slowest answer",
                    "Of those that came.",
                    (Query("max(probe_duration_seconds and on (probe) (probe_success == 1))"),),
                    "s",
                    "figure",
                    columns=8,
                ),
                Panel(
                    "First certificate to end",
                    "Of all that were shown, with their chains.",
                    (Query("min(probe_ssl_earliest_cert_expiry) - time()"),),
                    "dtdurations",
                    "figure",
                    better_above(7 * DAY_S, 14 * DAY_S),
                    ("CertificateEndsSoon",),
                    columns=8,
                    decimals=0,
                ),
            ),
        ),
        Row(
            "Each address",
            (
                Panel(
                    "Answers",
                    "1 for an answer as it should be.",
                    (Query("probe_success", "{{probe}}"),),
                    most=1,
                    alerts=("ProbeFailed",),
                ),
                Panel(
                    "Time until the answer",
                    "With looking up its name and TLS.",
                    (Query("probe_duration_seconds", "{{probe}}"),),
                    "s",
                ),
                Panel(
                    "Certificates",
                    "How long each is good for.",
                    (Query("probe_ssl_earliest_cert_expiry - time()", "{{probe}}"),),
                    "dtdurations",
                    alerts=("CertificateEndsSoon",),
                ),
            ),
        ),
    ),
)
