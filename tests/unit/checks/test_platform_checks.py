"""What Prometheus and the vault answer is judged as it really looks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from disco.checks.prometheus import seconds, youngest_s
from disco.hosts.host import Host
from disco.layers.platform import check_logs, check_metrics, check_vault
from disco.layers.platform.quorum import Quorum

Json = dict[str, Any]
H1, H2 = Host("h1", "10.0.0.1"), Host("h2", "10.0.0.2")


def target(job: str, health: str = "up", error: str = "") -> Json:
    return {"labels": {"job": job, "instance": "a:1"}, "health": health, "lastError": error}


def test_every_target_must_be_up() -> None:
    up = check_metrics.targets([target("kubelet"), target("etcd")])
    assert up.evidence == "2 of 2 targets up: etcd, kubelet"
    down = check_metrics.targets([target("kubelet"), target("etcd", "down", "refused")])
    assert down.evidence == "1 of 2 targets up; etcd a:1: down, refused"
    new = check_metrics.targets([target("etcd", "unknown")])
    assert "unknown, not scraped yet" in new.evidence
    assert not check_metrics.targets([]).ok


URL = "https://metrics.example/w"
YEARS = 1.79e9


@pytest.mark.parametrize(
    ("behind_s", "refused", "told"),
    [
        ({URL: 4.0}, {URL: 0.0}, "1 of 1 remote stores up to date: at most 4 s behind"),
        ({URL: 300.0}, {}, "is 300 s behind"),
        ({URL: YEARS}, {}, "has taken nothing yet"),
        ({URL: 4.0}, {URL: 17.0}, "refused 17 samples within a minute"),
        ({}, {}, "nothing is sent to it"),
    ],
)
def test_a_remote_store_that_takes_nothing_or_late_is_named(
    behind_s: dict[str, float], refused: dict[str, float], told: str
) -> None:
    answer = check_metrics.remote([URL], behind_s, refused)
    assert told in answer.evidence
    assert answer.ok == ("up to date: " in told)
    assert answer.ok or URL in answer.evidence


def pod(name: str, asks: bool, phase: str = "Running", **labels: str) -> Json:
    annotations = {"prometheus.io/scrape": "true"} if asks else {}
    meta = {"name": name, "namespace": "ns", "annotations": annotations, "labels": labels}
    return {"metadata": meta, "status": {"phase": phase}}


def test_samples_are_expected_of_every_node_control_plane_and_pod_that_asks() -> None:
    service = {
        "metadata": {"namespace": "ns", "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {"selector": {"app": "dns"}},
    }
    pods = [
        pod("asks", True),
        pod("silent", False),
        pod("done", True, "Succeeded"),
        pod("behind", False, app="dns", x="y"),
        pod("beside", False, app="web"),
    ]
    wanted = [*check_metrics.sources([H1, H2], [H1]), *check_metrics.asking(pods, [service])]
    assert wanted == [
        *("node-exporter h1", "kubelet h1", "cadvisor h1"),
        *("node-exporter h2", "kubelet h2", "cadvisor h2"),
        *("apiserver 10.0.0.1:6443", "etcd 10.0.0.1:2381"),
        *("scheduler 10.0.0.1:10259", "controller-manager 10.0.0.1:10257"),
        *("pod ns/asks", "pod ns/behind"),
    ]


def test_a_pod_that_is_going_away_owes_no_samples() -> None:
    going = pod("p", True)
    going["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert list(check_metrics.asking([going], [])) == []


@pytest.mark.parametrize(
    ("labels", "source"),
    [
        ({"job": "kubelet", "instance": "h1", "node": "h1"}, "kubelet h1"),
        ({"job": "node-exporter", "instance": "10.0.0.1:9100", "node": "h1"}, "node-exporter h1"),
        ({"job": "etcd", "instance": "10.0.0.1:2381"}, "etcd 10.0.0.1:2381"),
        ({"job": "pods", "namespace": "akash", "pod": "v-0", "node": "h1"}, "pod akash/v-0"),
        ({"job": "services", "namespace": "ns", "pod": "d", "service": "dns"}, "pod ns/d"),
        ({"job": "prometheus", "instance": "127.0.0.1:9090"}, "prometheus 127.0.0.1:9090"),
    ],
)
def test_a_series_is_known_by_what_it_tells_about(labels: dict[str, str], source: str) -> None:
    assert check_metrics.source(labels) == source


def test_a_source_without_samples_is_named() -> None:
    found = {"kubelet h1": 100.0, "kubelet h2": 0.0}
    answer = check_metrics.samples(found, ["kubelet h1", "kubelet h2", "etcd x"])
    assert answer.evidence == (
        "1 of 3 sources have samples; kubelet h2: no samples; etcd x: no samples"
    )


def rule(name: str, health: str = "ok", **more: Any) -> Json:
    return {"name": name, "health": health, "lastError": "many-to-many", **more}


def test_a_rule_that_is_missing_or_fails_is_named() -> None:
    groups = [{"rules": [rule("HostDown"), rule("Broken", "err")]}]
    answer = check_metrics.rules(groups, ["HostDown", "VaultSealed"])
    assert answer.evidence == (
        "1 of 3 rules loaded and computed; VaultSealed: is not loaded; Broken: err, many-to-many"
    )
    assert not check_metrics.rules([], []).ok


def alert(severity: str, state: str = "firing") -> Json:
    return {
        "labels": {"alertname": f"A-{severity}", "severity": severity},
        "annotations": {"summary": "h1 is down"},
        "state": state,
        "activeAt": "2026-11-24T12:00:00.123Z",
    }


@pytest.mark.parametrize(
    ("alerts", "ok", "told"),
    [
        ([], True, "none severe of 1 alert rules fires"),
        ([alert("warning")], True, "(less severe ones: A-warning)"),
        ([alert("critical", "pending")], True, "none severe"),
        ([alert("critical")], False, "1 firing: A-critical since 2026-11-24T12:00:00: h1 is down"),
        ([alert("page"), alert("warning")], False, "1 firing: A-page"),
    ],
)
def test_only_a_severe_alert_that_fires_is_red(alerts: list[Json], ok: bool, told: str) -> None:
    answer = check_metrics.alerts([{"rules": [rule("R", alerts=alerts)]}])
    assert answer.ok is ok
    assert told in answer.evidence


def test_no_alert_rule_at_all_is_red() -> None:
    assert not check_metrics.alerts([]).ok


def test_the_youngest_pod_that_is_scraped_decides_how_long_to_wait() -> None:
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    old, new = pod("old", True), pod("new", False)
    old["status"]["startTime"] = "2026-11-24T11:00:00Z"
    new["status"]["startTime"] = "2026-11-24T11:59:58Z"
    assert youngest_s([old, new], now) == 3600
    new["metadata"]["annotations"]["prometheus.io/scrape"] = "true"
    assert youngest_s([old, new], now) == 2
    assert youngest_s([], now) == 0


@pytest.mark.parametrize(
    ("text", "found"), [("15s", 15), ("1m", 60), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600)]
)
def test_durations_of_prometheus_are_read(text: str, found: float) -> None:
    assert seconds(text) == found


def member(name: str, leader: bool = False, voter: bool = True) -> Json:
    return {"node_id": name, "leader": leader, "voter": voter, "address": f"{name}:8201"}


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([member("bao-0", True), member("bao-1")], ""),
        ([member("bao-0", True)], "bao-1: is no member"),
        ([member("bao-0", True), member("bao-1", voter=False)], "bao-1: does not vote"),
        ([member("bao-0"), member("bao-1")], "leader: 0 instead of one"),
        ([], "bao-0: is no member"),
    ],
)
def test_raft_has_one_leader_and_every_pod_votes(members: list[Json], fault: str) -> None:
    answer = check_vault.raft(members, ["bao-0", "bao-1"])
    assert answer.ok == (not fault)
    assert fault in answer.evidence


def test_the_delivered_secret_is_compared_by_its_hash() -> None:
    wanted = "5d" * 32
    assert check_vault.delivered({"p": f"{wanted}  -\n"}, wanted).ok
    later = check_vault.delivered({"p": f"{'00' * 32}  -\n{wanted}  -\n"}, wanted)
    assert later.ok, "the newest line counts"
    for log in ("", "sh: sha256sum: not found\n", f"{'00' * 32}  -\n"):
        assert not check_vault.delivered({"p": log}, wanted).ok
    assert not check_vault.delivered({}, wanted).ok


def test_a_policy_allows_what_it_should_and_no_more() -> None:
    exact = {path: set(may) for path, may in check_vault.MAY.items()}
    assert check_vault.capabilities(exact).ok
    more = exact | {"kv/data/disco/probe": {"read", "update"}}
    assert "kv/data/disco/probe: may read, update" in check_vault.capabilities(more).evidence
    less = exact | {"kv/data/disco/probe": {"deny"}}
    assert not check_vault.capabilities(less).ok
    assert not check_vault.capabilities({}).ok


THREE = Quorum(("anna", "ben", "carla"), 2)


@pytest.mark.parametrize(
    ("there", "owed", "made", "told"),
    [
        (THREE, {}, 3, "3 of 3 hold a share: 2 of anna, ben, carla unseal it"),
        (Quorum(("anna", "ben"), 2), {}, 2, "carla: has no share"),
        (Quorum(("anna", "ben", "carla", "eve"), 2), {}, 4, "eve: holds a share, and the file"),
        (THREE, {"vault/share-dan": "dan left"}, 3, "dan: left with a share"),
        (Quorum(THREE.holders, 3), {}, 3, "threshold: is 3, not 2"),
        (THREE, {"vault/init": "dan left"}, 4, "the vault: has made 4 shares, the store has 3"),
    ],
)
def test_shares_are_judged_by_what_the_file_names(
    there: Quorum, owed: dict[str, str], made: int, told: str
) -> None:
    answer = check_vault.shares(there, THREE, owed, made)
    assert told in answer.evidence
    assert answer.ok == answer.evidence.startswith("3 of 3 hold")


def test_the_way_of_logs_is_red_for_each_node_and_each_kind_of_line() -> None:
    whole = check_logs.flow({"h1": "", "h2": ""}, {"h1", "h2"}, {"h1", "h2"})
    assert (whole.ok, whole.evidence) == (True, "4 of 4 ways to the store carry")
    part = check_logs.flow({"h1": "", "h2": ""}, {"h1"}, {"h2"})
    assert part.evidence == (
        "2 of 4 ways to the store carry; pods of h1: no line of the last 35 s; "
        "h2's journal: its line is not there"
    )
    away = check_logs.flow({"h1": "h1: no answer in time"}, set(), {"h1"})
    assert "h1's journal: h1: no answer in time" in away.evidence


AUDIT = {"type": "file", "options": {"file_path": "stdout"}}
RAW = {"type": "file", "options": {"file_path": "stdout", "log_raw": "true"}}
ELSEWHERE = {"type": "file", "options": {"file_path": "/data/audit"}}


def test_a_vault_that_writes_every_request_without_secrets_is_audited() -> None:
    assert check_vault.audited({"stdout/": AUDIT}).ok


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        ({}, "stdout: nothing is written to the pods' logs"),
        ({"file/": ELSEWHERE}, "stdout: nothing is written to the pods' logs"),
        ({"stdout/": RAW}, "stdout/: writes secrets as they are"),
        ({"stdout/": AUDIT, "other/": RAW}, "other/: writes secrets as they are"),
    ],
)
def test_a_vault_that_is_not_audited_is_told(devices: Mapping[str, Any], why: str) -> None:
    answer = check_vault.audited(devices)
    assert not answer.ok
    assert why in answer.evidence
