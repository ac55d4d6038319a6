"""What was changed by hand is told from what the server only writes differently."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import Any

import httpx2
import pytest

from disco.engine.drift import Difference
from disco.kube.access import Cluster
from disco.kube.drift import _comparable, _short, fields, manifest, of_objects, owner


@pytest.mark.parametrize(
    ("wanted", "live", "lines"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b is 2, declared 1"]),
        ({"a": 1}, {}, ["a is null, declared 1"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a[1] is 3, declared 2"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a is [1, 2], declared [1]"]),
        ({"a": None, "b": [], "c": {}, "d": ""}, {}, []),
        ({"a": "1"}, {"a": 1}, ['a is 1, declared "1"']),
        (
            {"a": {"b": [{"c": "x"}]}},
            {"a": {"b": [{"c": "y", "d": 1}]}},
            ['a.b[0].c is "y", declared "x"'],
        ),
    ],
)
def test_only_what_was_declared_counts(wanted: Any, live: Any, lines: list[str]) -> None:
    found = [
        Difference("it", f.name, _short(f.now), _short(f.declared)) for f in fields(wanted, live)
    ]
    assert [str(d).removeprefix("it: ") for d in found] == lines


def release(text: str) -> dict[str, Any]:
    packed = gzip.compress(json.dumps({"manifest": text}).encode())
    data = base64.b64encode(base64.b64encode(packed)).decode()
    return {"data": {"release": data}}


def test_a_manifest_is_read_as_helm_reads_it() -> None:
    text = """---
kind: A
metadata: {name: a}
mode: 0400
---
# nothing
---
kind: B
metadata: {name: b, namespace: other}
on: yes
"""
    first, second = manifest(release(text), "home")
    assert first["mode"] == 256
    assert first["metadata"]["namespace"] == "home"
    assert second["metadata"]["namespace"] == "other"
    assert second[True] is True


def test_the_text_of_a_secret_is_compared_as_it_is_kept() -> None:
    wanted = {"kind": "Secret", "stringData": {"k": "v"}}
    assert _comparable(wanted) == {"kind": "Secret", "data": {"k": "dg=="}}


class _Changed:
    """A cluster in which a Secret's value was changed by hand: just what a comparison asks."""

    def __init__(self, live: dict[str, Any], again: dict[str, Any]) -> None:
        self.live, self.again = live, again

    async def find(self, cluster: Cluster, path: str) -> dict[str, Any]:
        return self.live

    def http(self, cluster: Cluster) -> httpx2.AsyncClient:
        answer = httpx2.MockTransport(lambda request: httpx2.Response(200, json=self.again))
        return httpx2.AsyncClient(transport=answer, base_url="https://cluster")


def test_a_changed_secret_is_named_and_its_value_is_not() -> None:
    def secret(value: str) -> dict[str, Any]:
        about = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}
        return {**about, "data": {"k": value}}

    kube: Any = _Changed(secret("dGhlaXJz"), secret("b3Vycw=="))
    found = asyncio.run(of_objects(kube, Cluster("c", "https://c", "ca"), [secret("b3Vycw==")], ""))

    assert found == [Difference("Secret s", "data.k", "another")]


LIVE = {
    "spec": {
        "replicas": 3,
        "ports": [{"port": 80, "protocol": "TCP", "name": "a"}],
        "args": ["x", "y"],
        "selector": {"app": "a"},
    },
    "metadata": {
        "managedFields": [
            {
                "manager": "helm",
                "time": "2026-01-01T00:00:00Z",
                "fieldsV1": {
                    "f:spec": {
                        "f:replicas": {},
                        "f:ports": {
                            'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}}
                        },
                        "f:args": {},
                        "f:selector": {"f:app": {}},
                    }
                },
            },
            {
                "manager": "kubectl-edit",
                "time": "2026-01-02T00:00:00Z",
                "fieldsV1": {
                    "f:spec": {
                        "f:replicas": {},
                        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:name": {}}},
                    }
                },
            },
        ]
    },
}


@pytest.mark.parametrize(
    ("path", "who"),
    [
        (("spec", "replicas"), "kubectl-edit 2026-01-02T00:00:00Z"),
        (("spec", "ports", 0, "name"), "kubectl-edit 2026-01-02T00:00:00Z"),
        (("spec", "ports", 0, "port"), "helm 2026-01-01T00:00:00Z"),
        (("spec", "args", 1), "helm 2026-01-01T00:00:00Z"),
        (("spec", "selector", "app"), "helm 2026-01-01T00:00:00Z"),
        (("spec", "paused"), ""),
    ],
)
def test_the_last_owner_of_a_field_is_known(path: tuple[str | int, ...], who: str) -> None:
    assert owner(LIVE, path) == who
