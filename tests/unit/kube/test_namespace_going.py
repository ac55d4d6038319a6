"""A namespace that goes away is waited for: by who takes it away, since a plan would count what is
in it, and by what comes into it, since the API refuses it before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.actions import Apply, Delete
from disco.kube.execute import KubeExecutors
from disco.kube.reader import Kube
from sim import in_virtual_time

CLUSTER = Cluster("c", "https://10.0.0.1:6443", "kubernetes/ca")
GOING = {"metadata": {"name": "vault", "deletionTimestamp": "2026-01-31T12:00:00Z"}}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault"}}
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "vault"}}


class Going(Kube):
    """An API whose namespace `vault` is gone after it was looked at so often."""

    def __init__(self, looks: int) -> None:
        self.looks, self.made = looks, list[str]()
        transport = httpx2.MockTransport(self._answer)
        self._client = httpx2.AsyncClient(transport=transport, base_url=CLUSTER.server)

    def http(self, cluster: Cluster) -> httpx2.AsyncClient:
        return self._client

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            assert request.url.path == "/api/v1/namespaces/vault"
            self.looks -= 1
            return httpx2.Response(200, json=GOING) if self.looks > 0 else httpx2.Response(404)
        if request.method == "DELETE":
            return httpx2.Response(200, json={})
        if self.looks > 0:
            return httpx2.Response(403, json={"message": "it is being terminated"})
        self.made.append(request.url.path)
        return httpx2.Response(200, json={})


def applied(kube: Going, *objects: dict[str, Any]) -> list[str]:
    said: list[str] = []
    executors = KubeExecutors(kube, lambda ref: "", Path)
    action = Apply(CLUSTER, "it", objects)
    in_virtual_time(executors.apply(action, lambda note, share: said.append(note)))
    return said


def test_it_is_waited_for_and_what_it_waits_for_is_said() -> None:
    kube = Going(looks=5)
    said = applied(kube, NAMESPACE, OBJECT)
    assert "vault is going away" in said[0]
    assert [path.rpartition("/")[2] for path in kube.made] == ["vault", "a"]


def test_who_takes_it_away_waits_until_it_is_gone() -> None:
    kube, said = Going(looks=5), list[str]()
    executors = KubeExecutors(kube, lambda ref: "", Path)
    action = Delete(CLUSTER, "/api/v1/namespaces/vault")
    in_virtual_time(executors.delete(action, lambda note, share: said.append(note)))
    assert kube.looks <= 0 and "vault is going away" in said[0]


def test_one_that_does_not_go_is_named_with_what_to_do() -> None:
    with pytest.raises(DiscoError, match="vault") as caught:
        applied(Going(looks=10_000), OBJECT)
    assert "is going away" in caught.value.why
