"""The dashboard of servers, by what node-exporter tells of each."""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_above, better_below

REAL = 'fstype!~"tmpfs|ramfs|squashfs|overlay"'  # as the alert on full disks
WIRED = 'device!~"lo|veth.*|cali.*|flannel.*|cni.*|kube-.*"'

SERVERS = Board(
    "servers",
    "Servers",
    "Processor, memory, disks, network and clock of each server, by node-exporter.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Servers that answer",
                    "Share of the servers whose node-exporter answers Prometheus.",
                    (Query('avg(up{job=~"node-exporter|hosts"})'),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("HostDown",),
                    columns=6,
                ),
                Panel(
                    "Least memory left",
                    "Of the server that has the least, the share that programs can still get.",
                    (Query("min(node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)"),),
                    "percentunit",
                    "figure",
                    better_above(0.06, 0.15),
                    ("HostMemoryShort",),
                    columns=6,
                ),
                Panel(
                    "Least disk left",
                    "Of the fullest file system of all servers, the share that is free.",
                    (
                        Query(
                            f"min(node_filesystem_avail_bytes{{{REAL}}}"
                            " / node_filesystem_size_bytes)"
                        ),
                    ),
                    "percentunit",
                    "figure",
                    better_above(0.05, 0.15),
                    ("HostDiskFilling",),
                    columns=6,
                ),
                Panel(
                    "Largest clock error",
                    "Between a server's clock and that of Prometheus' own server, at most.",
                    (Query("max(abs(node_time_seconds - timestamp(node_time_seconds)))"),),
                    "s",
                    "figure",
                    better_below(1, 2),
                    ("HostClockSkew",),
                    columns=6,
                    decimals=2,
                ),
            ),
        ),
        Row(
            "Processor and memory",
            (
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
                ),
                Panel(
                    "Waiting for a processor",
                    "Share of the time in which some program had to wait for a processor.",
                    (
                        Query(
                            "rate(node_pressure_cpu_waiting_seconds_total[$__rate_interval])",
                            "{{node}}",
                        ),
                    ),
                    "percentunit",
                ),
                Panel(
                    "Memory left",
                    "What programs can still get before the kernel ends some of them.",
                    (Query("node_memory_MemAvailable_bytes", "{{node}}"),),
                    "bytes",
                    alerts=("HostMemoryShort",),
                ),
            ),
        ),
        Row(
            "Disks",
            (
                Panel(
                    "Disk left",
                    "Share of each file system that is free. Full, it stops etcd and validators.",
                    (
                        Query(
                            f"node_filesystem_avail_bytes{{{REAL}}} / node_filesystem_size_bytes",
                            "{{node}} {{mountpoint}}",
                        ),
                    ),
                    "percentunit",
                    alerts=("HostDiskFilling",),
                    most=1,
                ),
                Panel(
                    "Disk busy",
                    "Share of the time in which a disk had something to do.",
                    (
                        Query(
                            "rate(node_disk_io_time_seconds_total[$__rate_interval])",
                            "{{node}} {{device}}",
                        ),
                    ),
                    "percentunit",
                ),
                Panel(
                    "Written to disk",
                    "What all disks of a server were given to write.",
                    (
                        Query(
                            "sum by (node) (rate(node_disk_written_bytes_total[$__rate_interval]))",
                            "{{node}}",
                        ),
                    ),
                    "Bps",
                ),
            ),
        ),
        Row(
            "Network and clock",
            (
                Panel(
                    "Received",
                    "By a server's own interfaces, those of pods aside.",
                    (
                        Query(
                            "sum by (node) (rate("
                            f"node_network_receive_bytes_total{{{WIRED}}}[$__rate_interval]))",
                            "{{node}}",
                        ),
                    ),
                    "Bps",
                ),
                Panel(
                    "Sent",
                    "By a server's own interfaces, those of pods aside.",
                    (
                        Query(
                            "sum by (node) (rate("
                            f"node_network_transmit_bytes_total{{{WIRED}}}[$__rate_interval]))",
                            "{{node}}",
                        ),
                    ),
                    "Bps",
                ),
                Panel(
                    "Clock error",
                    "How far a server's clock is ahead of that of Prometheus' own server. Blocks, "
                    "leases and certificates depend on the time.",
                    (Query("node_time_seconds - timestamp(node_time_seconds)", "{{node}}"),),
                    "s",
                    alerts=("HostClockSkew",),
                    least=None,
                ),
            ),
        ),
    ),
)
