"""The first dashboard, of the stack as a whole; and the page of an alert's runbook."""

from __future__ import annotations

from disco.dashboards.board import Board, Link, Panel, Query, Row, better_above, better_below

FIRING = 'ALERTS{alertstate="firing", severity!="none"'  # but the one that always does
HEIGHT = '{__name__=~"(cometbft|tendermint)_consensus_height"}'

STACK = Board(
    "stack",
    "Stack",
    "Whether everything works, from the servers up. Each figure leads to the dashboard behind it.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Critical alerts",
                    "That fire now; `disco alerts` names them and what to do.",
                    (Query(f'count({FIRING}, severity="critical"}}) or vector(0)'),),
                    "",
                    "figure",
                    better_below(1, 1),
                    columns=4,
                ),
                Panel(
                    "Warnings",
                    "That fire now; `disco alerts` names them and what to do.",
                    (Query(f'count({FIRING}, severity="warning"}}) or vector(0)'),),
                    "",
                    "figure",
                    better_below(1, 10),
                    columns=4,
                ),
                Panel(
                    "Servers that answer",
                    "Share of all.",
                    (Query('avg(up{job=~"node-exporter|hosts"})'),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("HostDown",),
                    columns=4,
                    links=(Link("Servers", "servers"),),
                ),
                Panel(
                    "Nodes whose kubelet answers",
                    "Share of all.",
                    (Query('avg(up{job="kubelet"})'),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("NodeNotReady",),
                    columns=4,
                    links=(Link("Cluster", "cluster"),),
                ),
                Panel(
                    "Targets that answer",
                    "Share of everything that is asked for metrics.",
                    (Query("avg(up)"),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("ScrapeTargetDown",),
                    columns=4,
                    links=(Link("Prometheus", "prometheus"),),
                ),
                Panel(
                    "Containers that run",
                    "On all nodes.",
                    (Query('sum(kubelet_running_containers{container_state="running"})'),),
                    "",
                    "figure",
                    columns=4,
                    links=(Link("Cluster", "cluster"),),
                ),
            ),
        ),
        Row(
            "Over time",
            (
                Panel(
                    "Alerts that fire",
                    "By name. None: a line at 0.",
                    (
                        Query(
                            f"count by (alertname) ({FIRING}}}) or"
                            ' label_replace(vector(0), "alertname", "none", "", "")',
                            "{{alertname}}",
                        ),
                    ),
                ),
                Panel(
                    "Processor in use",
                    "Share of all processors of a server that is not idle.",
                    (
                        Query(
                            "1 - avg by (node) (rate("
                            'node_cpu_seconds_total{mode="idle"}[$__rate_interval]))',
                            "{{node}}",
                        ),
                    ),
                    "percentunit",
                    most=1,
                    links=(Link("Servers", "servers"),),
                ),
                Panel(
                    "Memory in use",
                    "Share of a server's memory that programs can't get any more.",
                    (
                        Query(
                            "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
                            "{{node}}",
                        ),
                    ),
                    "percentunit",
                    alerts=("HostMemoryShort",),
                    most=1,
                    links=(Link("Servers", "servers"),),
                ),
                Panel(
                    "Disk in use",
                    "Share of each file system.",
                    (
                        Query(
                            "1 - node_filesystem_avail_bytes"
                            '{fstype!~"tmpfs|ramfs|squashfs|overlay"}'
                            " / node_filesystem_size_bytes",
                            "{{node}} {{mountpoint}}",
                        ),
                    ),
                    "percentunit",
                    alerts=("HostDiskFilling",),
                    most=1,
                    links=(Link("Servers", "servers"),),
                ),
                Panel(
                    "Memory by namespace",
                    "What pods hold of what can't be freed.",
                    (
                        Query(
                            "sum by (namespace) (max by (namespace, pod) ("
                            'container_memory_working_set_bytes{job="cadvisor", pod!=""}))',
                            "{{namespace}}",
                        ),
                    ),
                    "bytes",
                    links=(Link("Cluster", "cluster"),),
                ),
                Panel(
                    "Time between blocks",
                    "Of each chain; 0 of a stack without one.",
                    (
                        Query(
                            f"1 / max by (namespace) (rate({HEIGHT}[5m])) or"
                            f' label_replace(vector(0), "namespace", "no chain", "", "")'
                            f" unless on () {HEIGHT}",
                            "{{namespace}}",
                        ),
                    ),
                    "s",
                    alerts=("ChainStopped",),
                ),
            ),
        ),
    ),
)

RUNBOOK = Board(
    "runbook",
    "Runbook: @TITLE@",
    "What the alert @TITLE@ means, where to look, how to mend it.",
    (Row("", (Panel("", "@TEXT@", kind="text", columns=24),)),),
    uid="runbook-@NAME@",
    tag="runbook",
)
