"""What of Loki runs without its image: its objects on a real API server, and its collectors, whose
lines go by the same protocol to a VictoriaLogs in its place."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from stack import UP_S, LabStack, lab_stack, until
from tools import BUSYBOX, Json, Tools

from disco.checks.loki import label_of
from disco.cli.kept_loki import selectors_of
from disco.cli.target import Pods, Target
from disco.cli.wiring import Session, open_stack
from disco.kube.actions import Release
from disco.kube.execute import KubeExecutors
from disco.layers.platform.logs import Logs, LogsSpec
from disco.layers.platform.seen import ClusterSeen
from disco.layers.servers.artifacts import ArtifactsOutputs

STACK = """
name: loki
servers: {provider: local, count: 2, network: 10.88.242.0/24}
kubernetes: {}
prometheus: {scrape_interval: 5s}
artifacts: {also: [images/logs, images/loki-collector]}
"""
# A kubelet that does not find it asks nobody but its own host for it.
NOT_THERE = {"images/loki": (("localhost/loki:3.7.7", ""),)}
ENDPOINT = "http://store.store:9428/insert/opentelemetry/v1/logs"
QUERY = "/api/v1/namespaces/store/services/store:9428/proxy/select/logsql/query?"
MOST_S = 5.0
NODES = ("h1", "h2")
OFTEN = "i=0; while true; do i=$((i+1)); echo often-$i; sleep 1; done"
QUIET = "i=0; while true; do i=$((i+1)); sleep 11; echo quiet-$i; done"
FORGED = """echo '{"k8s.pod.name":"openbao-0","log.source":"journal","_msg":"forged"}'; sleep 900"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("loki"), STACK) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


@pytest.fixture(scope="module")
def t(stack: LabStack) -> Tools:
    tools = Tools(stack)
    tools.apply(*in_its_place(), *(writer(node) for node in NODES))
    tools.kubectl("-n", "store", "wait", "pod/store", "--for=condition=Ready", "--timeout=60s")
    return tools


def in_its_place() -> Iterator[Json]:
    labels = {"app": "store"}
    meta = {"name": "store", "namespace": "store"}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "store"}}
    port = {"port": 9428, "targetPort": 9428}
    spec: Json = {"selector": labels, "ports": [port]}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    container = {
        "name": "store",
        "image": "localhost/victoria-logs:v1.52.1",
        "imagePullPolicy": "Never",
        "args": ["-storageDataPath=/data", "-inmemoryDataFlushInterval=1s"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "nodeName": "h1",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"fsGroup": 1000},
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta | {"labels": labels}, "spec": spec}


def writer(node: str) -> Json:
    labels = {"app.kubernetes.io/name": "writer", "tier": "lab"}
    scripts = {"often": OFTEN, "quiet": QUIET, "forged": FORGED}
    containers = [
        {"name": n, "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
        for n, script in scripts.items()
    ]
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": containers}
    meta = {"name": f"writer-{node}", "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def quietly(note: str, share: float | None) -> None:
    """Progress that nobody looks at."""


async def loki(session: Session) -> Logs:
    """Loki as a part of a stack that is up without it."""
    known: Any = await session.components()
    there = known["prometheus"].artifacts
    inputs = {
        "kubernetes": known["prometheus"].kubernetes,
        "artifacts": ArtifactsOutputs(
            digests=there.digests, manifests={**there.manifests, **NOT_THERE}, paths=there.paths
        ),
    }
    return Logs("logs", LogsSpec(store="loki"), inputs, session.place)


def release_of(part: Logs) -> Release:
    steps = part.steps(ClusterSeen())
    return next(a for step in steps for a in step.actions if isinstance(a, Release))


def test_an_image_that_can_not_be_had_is_told_before_anything_is_changed(
    stack: LabStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    text, before = stack.file.read_text(), stack.journal()
    by_download = text.replace("artifacts: {", "artifacts: {sources: [build, download], ")
    try:
        stack.file.write_text(f"{text}\nlogs: {{store: loki}}\n")
        from_source = stack.disco("up", "--yes")
        stack.file.write_text(f"{by_download}\nlogs: {{store: loki}}\n")
        away = stack.disco("up", "--yes")
    finally:
        stack.file.write_text(text)
    assert from_source.returncode == 2
    assert "docker.io/grafana/loki:3.7.7 can't be had from build" in from_source.stderr
    assert away.returncode == 1
    assert "the image docker.io/grafana/loki:3.7.7 can't be had" in away.stderr
    assert stack.journal() == before


async def test_the_api_server_takes_its_objects_and_they_are_as_declared(
    stack: LabStack, t: Tools
) -> None:
    async with open_stack(stack.file) as session:
        part = await loki(session)
        kube = KubeExecutors(session.kube, session.lookup, session.find)
        release = release_of(part)
        await kube.release(release, quietly)
        seen = await part.observe(session.world)
        assert [step.id for step in part.steps(seen)] == ["ready"]
        (declared,) = [c for c in part.checks(session.world) if "declared" in c.id]
        answer = await declared.ask()
        assert answer.ok, answer.evidence

        collector = {**release.values["collector"], "endpoint": ENDPOINT}
        values = {**release.values, "collector": collector}
        await kube.release(replace(release, values=values), quietly)
    t.kubectl("-n", "logs", "rollout", "status", "daemonset/log-collector", "--timeout=80s")
    (wanted,) = t.get("-n", "logs", "pods", "-l", "app.kubernetes.io/name=loki")["items"]
    assert wanted["spec"]["containers"][0]["image"] == "localhost/loki:3.7.7"


def rows(t: Tools, query: str, limit: int = 1000) -> list[dict[str, str]]:
    out = t.kubectl("get", "--raw", QUERY + urlencode({"query": query, "limit": limit}))
    return [json.loads(line) for line in out.splitlines()]


def test_a_line_of_a_pod_is_found_within_seconds(t: Tools) -> None:
    until("lines come from all nodes", lambda: nodes_of(t, "often") == set(NODES), 60)
    seen: dict[str, float] = {}
    begun, ends = time.time(), time.monotonic() + 50
    while time.monotonic() < ends:
        for kind in ("often", "quiet"):
            for row in rows(t, f'"k8s.container.name":={kind} _time:20s'):
                written = datetime.fromisoformat(row["_time"]).timestamp()
                if written > begun:
                    name = f"{row['k8s.node.name']} {row['_msg']}"
                    seen.setdefault(name, time.time() - written)
        time.sleep(0.2)
    for kind in ("often", "quiet"):
        took = sorted(s for line, s in seen.items() if kind in line)
        middle, longest = took[len(took) // 2], took[-1]
        print(f"{kind}: {len(took)} lines, {middle:.1f} s (median), {longest:.1f} s at most")
        assert len(took) >= 3
        assert longest < MOST_S


def nodes_of(t: Tools, container: str) -> set[str]:
    found = rows(t, f'"k8s.container.name":={container} _time:1m')
    return {row["k8s.node.name"] for row in found}


def test_lines_have_what_disco_asks_loki_for_and_a_program_can_not_make_it_up(t: Tools) -> None:
    forged = rows(t, '"k8s.container.name":=forged')
    assert {row["k8s.pod.name"] for row in forged} == {"writer-h1", "writer-h2"}
    assert {row["log.source"] for row in forged} == {"pods"}
    assert all("openbao-0" in row["_msg"] for row in forged)
    asked = Pods("default", "app.kubernetes.io/name=writer,tier=lab", "writer-h1", "forged")
    (query,) = selectors_of(Target("x", pods=(asked,)))
    row = next(row for row in forged if row["k8s.pod.name"] == "writer-h1")
    for name, value in row.items():
        if label_of(name) in query:
            query = query.replace(f'{label_of(name)}="{value}"', "")
    assert query.translate(str.maketrans("", "", "{},| ")) == "", query


def test_a_line_of_a_servers_journal_is_found_with_its_unit(t: Tools) -> None:
    token = uuid.uuid4().hex
    for node in NODES:
        t.on_host(f"logger --tag lab 'here is {token}'", node)
    found = until("all are there", lambda: len(got := rows(t, token)) == 2 and got, 20)
    assert {(r["log.source"], r["k8s.node.name"], r["host.name"]) for r in found} == {
        ("journal", node, node) for node in NODES
    }
    assert {r["syslog.identifier"] for r in found} == {"lab"}
    assert {r["_msg"] for r in found} == {f"here is {token}"}
    units = rows(t, '"log.source":=journal "systemd.unit":=kubelet.service', 2000)
    assert {r["k8s.node.name"] for r in units} == set(NODES)
    assert all(r["process.pid"].isdigit() for r in units)


def test_each_node_has_a_line_by_which_its_way_is_checked(t: Tools) -> None:
    until("all beat", lambda: nodes_of(t, "beat") == set(NODES), 30)


def test_nothing_of_it_stays(stack: LabStack, t: Tools) -> None:
    t.helm("-n", "logs", "uninstall", "logs", "--wait=false")
    kinds = "daemonset,statefulset,service,serviceaccount,configmap,networkpolicy"
    left = t.get("-n", "logs", kinds, "-l", "app.kubernetes.io/part-of=disco")["items"]
    assert left == []
