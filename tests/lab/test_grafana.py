"""Grafana's objects on a real API server: applied, found as declared, and taken away again.

Its own program does not run here: its image can't be had. So its pod is never waited for.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

import pytest
from stack import LabStack
from tools import Tools

from disco.cli.wiring import Session, open_stack
from disco.engine.action import Action
from disco.engine.secret import SecretRef
from disco.kube.execute import KubeExecutors
from disco.layers import registry
from disco.layers.platform.grafana import ADMIN, Grafana, GrafanaSpec
from disco.layers.platform.seen import ClusterSeen
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.store.actions import Remember, remember

# A kubelet that does not find it asks nobody but its own host for it.
IMAGE = ArtifactsOutputs(
    digests={}, manifests={"images/grafana": (("localhost/grafana:13.2.3", ""),)}, paths={}
)
KINDS = "deployment,service,serviceaccount,networkpolicy,configmap,secret"
MINE = ("-n", "monitoring", KINDS, "-l", "app.kubernetes.io/name=grafana")


def quietly(note: str, share: float | None) -> None:
    """Progress that nobody looks at."""


@dataclass
class Planned:
    """Grafana as a part of a stack that is up without it."""

    session: Session
    grafana: Grafana

    @classmethod
    async def on(cls, session: Session) -> Planned:
        known: dict[str, Any] = dict(await session.components())
        specs = {**session.loaded.specs, "grafana": GrafanaSpec()}
        spec = registry.with_wanted(specs, session.place.stack_folder)["grafana"]
        inputs = {
            "kubernetes": known["prometheus"].kubernetes,
            "artifacts": IMAGE,
            "prometheus": known["prometheus"].outputs(ClusterSeen()),
            "logs": known["logs"].outputs(ClusterSeen()),
        }
        return cls(session, Grafana("grafana", spec, inputs, session.place))

    async def left(self) -> list[str]:
        seen = await self.grafana.observe(self.session.world)
        return [step.id for step in self.grafana.steps(seen)]

    async def do(self, action: Action) -> None:
        kube = KubeExecutors(self.session.kube, self.session.lookup, self.session.find)
        if isinstance(action, Remember):
            await remember(action, self.session.store, quietly)
        else:
            await getattr(kube, action.kind)(action, quietly)


@pytest.fixture
def tools(stack: LabStack) -> Tools:
    return Tools(stack)


async def test_the_api_server_takes_its_objects_and_they_are_as_declared(
    stack: LabStack, tools: Tools
) -> None:
    async with open_stack(stack.file) as session:
        planned = await Planned.on(session)
        assert await planned.left() == ["password", "login", "release", "ready"]
        for step in planned.grafana.steps(ClusterSeen()):
            for action in step.actions:
                if not action.waits:
                    await planned.do(action)
        assert await planned.left() == ["ready"]
        password = session.lookup(SecretRef(ADMIN))

        data = tools.get("-n", "monitoring", "secret", "grafana-admin")["data"]
        assert base64.b64decode(data["password"]).decode() == password
        boards = tools.get("-n", "monitoring", "configmap", "grafana-dashboards")["data"]
        assert set(boards) == {
            f"{name}.json"
            for name in (
                *("stack", "disco", "servers", "cluster", "workloads", "prometheus", "probes"),
                *("logs", "vault", "chain-akash"),
            )
        }
        assert all("@" not in json.loads(text)["title"] for text in boards.values())
        config = tools.get("-n", "monitoring", "configmap", "grafana")["data"]
        assert password not in json.dumps(config)
        (declared,) = [c for c in planned.grafana.checks(session.world) if "declared" in c.id]
        answer = await declared.ask()
        assert answer.ok, answer.evidence

        seen = await planned.grafana.observe(session.world)
        for step in planned.grafana.removal(seen, ground_goes=False):
            for action in step.actions:
                await planned.do(action)
        session.store.forget(ADMIN)
    assert tools.get(*MINE)["items"] == []
    assert tools.get("-n", "monitoring", "statefulset", "prometheus")["status"]["readyReplicas"]


def test_an_image_that_can_not_be_reached_is_told_before_anything_is_changed(
    stack: LabStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    refused, before = with_grafana(stack, "artifacts: {sources: [build, download]}\n")
    assert refused.returncode == 1, refused.stderr
    assert "the image docker.io/grafana/grafana:13.2.3 can't be had" in refused.stderr
    assert "can't be reached" in refused.stderr and "leave out what needs it" in refused.stderr
    assert stack.journal() == before


def with_grafana(stack: LabStack, more: str) -> tuple[CompletedProcess[str], list[dict[str, Any]]]:
    """How `disco up` ends with Grafana in the stack file too, and the journal before it."""
    text, before = stack.file.read_text(), stack.journal()
    try:
        stack.file.write_text(f"{text}\ngrafana: {{}}\n{more}")
        return stack.disco("up", "--yes"), before
    finally:
        stack.file.write_text(text)


def test_a_stack_that_may_not_download_says_so_and_changes_nothing(stack: LabStack) -> None:
    refused, before = with_grafana(stack, "")
    assert refused.returncode == 2
    assert "docker.io/grafana/grafana:13.2.3 can't be had from build" in refused.stderr
    assert "artifacts: {sources: [build, download]}" in " ".join(refused.stderr.split())
    assert stack.journal() == before
