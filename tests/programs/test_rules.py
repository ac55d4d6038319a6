"""Alerts fire when they must and keep still when they must: decided by Prometheus itself.

One scrape gives it the history of all cases, each eight hours from the next, so that one start of
the program decides them all.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from charts_helm import ROOT, parse, program

from panels import asked

FILES = sorted((ROOT / "rules").glob("*.yaml"))
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for path in FILES
    for group in parse(path.read_text())["groups"]
    for rule in group["rules"]
}
LOGS = 'namespace="logs",pod="logs-0"'
LOKI = 'namespace="logs",pod="loki-0"'
COLLECTOR = 'namespace="logs",pod="log-collector-x",node="n1"'
STEP_S = 15
CHAIN = 'chain_id="a-1",namespace="a"'
NODE = 'job="kubelet",node="n1",instance="n1"'
CADVISOR = 'job="cadvisor",container="c",pod="p",namespace="a"'
DISK = 'mountpoint="/",fstype="ext4",job="node-exporter",node="n1"'
BAO = 'namespace="vault",pod="openbao-0",instance="i"'
API = 'job="apiserver",instance="h1"'
SENT = 'alertmanager="http://alertmanager-0:9093/api/v2/alerts"'
TOLD, RECEIVER = "alertmanager_notifications", 'receiver_name="night",integration="webhook"'
APP = 'job="pods",namespace="a",app="logs"'
PROBE = 'job="probe",probe="site",instance="https://site.example/"'
CONTAINER, REASON = 'namespace="a",pod="p",container="c"', "k8s_container_status_reason"
JOB = 'namespace="a",kube_job="j"'
ON, WEEK_S = 'stack="s",instance="h1"', 7 * 24 * 3600
ALWAYS = {"Watchdog"}  # that it does is what it tells
APART_S = 8 * 3600  # more than any rule looks back


@dataclass(frozen=True)
class Clock:
    """A sample that shows the time at which it was taken. ahead_s: below 0 for an earlier one."""

    ahead_s: float = 0


@dataclass(frozen=True, eq=False)
class Case:
    """Series and their last values, oldest first, a step apart; the newest is of just now."""

    alert: str
    fires: bool
    series: Mapping[str, Sequence[float | Clock]]
    about: str = ""
    ended_s: int = 0  # how long ago the newest is

    def __str__(self) -> str:
        verb = "fires" if self.fires else "keeps still"
        return " ".join(filter(None, [self.alert, verb, self.about]))

    def exposition(self, at_s: int) -> Iterator[str]:
        """The history in Prometheus' text format."""
        for series, values in self.series.items():
            for age, value in enumerate(reversed(values)):
                taken_s = at_s - self.ended_s - age * STEP_S
                figure = taken_s + value.ahead_s if isinstance(value, Clock) else value
                yield f"{series} {figure} {taken_s * 1000}"


def steady(value: float, steps: int = 30) -> list[float]:
    return [value] * steps


def rising(last: float, steps: int = 30, by: float = 1) -> list[float]:
    return [last - by * (steps - 1 - i) for i in range(steps)]


CASES = [
    Case("HostDown", True, {'up{job="node-exporter",node="n1"}': [0]}),
    Case("HostDown", True, {'up{job="hosts",instance="h9"}': [0]}, "outside"),
    Case("HostDown", False, {'up{job="node-exporter",node="n1"}': [1]}),
    Case(
        "HostDiskFilling",
        True,
        {
            f"node_filesystem_avail_bytes{{{DISK}}}": rising(100, by=-1),
            f"node_filesystem_size_bytes{{{DISK}}}": steady(1000),
        },
        "within a day",
    ),
    Case(
        "HostDiskFilling",
        False,
        {
            f"node_filesystem_avail_bytes{{{DISK}}}": steady(100),
            f"node_filesystem_size_bytes{{{DISK}}}": steady(1000),
        },
        "small but steady",
    ),
    Case(
        "HostDiskFilling",
        True,
        {
            f"node_filesystem_avail_bytes{{{DISK}}}": steady(40),
            f"node_filesystem_size_bytes{{{DISK}}}": steady(1000),
        },
        "nearly full",
    ),
    Case("HostClockSkew", True, {'node_time_seconds{node="n1"}': [Clock(ahead_s=4)]}, "ahead"),
    Case("HostClockSkew", False, {'node_time_seconds{node="n1"}': [Clock()]}),
    Case(
        "HostMemoryShort",
        True,
        {"node_memory_MemAvailable_bytes": [5], "node_memory_MemTotal_bytes": [100]},
    ),
    Case(
        "HostMemoryShort",
        False,
        {"node_memory_MemAvailable_bytes": [50], "node_memory_MemTotal_bytes": [100]},
    ),
    Case("NodeNotReady", True, {f"up{{{NODE}}}": [0]}, "no kubelet"),
    Case("NodeNotReady", True, {f"kubelet_pleg_last_seen_seconds{{{NODE}}}": [1]}, "no runtime"),
    Case(
        "NodeNotReady",
        False,
        {f"up{{{NODE}}}": [1], f"kubelet_pleg_last_seen_seconds{{{NODE}}}": [Clock()]},
    ),
    Case("NodesUnhealthy", True, {'node_collector_unhealthy_nodes_in_zone{zone=""}': [1]}),
    Case("NodesUnhealthy", False, {'node_collector_unhealthy_nodes_in_zone{zone=""}': [0]}),
    Case(
        "ApiServerErrors",
        True,
        {
            f'apiserver_request_total{{{API},code="500"}}': rising(100),
            f'apiserver_request_total{{{API},code="200"}}': rising(500, by=10),
        },
    ),
    Case(
        "ApiServerErrors",
        False,
        {
            f'apiserver_request_total{{{API},code="404"}}': rising(100),
            f'apiserver_request_total{{{API},code="200"}}': rising(500, by=10),
        },
        "the fault of clients",
    ),
    Case("ApiServerDown", True, {f"up{{{API}}}": [0]}),
    Case("ApiServerDown", False, {f"up{{{API}}}": [1]}),
    Case(
        "PodCrashLooping",
        True,
        {f'container_start_time_seconds{{{CADVISOR},id="{i}"}}': [1] for i in range(4)},
    ),
    Case(
        "PodCrashLooping",
        False,
        {f'container_start_time_seconds{{{CADVISOR},id="{i}"}}': steady(1) for i in range(2)},
        "one restart",
    ),
    Case(
        "PodCrashLooping",
        True,
        {
            f"k8s_container_restarts{{{CONTAINER}}}": [2],
            f'k8s_container_status_reason{{{CONTAINER},{REASON}="CrashLoopBackOff"}}': [1, 0],
        },
        "as the API server has it",
    ),
    Case(
        "PodCrashLooping",
        False,
        {
            f"k8s_container_restarts{{{CONTAINER}}}": [7],
            f'k8s_container_status_reason{{{CONTAINER},{REASON}="CrashLoopBackOff"}}': [0, 0],
        },
        "long ago",
    ),
    Case(
        "PodCrashLooping",
        True,
        {f"k8s_container_restarts{{{CONTAINER}}}": [1, 2]},
        "never seen while it waits",
    ),
    Case(
        "ContainersRestarting",
        True,
        {
            f'kubelet_started_containers_total{{{NODE},container_type="container"}}': rising(60),
            f"kubelet_started_pods_total{{{NODE}}}": steady(5),
        },
    ),
    Case(
        "ContainersRestarting",
        False,
        {
            f'kubelet_started_containers_total{{{NODE},container_type="container"}}': rising(60),
            f"kubelet_started_pods_total{{{NODE}}}": rising(60),
        },
        "many new pods",
    ),
    Case("EtcdNoLeader", True, {'etcd_server_has_leader{job="etcd",instance="h1"}': [0]}),
    Case("EtcdNoLeader", False, {'etcd_server_has_leader{job="etcd",instance="h1"}': [1]}),
    Case("ScrapeTargetDown", True, {'up{job="pods",pod="x"}': [0]}),
    Case("ScrapeTargetDown", False, {'up{job="kubelet",node="n1"}': [0]}, "has its own"),
    Case("VaultSealed", True, {f'vault_core_unsealed{{{BAO},cluster=""}}': [0]}, "restarted"),
    Case(
        "VaultSealed",
        True,
        {
            f'vault_core_unsealed{{{BAO},cluster=""}}': [1],
            f'vault_core_unsealed{{{BAO},cluster="c"}}': [0],
        },
        "on purpose",
    ),
    Case(
        "VaultSealed",
        False,
        {
            f'vault_core_unsealed{{{BAO},cluster=""}}': [0],
            f'vault_core_unsealed{{{BAO},cluster="c"}}': [1],
        },
        "the nameless gauge is left from before",
    ),
    Case("VaultNoLeader", True, {f'vault_core_unsealed{{{BAO},cluster=""}}': [0]}),
    Case(
        "VaultNoLeader",
        False,
        {
            f'vault_core_unsealed{{{BAO},cluster="c"}}': [1],
            f'vault_core_active{{{BAO},cluster="c"}}': [1],
        },
    ),
    Case("VaultUnhealthy", True, {f"vault_autopilot_healthy{{{BAO}}}": [0]}),
    Case("VaultUnhealthy", False, {f"vault_autopilot_healthy{{{BAO}}}": [1]}),
    Case("ChainStopped", True, {f'cometbft_consensus_height{{{CHAIN},pod="v"}}': steady(9)}),
    Case("ChainStopped", True, {f'tendermint_consensus_height{{{CHAIN},pod="v"}}': steady(9)}),
    Case(
        "ChainStopped",
        False,
        {
            f'cometbft_consensus_height{{{CHAIN},pod="v"}}': steady(9),
            f'cometbft_consensus_height{{{CHAIN},pod="w"}}': rising(99),
        },
        "one node is stuck",
    ),
    Case(
        "ChainStopped",
        True,
        {f"cometbft_consensus_height{{{CHAIN}}}": [*rising(9), *steady(9, steps=3)]},
        "for 45 seconds",
    ),
    Case("ChainStopped", False, {f"cometbft_consensus_height{{{CHAIN}}}": [9]}, "seen once"),
    Case("Watchdog", True, {}),
    Case(
        "AlertsNotSent",
        True,
        {f"prometheus_notifications_errors_total{{{SENT}}}": rising(60)},
        "none is taken",
    ),
    Case(
        "AlertsNotSent",
        True,
        {"prometheus_notifications_dropped_total": rising(60)},
        "some are dropped",
    ),
    Case(
        "AlertsNotSent",
        False,
        {
            f"prometheus_notifications_errors_total{{{SENT}}}": steady(7),
            "prometheus_notifications_dropped_total": steady(0),
        },
        "only long ago",
    ),
    Case("AlertsNotDelivered", True, {f"{TOLD}_failed_total{{{RECEIVER}}}": rising(9)}),
    Case("AlertsNotDelivered", False, {f"{TOLD}_failed_total{{{RECEIVER}}}": steady(9)}),
    Case("ComponentGone", True, {f"up{{{APP}}}": [1, 1, 0, 0]}, "it answers no more"),
    Case("ComponentGone", True, {f"up{{{APP}}}": steady(1)}, "it is gone", ended_s=900),
    Case("ComponentGone", False, {f"up{{{APP}}}": [1, 0, 1]}, "it came back"),
    Case(
        "ComponentGone",
        False,
        {f'up{{{APP},pod="x"}}': steady(1), f'up{{{APP},pod="y"}}': steady(0)},
        "another of it answers",
    ),
    Case("ComponentGone", False, {f"up{{{APP}}}": steady(0)}, "it never answered"),
    Case(
        "ComponentGone",
        False,
        {f"up{{{APP}}}": steady(1), f"cometbft_consensus_height{{{CHAIN}}}": steady(1)},
        "it is a chain",
        ended_s=900,
    ),
    Case("ChainGone", True, {f"cometbft_consensus_height{{{CHAIN}}}": steady(9)}, ended_s=900),
    Case("ChainGone", False, {f"cometbft_consensus_height{{{CHAIN}}}": steady(9)}),
    Case(
        "ChainFewPeers",
        True,
        {f"cometbft_p2p_peers{{{CHAIN}}}": [1], f"cometbft_consensus_validators{{{CHAIN}}}": [4]},
    ),
    Case(
        "ChainFewPeers",
        False,
        {f"cometbft_p2p_peers{{{CHAIN}}}": [0], f"cometbft_consensus_validators{{{CHAIN}}}": [1]},
        "a chain of one",
    ),
    Case(
        "ChainNodeBehind",
        True,
        {
            f'cometbft_consensus_height{{{CHAIN},pod="v"}}': [10],
            f'cometbft_consensus_height{{{CHAIN},pod="w"}}': [99],
        },
    ),
    Case(
        "ChainNodeBehind",
        False,
        {
            f'cometbft_consensus_height{{{CHAIN},pod="v"}}': [98],
            f'cometbft_consensus_height{{{CHAIN},pod="w"}}': [99],
        },
    ),
    Case(
        "ChainValidatorsMissing",
        True,
        {
            f"cometbft_consensus_missing_validators_power{{{CHAIN}}}": [25],
            f"cometbft_consensus_validators_power{{{CHAIN}}}": [100],
        },
    ),
    Case(
        "ChainValidatorsMissing",
        False,
        {
            f"cometbft_consensus_missing_validators_power{{{CHAIN}}}": [0],
            f"cometbft_consensus_validators_power{{{CHAIN}}}": [100],
        },
    ),
    Case(
        "DiscoCheckFailed",
        True,
        {
            f'disco_check_ok{{{ON},check="vault/raft"}}': [0],
            f"disco_check_timestamp_seconds{{{ON}}}": [9],
        },
    ),
    Case(
        "DiscoCheckFailed",
        False,
        {
            f'disco_check_ok{{{ON},check="vault/raft"}}': [1],
            f"disco_check_timestamp_seconds{{{ON}}}": [9],
            'disco_check_ok{stack="s",instance="h0",check="vault/raft"}': [0],
            'disco_check_timestamp_seconds{stack="s",instance="h0"}': [8],
        },
        "another server was the first once",
    ),
    Case(
        "DiscoDrift",
        True,
        {
            f'disco_plan_steps{{{ON},component="vault"}}': [2],
            f"disco_plan_timestamp_seconds{{{ON}}}": [9],
        },
    ),
    Case(
        "DiscoDrift",
        False,
        {
            f'disco_plan_steps{{{ON},component="vault"}}': [0],
            f"disco_plan_timestamp_seconds{{{ON}}}": [9],
            'disco_plan_steps{stack="s",instance="h0",component="vault"}': [2],
            'disco_plan_timestamp_seconds{stack="s",instance="h0"}': [8],
        },
    ),
    Case(
        "DiscoRunUnfinished",
        True,
        {
            f'disco_run_outcome{{{ON},outcome="done"}}': [0],
            f'disco_run_outcome{{{ON},outcome="failed"}}': [1],
            f"disco_run_timestamp_seconds{{{ON}}}": [9],
        },
    ),
    Case(
        "DiscoRunUnfinished",
        False,
        {
            f'disco_run_outcome{{{ON},outcome="done"}}': [1],
            f'disco_run_outcome{{{ON},outcome="failed"}}': [0],
            f"disco_run_timestamp_seconds{{{ON}}}": [9],
        },
    ),
    Case(
        "DiscoNotChecked",
        True,
        {f"disco_check_timestamp_seconds{{{ON}}}": [Clock(ahead_s=-WEEK_S - 60)]},
    ),
    Case(
        "DiscoNotChecked",
        False,
        {
            f"disco_check_timestamp_seconds{{{ON}}}": [Clock(ahead_s=60 - WEEK_S)],
            'disco_check_timestamp_seconds{stack="s",instance="h0"}': [7],
        },
        "for a week less a minute",
    ),
    Case(
        "DiscoBackupOld",
        True,
        {f'disco_backup_timestamp_seconds{{{ON},what="vault"}}': [Clock(ahead_s=-WEEK_S - 60)]},
    ),
    Case(
        "DiscoBackupOld",
        False,
        {f'disco_backup_timestamp_seconds{{{ON},what="vault"}}': [Clock(ahead_s=60 - WEEK_S)]},
    ),
    Case(
        "DiscoBackupMissing",
        True,
        {
            f'disco_backup_wanted{{{ON},what="vault"}}': [1],
            f'disco_backup_timestamp_seconds{{{ON},what="store"}}': [Clock()],
        },
    ),
    Case(
        "DiscoBackupMissing",
        False,
        {
            f'disco_backup_wanted{{{ON},what="vault"}}': [1],
            f'disco_backup_timestamp_seconds{{{ON},what="vault"}}': [7],
        },
    ),
    Case("ProbeFailed", True, {f"probe_success{{{PROBE}}}": [0]}),
    Case("ProbeFailed", False, {f"probe_success{{{PROBE}}}": [1]}),
    Case(
        "CertificateEndsSoon",
        True,
        {f"probe_ssl_earliest_cert_expiry{{{PROBE}}}": [Clock(ahead_s=13 * 24 * 3600)]},
    ),
    Case(
        "CertificateEndsSoon",
        False,
        {f"probe_ssl_earliest_cert_expiry{{{PROBE}}}": [Clock(ahead_s=15 * 24 * 3600)]},
    ),
    Case(
        "WorkloadShort",
        True,
        {
            'k8s_deployment_desired{namespace="a",deployment="d"}': [2],
            'k8s_deployment_available{namespace="a",deployment="d"}': [1],
        },
        "of a deployment",
    ),
    Case(
        "WorkloadShort",
        True,
        {
            'k8s_statefulset_desired_pods{namespace="a",statefulset="s"}': [3],
            'k8s_statefulset_ready_pods{namespace="a",statefulset="s"}': [2],
        },
        "of a StatefulSet",
    ),
    Case(
        "WorkloadShort",
        True,
        {
            'k8s_daemonset_desired_scheduled_nodes{namespace="a",daemonset="e"}': [3],
            'k8s_daemonset_ready_nodes{namespace="a",daemonset="e"}': [0],
        },
        "of a DaemonSet",
    ),
    Case(
        "WorkloadShort",
        False,
        {
            'k8s_deployment_desired{namespace="a",deployment="d"}': [0],
            'k8s_deployment_available{namespace="a",deployment="d"}': [0],
            'k8s_statefulset_desired_pods{namespace="a",statefulset="d"}': [3],
            'k8s_statefulset_ready_pods{namespace="a",statefulset="d"}': [3],
        },
    ),
    Case("PodPending", True, {'k8s_pod_phase{namespace="a",pod="p"}': [1]}),
    Case("PodPending", False, {'k8s_pod_phase{namespace="a",pod="p"}': [2]}),
    Case(
        "JobFailed",
        True,
        {
            f"k8s_job_failed_pods{{{JOB}}}": [2],
            f"k8s_job_active_pods{{{JOB}}}": [0],
            f"k8s_job_successful_pods{{{JOB}}}": [0],
            f"k8s_job_desired_successful_pods{{{JOB}}}": [1],
        },
    ),
    Case(
        "JobFailed",
        False,
        {f"k8s_job_failed_pods{{{JOB}}}": [2], f"k8s_job_active_pods{{{JOB}}}": [1]},
        "it tries again",
    ),
    Case(
        "JobFailed",
        False,
        {
            f"k8s_job_failed_pods{{{JOB}}}": [2],
            f"k8s_job_active_pods{{{JOB}}}": [0],
            f"k8s_job_successful_pods{{{JOB}}}": [1],
            f"k8s_job_desired_successful_pods{{{JOB}}}": [1],
        },
        "it came through in the end",
    ),
    Case("NodeUnderPressure", True, {'k8s_node_condition_disk_pressure{node="n1"}': [1]}, "disk"),
    Case("NodeUnderPressure", True, {'k8s_node_condition_pid_pressure{node="n1"}': [1]}, "pids"),
    Case(
        "NodeUnderPressure",
        False,
        {
            'k8s_node_condition_disk_pressure{node="n1"}': [0],
            'k8s_node_condition_memory_pressure{node="n1"}': [-1],
        },
        "or is not known",
    ),
    Case(
        "LogsDiskNearlyFull",
        True,
        {f"vl_free_disk_space_bytes{{{LOGS}}}": [5], f"vl_total_disk_space_bytes{{{LOGS}}}": [100]},
        "little is free",
    ),
    Case(
        "LogsDiskNearlyFull",
        True,
        {
            f"vl_free_disk_space_bytes{{{LOGS}}}": [50],
            f"vl_total_disk_space_bytes{{{LOGS}}}": [100],
            f"vl_storage_is_read_only{{{LOGS}}}": [1],
        },
        "nothing is taken",
    ),
    Case(
        "LogsDiskNearlyFull",
        False,
        {
            f"vl_free_disk_space_bytes{{{LOGS}}}": [50],
            f"vl_total_disk_space_bytes{{{LOGS}}}": [100],
            f"vl_storage_is_read_only{{{LOGS}}}": [0],
        },
    ),
    Case(
        "LogsStopped",
        True,
        {
            f"vl_storage_is_read_only{{{LOGS}}}": steady(0, steps=60),
            f'vl_rows_ingested_total{{{LOGS},type="native"}}': steady(7, steps=60),
            f'vl_rows_ingested_total{{{LOGS},type="journald"}}': steady(3, steps=60),
        },
    ),
    Case(
        "LogsStopped",
        True,
        {f"vl_storage_is_read_only{{{LOGS}}}": steady(0, steps=60)},
        "since the store began, when it counts nothing yet",
    ),
    Case(
        "LogsStopped",
        False,
        {
            f"vl_storage_is_read_only{{{LOGS}}}": steady(0, steps=60),
            f'vl_rows_ingested_total{{{LOGS},type="native"}}': rising(100, steps=60),
            f'vl_rows_ingested_total{{{LOGS},type="journald"}}': steady(3, steps=60),
        },
        "of pods only",
    ),
    Case(
        "LogsStopped",
        False,
        {
            f"vl_storage_is_read_only{{{LOGS}}}": steady(0, steps=60),
            f'vl_rows_ingested_total{{{LOGS},type="native"}}': rising(100, steps=60),
            f'vl_rows_ingested_total{{{COLLECTOR},type="kubernetes_logs"}}': steady(7, steps=60),
        },
        "at a collector, which is no store",
    ),
    Case(
        "LogsStopped",
        True,
        {
            f"loki_build_info{{{LOKI}}}": steady(1, steps=60),
            f"loki_distributor_lines_received_total{{{LOKI}}}": steady(7, steps=60),
        },
        "of Loki",
    ),
    Case(
        "LogsStopped",
        False,
        {
            f"loki_build_info{{{LOKI}}}": steady(1, steps=60),
            f"loki_distributor_lines_received_total{{{LOKI}}}": rising(100, steps=60),
        },
        "of Loki",
    ),
    Case(
        "LogsCollectorStuck",
        True,
        {
            f"otelcol_exporter_queue_size{{{COLLECTOR}}}": [9000],
            f"otelcol_exporter_sent_log_records{{{COLLECTOR}}}": steady(70, steps=60),
        },
        "and nothing goes to Loki",
    ),
    Case(
        "LogsCollectorStuck",
        True,
        {f"otelcol_exporter_queue_size{{{COLLECTOR}}}": [9000]},
        "and nothing ever went to Loki",
    ),
    Case(
        "LogsCollectorStuck",
        False,
        {
            f"otelcol_exporter_queue_size{{{COLLECTOR}}}": [9000],
            f"otelcol_exporter_sent_log_records{{{COLLECTOR}}}": rising(70, steps=60),
        },
        "while something waits and goes to Loki",
    ),
    Case(
        "LogsCollectorStuck",
        True,
        {f"journal_failures_total{{{COLLECTOR}}}": rising(60, steps=60)},
        "with the journal",
    ),
    Case(
        "LogsCollectorStuck",
        True,
        {f"journal_entries_dropped_total{{{COLLECTOR}}}": [0, 0, 1, 1]},
        "with one entry",
    ),
    Case(
        "LogsCollectorStuck",
        True,
        {f"vlagent_remotewrite_retries_count_total{{{COLLECTOR}}}": rising(60, steps=60)},
        "with pods' logs",
    ),
    Case(
        "LogsCollectorStuck",
        False,
        {
            f"journal_failures_total{{{COLLECTOR}}}": steady(4, steps=60),
            f"vlagent_remotewrite_retries_count_total{{{COLLECTOR}}}": steady(4, steps=60),
        },
    ),
    Case(
        "LogsCollectorStuck",
        False,
        {
            f"journal_failures_total{{{COLLECTOR}}}": [0, *rising(60), *steady(60, steps=15)],
            f"vlagent_remotewrite_retries_count_total{{{COLLECTOR}}}": [*rising(9), *steady(9, 15)],
        },
        "the store came later than it, and is there",
    ),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_alert_says_how_bad_what_why_and_what_to_do(path: Path) -> None:
    groups = parse(path.read_text())["groups"]
    assert groups
    for rule in itertools.chain.from_iterable(group["rules"] for group in groups):
        wanted = {"none"} if rule["alert"] in ALWAYS else {"critical", "warning"}
        assert rule["labels"]["severity"] in wanted, rule["alert"]
        for annotation in ("summary", "description", "runbook"):
            assert rule["annotations"][annotation].strip(), (rule["alert"], annotation)


def test_alerts_have_different_names() -> None:
    names = [
        rule["alert"]
        for path in FILES
        for group in parse(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len(names) == len(set(names)) == len(RULES)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    for alert in RULES:
        wanted = {True} if alert in ALWAYS else {True, False}
        assert {case.fires for case in CASES if case.alert == alert} == wanted, alert


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def times() -> dict[Case, int]:
    now_s = int(time.time())
    return {case: now_s - (i + 1) * APART_S for i, case in enumerate(CASES)}


@pytest.fixture(scope="session")
def history(times: dict[Case, int]) -> Iterator[str]:
    """The address of a target that tells the history of all cases."""
    lines = [line for case, at_s in times.items() for line in case.exposition(at_s)]
    body = ("\n".join(lines) + "\n").encode()

    class Target(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Target)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def call(url: str, **parameters: object) -> Any:
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}?{query}", timeout=5) as answer:
        return json.load(answer)["data"]


def until(what: Callable[[], bool], within_s: float = 30) -> None:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if what():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise TimeoutError(f"not within {within_s} s")


@pytest.fixture(scope="session")
def prometheus(history: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with our rules that has asked the target once."""
    top = tmp_path_factory.mktemp("prometheus")
    target = {"targets": [history]}
    scrape = {
        "job_name": "history",
        "honor_labels": True,
        "scrape_interval": "1s",
        "static_configs": [target],
    }
    config = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [str(path) for path in FILES],
        "storage": {"tsdb": {"out_of_order_time_window": "60d"}},
        "scrape_configs": [scrape],
    }
    (top / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={top / 'prometheus.yml'}",
        f"--storage.tsdb.path={top / 'data'}",
        "--storage.tsdb.retention.time=90d",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    url = f"http://127.0.0.1:{port}/api/v1"
    with (
        (top / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            until(lambda: bool(call(f"{url}/query", query='up{job="history"} == 1')["result"]))
            yield url
        finally:
            server.terminate()


def test_prometheus_takes_every_rule_file_and_evaluates_it(prometheus: str) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = call(f"{prometheus}/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    until(lambda: all(rule["health"] != "unknown" for rule in rules()))
    assert {rule["name"] for rule in rules()} == RULES.keys()
    assert [rule["lastError"] for rule in rules() if rule["health"] != "ok"] == []


def test_prometheus_takes_every_query_of_the_dashboards(prometheus: str) -> None:
    queries = asked(scrape_interval_s=15)
    assert len(queries) > 50
    for query in queries:
        call(f"{prometheus}/query", query=query.expression)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_alert_fires_when_it_must_and_only_then(
    case: Case, prometheus: str, times: dict[Case, int]
) -> None:
    expression = RULES[case.alert]["expr"]
    found = call(f"{prometheus}/query", query=expression, time=times[case])["result"]
    assert bool(found) is case.fires, found


@pytest.mark.parametrize("alert", RULES)
def test_words_use_only_labels_that_the_expression_leaves(
    alert: str, prometheus: str, times: dict[Case, int]
) -> None:
    case = next(case for case in CASES if case.alert == alert and case.fires)
    found = call(f"{prometheus}/query", query=RULES[alert]["expr"], time=times[case])["result"]
    for text in RULES[alert]["annotations"].values():
        for template in re.findall(r"{{.*?}}", text):
            names = set(re.findall(r"\$labels\.(\w+)", template))
            assert not names or names & found[0]["metric"].keys(), template
