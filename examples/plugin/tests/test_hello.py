"""Steps and verdicts are pure functions: they are tested without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from disco_hello.checks import page
from disco_hello.component import Hello, HelloSpec

from disco.plugin import (
    ArtifactsOutputs,
    Cluster,
    ClusterSeen,
    KubernetesOutputs,
    Place,
    Release,
    Step,
)

IMAGE = "localhost/busybox:1.35.0"


def hello(**spec: Any) -> Hello:
    cluster = Cluster("test", "https://192.0.2.1:6443", "kubernetes/ca")
    inputs = {
        "kubernetes": KubernetesOutputs(cluster=cluster, control_planes=(), nodes=(), proxies=()),
        "artifacts": ArtifactsOutputs(
            digests={}, manifests={"images/storage": ((IMAGE, "sha256:0"),)}, paths={}
        ),
    }
    return Hello("hello", HelloSpec(**spec), inputs, Place(Path("/nowhere")))


def identities(steps: list[Step]) -> list[str]:
    return [a.identity for s in steps for a in s.actions]


def test_in_an_empty_cluster_the_page_is_installed_and_waited_for() -> None:
    made = hello(greeting="good morning", replicas=2)
    steps = list(made.steps(made.nothing()))

    assert identities(steps) == [
        "apply test:objects/hello",
        "release test:release/hello/hello",
        "await-rollout test:await/deployments/hello/hello",
    ]
    release = steps[0].actions[1]
    assert isinstance(release, Release)
    assert release.values == {
        "image": IMAGE,
        "replicas": 2,
        "greeting": "good morning",
        "port": 8080,
    }


def test_nothing_is_planned_where_all_is_done() -> None:
    made = hello()
    done = frozenset(identities(list(made.steps(made.nothing()))))

    assert list(made.steps(ClusterSeen(done))) == []
    assert made.exists(ClusterSeen(done))


def test_the_way_out_removes_the_namespace_and_says_what_is_lost() -> None:
    there = ClusterSeen(releases=frozenset({"hello/hello"}))

    steps = list(hello().removal(there, False))
    assert identities(steps)[-1] == "delete test:/api/v1/namespaces/hello"
    assert "everything in the namespace hello" in hello().loses(there)
    assert list(hello().removal(there, True)) == [], "it goes with the servers"
    assert list(hello().removal(ClusterSeen(), False)) == []
    cut_off = ClusterSeen(frozenset({"apply test:objects/hello"}))
    assert list(hello().removal(cut_off, False)) == steps


def test_only_the_declared_greeting_is_a_green_answer() -> None:
    assert page(200, "hello\n", "hello").ok
    assert page(200, "bye", "hello").evidence == "another page: 'bye'"
    assert page(503, "no endpoints", "hello").evidence == "HTTP 503: no endpoints"
