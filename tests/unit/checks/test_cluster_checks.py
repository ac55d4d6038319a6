"""Answers of the API, of etcdctl and of nodes are judged as they really look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disco.checks.releases import as_declared
from disco.kube.access import Cluster
from disco.kube.actions import Release
from disco.kube.reader import ReleaseSeen
from disco.layers.cluster import check_api, check_nodes
from disco.layers.cluster.node import SYSCTLS
from disco.layers.cluster.pods import stuck
from disco.store.certificates import authority

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Json = dict[str, Any]


def at(ago: timedelta) -> str:
    return (NOW - ago).strftime("%Y-%m-%dT%H:%M:%SZ")


def node(name: str, ready: str = "True", version: str = "v1.36.3", **pressures: str) -> Json:
    conditions = [{"type": "Ready", "status": ready, "message": "container runtime is down"}]
    conditions += [{"type": t, "status": s} for t, s in pressures.items()]
    return {
        "metadata": {"name": name},
        "status": {"conditions": conditions, "nodeInfo": {"kubeletVersion": version}},
    }


def test_every_part_of_readyz_counts() -> None:
    text = "[+]ping ok\n[+]etcd ok\nreadyz check passed\n"
    assert check_api.readyz(text, "https://a").ok
    assert check_api.readyz(text, "https://a").evidence == "2 of 2 parts ready: https://a"
    failed = check_api.readyz("[+]ping ok\n[-]etcd failed: reason withheld\n", "https://a")
    assert failed.evidence == "1 of 2 parts ready; etcd: etcd failed: reason withheld"
    assert not check_api.readyz("Forbidden", "https://a").ok


def test_a_server_that_is_no_node_and_a_node_that_is_no_server_are_both_seen() -> None:
    answer = check_api.nodes_ready([node("h1"), node("ghost", "Unknown")], ["h1", "h2"])
    assert answer.evidence == (
        "1 of 3 nodes Ready; h2: no such node in the cluster; "
        "ghost: not Ready: container runtime is down"
    )


def test_a_node_under_pressure_is_red_though_ready() -> None:
    assert check_api.nodes_ready([node("h1")], ["h1"]).ok
    pressed = check_api.nodes_ready([node("h1", DiskPressure="True")], ["h1"])
    assert pressed.evidence == "0 of 1 nodes Ready; h1: DiskPressure"


def test_a_node_that_never_reported_is_not_ready() -> None:
    answer = check_api.nodes_ready([{"metadata": {"name": "h1"}, "status": {}}], ["h1"])
    assert "has never reported" in answer.evidence


def test_every_kubelet_and_the_server_must_run_the_declared_version() -> None:
    server = {"gitVersion": "v1.36.3"}
    assert check_api.versions([node("h1")], server, "v1.36.3").ok
    mixed = check_api.versions([node("h1"), node("h2", version="v1.35.0")], server, "v1.36.3")
    assert "kubelet on h2: runs v1.35.0" in mixed.evidence
    old = check_api.versions([node("h1")], {"gitVersion": "v1.35.9"}, "v1.36.3")
    assert "API server: runs v1.35.9" in old.evidence
    assert not check_api.versions([], server, "v1.36.3").ok


def pod(
    name: str = "p", namespace: str = "kube-system", phase: str = "Running", **more: Any
) -> Json:
    ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": at(timedelta(1))},
        "status": {"phase": phase, "conditions": [ready], "containerStatuses": [], **more},
    }


def test_each_part_of_the_control_plane_must_be_there_and_ready() -> None:
    parts = [pod(f"{p}-h1") for p in check_api.CONTROL_PLANE]
    assert check_api.control_plane(parts, ["h1"]).ok
    assert "kube-scheduler-h1: there is no such pod" in (
        check_api.control_plane(parts[:3], ["h1"]).evidence
    )
    pending = [*parts[:3], pod("kube-scheduler-h1", phase="Pending")]
    assert "kube-scheduler-h1: Pending" in check_api.control_plane(pending, ["h1"]).evidence
    elsewhere = [pod(f"{p}-h1", "default") for p in check_api.CONTROL_PLANE]
    assert not check_api.control_plane(elsewhere, ["h1"]).ok


@pytest.mark.parametrize(("defaults", "ok"), [([], False), (["a"], True), (["a", "b"], False)])
def test_exactly_one_storage_class_is_the_default(defaults: list[str], ok: bool) -> None:
    annotations = {check_api.DEFAULT_CLASS: "true"}
    classes: list[Json] = [{"metadata": {"name": "other"}}]
    classes += [{"metadata": {"name": n, "annotations": annotations}} for n in defaults]
    answer = check_api.default_class(classes)
    assert answer.ok is ok
    assert answer.evidence.startswith(f"{len(defaults)} default of {len(classes)} ")


def test_figures_are_wanted_of_every_node() -> None:
    figure = {"metadata": {"name": "h1"}, "usage": {"cpu": "31n", "memory": "5Ki"}}
    assert check_api.figures([figure], ["h1"]).ok
    assert "h2: no figures" in check_api.figures([figure], ["h1", "h2"]).evidence


@pytest.mark.parametrize(
    ("cpu", "memory", "told"),
    [("899588389n", "1054628Ki", "0.90 cores, 1.0 GiB"), ("2", "1Gi", "2.00 cores, 1.0 GiB")],
)
def test_figures_are_told_for_people(cpu: str, memory: str, told: str) -> None:
    figure = {"metadata": {"name": "h1"}, "usage": {"cpu": cpu, "memory": memory}}
    assert check_api.figures([figure], ["h1"]).evidence.endswith(f"h1 {told}")


def waiting(reason: str) -> Json:
    return {"restartCount": 3, "state": {"waiting": {"reason": reason}}}


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (pod(), ""),
        (pod(phase="Succeeded"), ""),
        (pod(containerStatuses=[waiting("CrashLoopBackOff")]), "CrashLoopBackOff"),
        (pod(phase="Pending", containerStatuses=[waiting("ErrImageNeverPull")]), "ErrImageNeve"),
        (pod(phase="Pending", initContainerStatuses=[waiting("RunContainerError")]), "RunCont"),
        (pod(phase="Pending"), "pending for 1440 min"),
        (pod(phase="Failed", reason="Evicted"), "failed (Evicted)"),
    ],
)
def test_a_pod_is_stuck_or_not(found: Json, fault: str) -> None:
    assert stuck(found, NOW).startswith(fault)
    assert bool(stuck(found, NOW)) == bool(fault)


def running(since: timedelta) -> Json:
    return {"state": {"running": {"startedAt": at(since)}}}


def ended(code: int, ago: timedelta, restarts: int, state: str = "state") -> Json:
    return {
        "restartCount": restarts,
        state: {"terminated": {"exitCode": code, "finishedAt": at(ago)}},
    }


def before(ago: timedelta) -> Json:
    return ended(1, ago, 2, "lastState")


@pytest.mark.parametrize(
    ("container", "ready", "crashing"),
    [
        (ended(1, timedelta(seconds=5), 2), False, True),
        (ended(1, timedelta(seconds=5), 1), False, False),
        (ended(0, timedelta(seconds=5), 9), False, False),
        (ended(1, timedelta(seconds=5), 2, "lastState"), True, False),
        (ended(137, timedelta(seconds=5), 6, "lastState"), True, True),
        (ended(137, timedelta(hours=5), 6, "lastState"), True, False),
        (
            running(timedelta(seconds=2)) | ended(1, timedelta(seconds=5), 2, "lastState"),
            True,
            True,
        ),
        (
            running(timedelta(minutes=1)) | ended(1, timedelta(seconds=70), 2, "lastState"),
            True,
            False,
        ),
    ],
)
def test_a_container_that_ends_again_and_again_is_seen_between_its_starts(
    container: Json, ready: bool, crashing: bool
) -> None:
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": at(timedelta(0))}]
    fault = stuck(pod(conditions=conditions, containerStatuses=[container]), NOW)
    assert ("again and again" in fault) is crashing
    assert bool(fault) is crashing


def test_a_young_pod_may_be_pending_or_unready() -> None:
    young = pod(phase="Pending", containerStatuses=[waiting("ContainerCreating")])
    young["metadata"]["creationTimestamp"] = at(timedelta(seconds=30))
    assert stuck(young, NOW) == ""
    since = {"type": "Ready", "status": "False", "lastTransitionTime": at(timedelta(minutes=4))}
    assert stuck(pod(conditions=[since]), NOW) == ""
    since["lastTransitionTime"] = at(timedelta(minutes=6))
    assert stuck(pod(conditions=[since]), NOW) == "not ready for 6 min"


def test_a_pod_on_its_way_out_is_well_however_its_program_ended() -> None:
    going = pod("Failed")
    going["metadata"]["deletionTimestamp"] = (NOW - timedelta(seconds=5)).isoformat()
    assert stuck(going, NOW) == ""


def test_a_pod_that_does_not_go_away_is_stuck() -> None:
    going = pod()
    going["metadata"]["deletionTimestamp"] = at(timedelta(minutes=6))
    assert stuck(going, NOW) == "is going away and does not"


def test_pods_of_checks_are_nobodys_workload() -> None:
    ours = pod(namespace="disco-check", containerStatuses=[waiting("CrashLoopBackOff")])
    assert check_api.workloads([ours, pod()], NOW).ok
    assert not check_api.workloads([ours], NOW).ok


MEMBERS = (
    '{"header":{"raft_term":2},"members":[{"ID":10591604359079986541,"name":"h1",'
    '"peerURLs":["https://10.0.0.1:2380"],"clientURLs":["https://10.0.0.1:2379"]}]}\n'
)
HEALTH = '[{"endpoint":"https://10.0.0.1:2379","health":true,"took":"5.9ms"}]\n'
STATUS = (
    '[{"Endpoint":"https://10.0.0.1:2379","Status":{"header":{},"version":"3.6.8",'
    '"dbSize":3637248,"leader":10591604359079986541}}]\n'
)
ALARMS = '{"header":{"raft_term":2}}\n'


def test_a_healthy_etcd_is_told_with_its_leader_and_size() -> None:
    answer = check_nodes.etcd(MEMBERS, HEALTH, STATUS, ALARMS)
    assert answer.ok
    assert answer.evidence == "1 of 1 members healthy: leader h1, 3.5 MiB, no alarm"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"health": HEALTH.replace("true", "false")}, "h1: is not healthy"),
        ({"health": "Error: context deadline exceeded"}, "h1: is not healthy"),
        ({"status": STATUS.replace("10591604359079986541", "0")}, "leader: 0 instead of one"),
        ({"alarms": '{"header":{},"alarms":[{"memberID":1,"alarm":1}]}'}, "alarms: [{"),
        ({"members": MEMBERS.replace('"name"', '"isLearner":true,"name"')}, "h1: is a learner"),
        (
            {"members": '{"members":[{"ID":255,"peerURLs":["https://10.0.0.2:2380"]}]}'},
            "member ff: has never started",
        ),
        ({"members": '{"level":"warn"}\nError: connection refused'}, "does not tell its members"),
    ],
)
def test_what_is_wrong_with_etcd_is_named(change: dict[str, str], fault: str) -> None:
    told = {"members": MEMBERS, "health": HEALTH, "status": STATUS, "alarms": ALARMS, **change}
    answer = check_nodes.etcd(told["members"], told["health"], told["status"], told["alarms"])
    assert not answer.ok
    assert fault in answer.evidence


def test_certificates_are_read_and_the_first_to_end_is_named() -> None:
    long, short = authority("ca", 365)[0], authority("leaf", 10)[0]
    told = {"h1": f"file /pki/ca.crt\n{long}file /pki/leaf.crt\n{short}"}
    now = datetime.now(UTC)
    answer = check_nodes.certificates(told, now)
    assert answer.evidence == "1 of 2 certificates last; h1:/pki/leaf.crt: ends in 10 days"
    later = check_nodes.certificates({"h1": f"file /pki/ca.crt\n{long}"}, now)
    assert later.ok
    assert "the first to end is h1:/pki/ca.crt, in 365 days" in later.evidence


@pytest.mark.parametrize("told", ["", "file /pki/ca.crt\nnot a certificate\n"])
def test_a_host_without_certificates_is_red(told: str) -> None:
    assert not check_nodes.certificates({"h1": told}, NOW).ok


def test_units_and_settings_that_are_not_as_wanted_are_named() -> None:
    assert check_nodes.inactive("active\nactive\nactive\n") == ""
    assert check_nodes.inactive("active\nfailed\nactive\n") == "kubelet.service is failed"
    assert check_nodes.inactive("") != ""
    right = "".join(line.replace("=", " = ") + "\n" for line in SYSCTLS.split())
    assert check_nodes.other_sysctls(right) == ""
    wrong = right.replace("ip_forward = 1", "ip_forward = 0")
    assert check_nodes.other_sysctls(wrong) == "net.ipv4.ip_forward is 0, not 1"
    assert "not there" in check_nodes.other_sysctls("")


RELEASE = Release(Cluster("c", "https://a", "ca"), "storage", "ns", "storage", "0", {"a": 1})


DEPLOYED = ReleaseSeen("storage", "ns", "deployed", 2, RELEASE.want, False)


@pytest.mark.parametrize(
    ("seen", "changed", "fault"),
    [
        (DEPLOYED, [], ""),
        (replace(DEPLOYED, digest="other"), [], "with other values"),
        (replace(DEPLOYED, revision=3, touched=True), [], "revision 3 was made by somebody"),
        (replace(DEPLOYED, status="failed"), [], "revision 2 is failed"),
        (None, [], "is not installed"),
        (DEPLOYED, ["Service a is gone"], "ns/storage: changed by hand: Service a is gone"),
        (DEPLOYED, ["Service a is gone", "b"], "Service a is gone and 1 more"),
    ],
)
def test_a_release_is_as_declared_or_why_not(
    seen: ReleaseSeen | None, changed: list[str], fault: str
) -> None:
    found = {"ns/storage": seen} if seen else {}
    answer = as_declared(found, {"ns/storage": RELEASE.want}, {"ns/storage": changed})
    assert answer.ok == (not fault)
    assert fault in answer.evidence
