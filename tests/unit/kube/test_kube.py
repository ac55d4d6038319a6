"""What is asked of a cluster is judged from what the API really answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef, Text
from disco.kube import charts
from disco.kube.access import Cluster, PrivateFolder, kubeconfig
from disco.kube.actions import Apply, Release
from disco.kube.paths import path_of
from disco.kube.reader import _release
from disco.kube.revealing import reveal
from disco.kube.rollout import behind, stuck

CLUSTER = Cluster("c", "https://10.0.0.1:6443", "kubernetes/ca")


def stateful(**status: Any) -> dict[str, Any]:
    base = {"observedGeneration": 2, "currentRevision": "a", "updateRevision": "a", "replicas": 3}
    return {
        "kind": "StatefulSet",
        "metadata": {"generation": 2},
        "spec": {"replicas": 3},
        "status": {**base, **status},
    }


@pytest.mark.parametrize(
    ("workload", "missing"),
    [
        (stateful(readyReplicas=3), ""),
        (stateful(readyReplicas=2), "2 of 3 pods are ready"),
        (stateful(observedGeneration=1, readyReplicas=3), "the controller has not seen"),
        (stateful(updateRevision="b", updatedReplicas=1, readyReplicas=3), "1 of 3 pods are up"),
        (stateful(replicas=1, readyReplicas=1), "1 of 3 pods are up"),
    ],
)
def test_a_statefulset_has_come_as_far_as_its_status_says(
    workload: dict[str, Any], missing: str
) -> None:
    assert behind(workload).startswith(missing)
    assert bool(behind(workload)) == bool(missing)


def test_a_deployment_may_be_waited_for_until_enough_of_it_is_there() -> None:
    one = {
        "kind": "Deployment",
        "metadata": {"generation": 1},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 1, "updatedReplicas": 2, "readyReplicas": 1},
    }
    assert behind(one) == "1 of 2 pods are ready"
    assert behind(one, enough=1) == ""
    one["status"] = {"observedGeneration": 1, "updatedReplicas": 1}
    assert behind(one, enough=1) == "0 of 1 pods are ready"


def test_a_daemonset_that_no_node_takes_is_not_there_yet() -> None:
    empty = {"kind": "DaemonSet", "metadata": {}, "status": {"desiredNumberScheduled": 0}}
    assert behind(empty) == "no node takes it yet"


def pod(ready: bool, revision: str, owner: str = "u", going: bool = False) -> dict[str, Any]:
    meta = {
        "ownerReferences": [{"uid": owner}],
        "labels": {"controller-revision-hash": revision},
        **({"deletionTimestamp": "now"} if going else {}),
    }
    state = "True" if ready else "False"
    return {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": state}]}}


@pytest.mark.parametrize(
    ("found", "is_stuck"),
    [
        (pod(False, "old"), True),
        (pod(True, "old"), False),
        (pod(False, "new"), False),
        (pod(False, "old", owner="other"), False),
        (pod(False, "old", going=True), False),
    ],
)
def test_only_a_pod_of_an_older_revision_that_is_not_ready_blocks(
    found: dict[str, Any], is_stuck: bool
) -> None:
    assert stuck(found, "u", "new") is is_stuck


@pytest.mark.parametrize(
    ("thing", "path"),
    [
        (("v1", "Namespace", "a", ""), "/api/v1/namespaces/a"),
        (("v1", "Secret", "s", "n"), "/api/v1/namespaces/n/secrets/s"),
        (("apps/v1", "Deployment", "d", "n"), "/apis/apps/v1/namespaces/n/deployments/d"),
        (
            ("networking.k8s.io/v1", "NetworkPolicy", "p", "n"),
            "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/p",
        ),
    ],
)
def test_objects_have_their_api_path(thing: tuple[str, str, str, str], path: str) -> None:
    version, kind, name, namespace = thing
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    assert path_of({"apiVersion": version, "kind": kind, "metadata": meta}) == path


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(DiscoError, match="Widget"):
        path_of({"apiVersion": "v1", "kind": "Widget", "metadata": {"name": "w"}})


def release(values: dict[str, Any], source: str = "s") -> Release:
    return Release(CLUSTER, "r", "n", "chart", source, values)


def test_a_release_is_recognised_by_chart_and_values() -> None:
    one = release({"a": 1, "b": {"c": Text.of(SecretRef("x"))}})
    assert one.want == release({"b": {"c": Text.of(SecretRef("x"))}, "a": 1}).want
    assert one.want != release({"a": 2, "b": {"c": Text.of(SecretRef("x"))}}).want
    assert one.want != release({"a": 1, "b": {"c": Text.of(SecretRef("x"))}}, "t").want
    assert len(one.want) <= 63, "it is kept in a label"


def test_a_revision_that_somebody_else_made_is_seen() -> None:
    labels = {"name": "r", "status": "deployed", "version": "4", "disco-digest": "d"}
    mine = _release({"namespace": "n", "labels": {**labels, "disco-revision": "4"}})
    theirs = _release({"namespace": "n", "labels": {**labels, "disco-revision": "3"}})
    assert not mine.touched
    assert theirs.touched
    pending = _release({"namespace": "n", "labels": {**labels, "status": "pending-upgrade"}})
    assert pending.pending


def test_secrets_stay_references_until_they_are_revealed() -> None:
    objects = ({"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": SecretRef("a", "b")}},)
    action = Apply(CLUSTER, "x", objects)
    assert "${secret:a#b}" in action.command()
    shown = reveal(objects[0], lambda ref: "canary")
    assert shown["data"]["k"] == "canary"
    assert "canary" not in action.command()


def test_a_kubeconfig_has_everything_in_it_and_lies_in_a_private_file() -> None:
    folder = PrivateFolder()
    try:
        path = folder.write("config", str(kubeconfig(CLUSTER, "ca", "crt", "key")))
        assert path.stat().st_mode & 0o077 == 0
        assert folder.path.stat().st_mode & 0o077 == 0
    finally:
        folder.close()
    assert not folder.path.exists()


def test_a_chart_is_known_by_the_content_of_its_files(tmp_path: Path) -> None:
    chart = tmp_path / "c" / "templates"
    chart.mkdir(parents=True)
    (chart / "a.yaml").write_text("a")
    first = charts.digest_of(tmp_path / "c")
    assert charts.digest_of(tmp_path / "c") == first
    (chart / "a.yaml").write_text("b")
    assert charts.digest_of(tmp_path / "c") != first


@pytest.mark.parametrize("chart", ["nonsense", "no_such_package:charts/x", "disco:charts/x"])
def test_a_chart_that_is_not_there_is_an_error_that_names_it(chart: str) -> None:
    with pytest.raises(DiscoError, match=f"there is no chart {chart}"):
        charts.folder(chart)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    first = PrivateFolder()
    gone = first.path.with_name("disco-kube-999999999-left")
    gone.mkdir()
    second = PrivateFolder()
    try:
        assert not gone.exists()
        assert first.path.exists(), "this process lives"
    finally:
        first.close()
        second.close()
