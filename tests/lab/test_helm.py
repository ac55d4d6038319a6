"""Releases: what people do by hand with helm and kubectl is seen in the plan, and mended."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from stack import LabStack

from disco.artifacts import Artifacts

CHARTS = Path(__file__).resolve().parents[2] / "charts"
RELEASE, NAMESPACE = "metrics-server", "kube-system"


def helm(stack: LabStack, *words: str) -> str:
    held = Artifacts().held("helm")
    assert held
    config = stack.file.parent / "kubeconfig"
    if not config.exists():
        config.touch(mode=0o600)
        config.write_text(stack.must("kubeconfig"))
    done = subprocess.run(
        [str(held.path), *words, "-n", NAMESPACE],
        env={**os.environ, "KUBECONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def planned(stack: LabStack) -> list[str]:
    plan = json.loads(stack.must("plan", "--json"))
    return [s["title"] for c in plan["components"] for s in c["steps"]]


def seen_and_mended(stack: LabStack) -> None:
    assert "metrics-server" in planned(stack)
    stack.must("apply", "--yes", within_s=240)
    assert planned(stack) == []


def test_our_charts_are_seen_by_helm_list(stack: LabStack) -> None:
    listed = json.loads(helm(stack, "list", "-A", "-o", "json"))
    found = {r["name"]: r["status"] for r in listed}
    assert {"network", "storage", "metrics-server", "prometheus", "openbao", "akash"} <= set(found)
    assert set(found.values()) == {"deployed"}


def test_an_upgrade_by_hand_is_seen_and_mended(stack: LabStack) -> None:
    chart = str(CHARTS / "metrics-server")
    helm(stack, "upgrade", RELEASE, chart, "--reuse-values", "--set", "resolution=30s")
    seen_and_mended(stack)
    values = json.loads(helm(stack, "get", "values", RELEASE, "-o", "json"))
    assert "resolution" not in values


def test_a_rollback_by_hand_is_seen_and_mended(stack: LabStack) -> None:
    helm(stack, "rollback", RELEASE)
    seen_and_mended(stack)


def test_a_field_changed_by_hand_is_seen_and_mended(stack: LabStack) -> None:
    words = ("-n", NAMESPACE, "scale", "deploy/metrics-server", "--replicas=0")
    stack.must("kubectl", "--", *words)
    seen_and_mended(stack)


def test_an_object_deleted_by_hand_is_seen_and_mended(stack: LabStack) -> None:
    stack.must("kubectl", "--", "-n", NAMESPACE, "delete", "service", "metrics-server")
    seen_and_mended(stack)


@pytest.mark.parametrize("state", ["pending-upgrade", "pending-rollback"])
def test_a_release_that_a_killed_helm_left_pending_is_mended(stack: LabStack, state: str) -> None:
    history = json.loads(helm(stack, "history", RELEASE, "-o", "json"))
    newest = max(r["revision"] for r in history)
    name = f"sh.helm.release.v1.{RELEASE}.v{newest}"
    labels = {"metadata": {"labels": {"status": state}}}
    patch = json.dumps({**labels, "data": _pending(stack, name, state)})
    stack.must("kubectl", "--", "-n", NAMESPACE, "patch", "secret", name, "-p", patch)
    listed = json.loads(helm(stack, "list", "-o", "json"))
    assert {r["name"]: r["status"] for r in listed}[RELEASE] == state
    seen_and_mended(stack)
    listed = json.loads(helm(stack, "list", "-o", "json"))
    assert {r["name"]: r["status"] for r in listed}[RELEASE] == "deployed"


def _pending(stack: LabStack, name: str, state: str) -> dict[str, str]:
    """The release's own record with another state, as helm writes it when it begins."""
    get = ("-n", NAMESPACE, "get", "secret", name, "-o", "json")
    secret = json.loads(stack.must("kubectl", "--", *get))
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    record = json.loads(gzip.decompress(packed))
    record["info"]["status"] = state
    again = base64.b64encode(gzip.compress(json.dumps(record).encode()))
    return {"release": base64.b64encode(again).decode()}


def test_a_chart_refuses_values_that_its_schema_does_not_know(stack: LabStack) -> None:
    held = Artifacts().held("helm")
    assert held
    chart = str(CHARTS / "metrics-server")
    done = subprocess.run(
        [str(held.path), "template", "x", chart, "--set", "replicaz=2"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "replicaz" in done.stderr
