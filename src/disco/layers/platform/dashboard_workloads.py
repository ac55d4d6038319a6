"""The dashboard of the cluster's objects: what is desired and not there, what restarts."""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_below

MISSING = (
    "(sum(k8s_deployment_desired) - sum(k8s_deployment_available))"
    " + (sum(k8s_statefulset_desired_pods) - sum(k8s_statefulset_ready_pods))"
    " + (sum(k8s_daemonset_desired_scheduled_nodes) - sum(k8s_daemonset_ready_nodes))"
)

WORKLOADS = Board(
    "workloads",
    "Workloads",
    "Deployments, StatefulSets, DaemonSets, jobs and their pods, as the API server has them.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Pods that are missing",
                    "Desired by deployments, StatefulSets and DaemonSets, and not ready.",
                    (Query(MISSING),),
                    "",
                    "figure",
                    better_below(1, 3),
                    ("WorkloadShort",),
                    columns=6,
                ),
                Panel(
                    "Pods that don't run",
                    "Pending, failed, or of a node that is not heard of.",
                    (
                        Query(
                            "count(k8s_pod_phase == 1 or k8s_pod_phase > 3) or vector(0)",
                        ),
                    ),
                    "",
                    "figure",
                    better_below(1, 3),
                    ("PodPending",),
                    columns=6,
                ),
                Panel(
                    "Restarts within an hour",
                    "Of all containers.",
                    (
                        Query(
                            "sum(clamp_min(k8s_container_restarts"
                            " - min_over_time(k8s_container_restarts[1h]), 0))"
                        ),
                    ),
                    "",
                    "figure",
                    better_below(3, 10),
                    ("PodCrashLooping", "ContainersRestarting"),
                    columns=6,
                ),
                Panel(
                    "Nodes under pressure",
                    "Short of disk, memory or processes: they take no new pods.",
                    (
                        Query(
                            "count(k8s_node_condition_disk_pressure == 1 or "
                            "k8s_node_condition_memory_pressure == 1 or "
                            "k8s_node_condition_pid_pressure == 1) or vector(0)",
                        ),
                    ),
                    "",
                    "figure",
                    better_below(1, 1),
                    ("NodeUnderPressure",),
                    columns=6,
                ),
            ),
        ),
        Row(
            "Workloads",
            (
                Panel(
                    "Deployments: ready",
                    "Share of the pods that each should have; without those that should have none.",
                    (
                        Query(
                            "k8s_deployment_available / (k8s_deployment_desired > 0)",
                            "{{namespace}}/{{deployment}}",
                        ),
                    ),
                    "percentunit",
                    most=1,
                    alerts=("WorkloadShort",),
                ),
                Panel(
                    "StatefulSets: ready",
                    "The same of those with volumes: vaults, chains, stores.",
                    (
                        Query(
                            "k8s_statefulset_ready_pods / (k8s_statefulset_desired_pods > 0)",
                            "{{namespace}}/{{statefulset}}",
                        ),
                    ),
                    "percentunit",
                    most=1,
                    alerts=("WorkloadShort",),
                ),
                Panel(
                    "DaemonSets: ready",
                    "Share of the nodes that each should run on.",
                    (
                        Query(
                            "k8s_daemonset_ready_nodes / "
                            "(k8s_daemonset_desired_scheduled_nodes > 0)",
                            "{{namespace}}/{{daemonset}}",
                        ),
                    ),
                    "percentunit",
                    most=1,
                    alerts=("WorkloadShort",),
                ),
            ),
        ),
        Row(
            "Pods and nodes",
            (
                Panel(
                    "Restarts by container",
                    "Since its pod was made; the ten most.",
                    (
                        Query(
                            "topk(10, k8s_container_restarts)",
                            "{{namespace}}/{{pod}} {{container}}",
                        ),
                    ),
                    alerts=("PodCrashLooping",),
                ),
                Panel(
                    "Pods by namespace",
                    "All that there are, whatever their phase.",
                    (Query("count by (namespace) (k8s_pod_phase)", "{{namespace}}"),),
                ),
                Panel(
                    "Memory that is promised",
                    "Share of each node's memory that its pods request.",
                    (
                        Query(
                            "sum by (node) (k8s_container_memory_request) / "
                            "sum by (node) (k8s_node_allocatable_memory)",
                            "{{node}}",
                        ),
                    ),
                    "percentunit",
                    most=1,
                    alerts=("NodeUnderPressure",),
                ),
            ),
        ),
    ),
)
