"""A drain that a disruption budget holds up says which one, and what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.actions import Drain
from disco.kube.execute import KubeExecutors
from disco.kube.reader import Kube
from sim import in_virtual_time

CLUSTER = Cluster("c", "https://10.0.0.1:6443", "kubernetes/ca")
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
NEEDS = "The disruption budget openbao needs 2 healthy pods and has 2 currently"


def refusal(*causes: dict[str, str]) -> dict[str, Any]:
    """What a real API server answers to an eviction that a budget does not allow."""
    return {
        "kind": "Status",
        "status": "Failure",
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "reason": "TooManyRequests",
        "details": {"causes": list(causes)},
        "code": 429,
    }


class OneNode(Kube):
    """An API with the node n and one pod on it, which answers so to its eviction."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._refusal = answer
        transport = httpx2.MockTransport(self._answer)
        self._client = httpx2.AsyncClient(transport=transport, base_url=CLUSTER.server)

    def http(self, cluster: Cluster) -> httpx2.AsyncClient:
        return self._client

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        match request.method, request.url.path:
            case "GET", "/api/v1/pods":
                pod = {"metadata": {"namespace": "vault", "name": "openbao-1"}}
                return httpx2.Response(200, json={"items": [pod]})
            case "POST", _:
                return httpx2.Response(429, json=self._refusal)
            case _:
                return httpx2.Response(200, json={"metadata": {"name": "n"}, "status": READY})


def held_up(answer: dict[str, Any]) -> tuple[str, str]:
    """What was said first while it waited, and why it gave up."""
    said: list[str] = []
    executors = KubeExecutors(OneNode(answer), lambda ref: "", Path)
    action = Drain(CLUSTER, "n", within_s=5)
    with pytest.raises(DiscoError) as caught:
        in_virtual_time(executors.drain(action, lambda note, share: said.append(note)))
    return said[0], caught.value.why


def test_the_budget_that_holds_a_pod_is_named_meanwhile_and_at_the_end() -> None:
    said, why = held_up(refusal({"reason": "DisruptionBudget", "message": NEEDS}))

    named = "vault/openbao-1 is held by the disruption budget vault/openbao"
    assert named in said
    assert why == f"last seen: {named} (needs 2 healthy pods and has 2 currently)"


def test_an_api_that_names_no_budget_is_quoted() -> None:
    _, why = held_up(refusal())

    said = "Cannot evict pod as it would violate the pod's disruption budget."
    assert why == f"last seen: vault/openbao-1 is held: {said}"
