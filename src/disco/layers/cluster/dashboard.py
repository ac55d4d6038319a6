"""The dashboard of the cluster, by what Kubernetes' own parts tell."""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_above, better_below

KUBELET = 'job="kubelet"'
# Of the group of a pod and of each of its containers: that of the pod is the largest. By containers
# they can't be told apart everywhere.
PODS = 'job="cadvisor", pod!=""'

CLUSTER = Board(
    "cluster",
    "Cluster",
    "Nodes, API servers, etcd and pods, by kubelets and the control plane.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Nodes whose kubelet answers",
                    "Share of all nodes.",
                    (Query(f"avg(up{{{KUBELET}}})"),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("NodeNotReady",),
                    columns=4,
                ),
                Panel(
                    "Unhealthy nodes",
                    "NotReady or Unknown to the controller manager.",
                    (Query("sum(node_collector_unhealthy_nodes_in_zone)"),),
                    "",
                    "figure",
                    better_below(1, 1),
                    ("NodesUnhealthy",),
                    columns=4,
                ),
                Panel(
                    "API servers that answer",
                    "Share of all. Running pods go on without; nothing can be changed.",
                    (Query('avg(up{job="apiserver"})'),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("ApiServerDown",),
                    columns=4,
                ),
                Panel(
                    "etcd members with a leader",
                    "Share of all. Without a majority nothing in the cluster can be changed.",
                    (Query('avg(etcd_server_has_leader{job="etcd"})'),),
                    "percentunit",
                    "figure",
                    better_above(1),
                    ("EtcdNoLeader",),
                    columns=4,
                ),
                Panel(
                    "Pods that wait for a node",
                    "The scheduler has found none with room for them.",
                    (Query('sum(scheduler_pending_pods{queue="unschedulable"})'),),
                    "",
                    "figure",
                    better_below(1, 5),
                    columns=4,
                ),
                Panel(
                    "Containers that run",
                    "On all nodes.",
                    (Query('sum(kubelet_running_containers{container_state="running"})'),),
                    "",
                    "figure",
                    columns=4,
                ),
            ),
        ),
        Row(
            "API servers and etcd",
            (
                Panel(
                    "Requests",
                    "What API servers answer, by the kind of request; watches aside.",
                    (
                        Query(
                            "sum by (verb) (rate(apiserver_request_total"
                            '{verb!="WATCH"}[$__rate_interval]))',
                            "{{verb}}",
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Failed requests",
                    "Share of the requests that an API server could not answer (codes 5xx).",
                    (
                        Query(
                            "(sum by (instance) (rate("
                            'apiserver_request_total{code=~"5.."}[$__rate_interval]))'
                            " or 0 * sum by (instance) ("
                            "rate(apiserver_request_total[$__rate_interval])))"
                            " / sum by (instance) ("
                            "rate(apiserver_request_total[$__rate_interval]))",
                            "{{instance}}",
                        ),
                    ),
                    "percentunit",
                    alerts=("ApiServerErrors",),
                ),
                Panel(
                    "Time of a request",
                    "Which 99 of 100 requests stay below, watches and connections to pods aside.",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (le, verb) (rate("
                            "apiserver_request_duration_seconds_bucket"
                            '{verb!~"WATCH|CONNECT"}[5m])))',
                            "{{verb}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "Size of etcd",
                    "Of its database on each member. It takes nothing more beyond its quota, 2 GB "
                    "unless it was changed.",
                    (Query("etcd_mvcc_db_total_size_in_bytes", "{{instance}}"),),
                    "bytes",
                ),
                Panel(
                    "Time of a write to etcd's disk",
                    "Which 99 of 100 stay below. Above 10 ms the disk is slow for etcd.",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (le, instance) (rate("
                            "etcd_disk_wal_fsync_duration_seconds_bucket[5m])))",
                            "{{instance}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "Changes of etcd's leader",
                    "Within an hour. Many mean a slow disk or network.",
                    (Query("increase(etcd_server_leader_changes_seen_total[1h])", "{{instance}}"),),
                    alerts=("EtcdNoLeader",),
                ),
            ),
        ),
        Row(
            "Nodes and pods",
            (
                Panel(
                    "Pods on each node",
                    "That run.",
                    (Query("kubelet_running_pods", "{{node}}"),),
                ),
                Panel(
                    "Containers started",
                    "Within 30 minutes on each node. More than new pods have means that some end "
                    "again and again.",
                    (
                        Query(
                            "sum by (node) (increase(kubelet_started_containers_total"
                            f'{{{KUBELET}, container_type="container"}}[30m]))',
                            "{{node}}",
                        ),
                    ),
                    alerts=("ContainersRestarting", "PodCrashLooping"),
                ),
                Panel(
                    "Silence of the container runtime",
                    "How long ago a kubelet heard of it. After three minutes the node is NotReady.",
                    (
                        Query(
                            f"time() - kubelet_pleg_last_seen_seconds{{{KUBELET}}}",
                            "{{node}}",
                        ),
                    ),
                    "s",
                    alerts=("NodeNotReady",),
                ),
                Panel(
                    "Processors in use by pods",
                    "The ten pods that use most.",
                    (
                        Query(
                            "topk(10, max by (namespace, pod) (rate("
                            f"container_cpu_usage_seconds_total{{{PODS}}}[$__rate_interval])))",
                            "{{namespace}}/{{pod}}",
                        ),
                    ),
                    columns=12,
                ),
                Panel(
                    "Memory of pods",
                    "The ten pods that hold most of what can't be freed.",
                    (
                        Query(
                            "topk(10, max by (namespace, pod) ("
                            f"container_memory_working_set_bytes{{{PODS}}}))",
                            "{{namespace}}/{{pod}}",
                        ),
                    ),
                    "bytes",
                    columns=12,
                ),
            ),
        ),
    ),
)
