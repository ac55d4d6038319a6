"""Plans and drift on a running network: what was reviewed is carried out, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import LabStack

FILE = "/etc/sysctl.d/90-disco.conf"
PROVISIONER = "deploy/local-path-provisioner"


@pytest.fixture
def changed(stack: LabStack) -> Iterator[LabStack]:
    """A file on the server and a release's object, changed by hand; put back at the end."""
    stack.must("exec", "h1", "--", "sed", "-i", "s/^net.ipv4/# net.ipv4/", FILE)
    patch = ("patch", PROVISIONER, "--type=merge", "-p", json.dumps({"spec": {"replicas": 0}}))
    kubectl(stack, "-n", "kube-storage", *patch)
    yield stack
    stack.must("apply", "--yes", within_s=300)


def kubectl(stack: LabStack, *words: str) -> str:
    return stack.must("kubectl", "--", *words)


def test_changes_by_hand_are_told_with_old_new_and_owner(changed: LabStack) -> None:
    done = changed.disco("diff", "--json")
    assert done.returncode == 3, done.stderr
    found = {f["thing"]: f for f in json.loads(done.stdout)}
    file, release = found[f"h1:{FILE}"], found["disco:release/kube-storage/storage"]
    assert file["by_hand"] and release["by_hand"]
    assert file["differences"][0]["now"].splitlines()[-1] == "+# net.ipv4.ip_forward=1"
    assert file["differences"][0]["owner"].startswith("root ")
    (scaled,) = release["differences"]
    assert scaled["field"] == "spec.replicas"
    assert (scaled["now"], scaled["declared"]) == ("0", "1")
    assert scaled["owner"].startswith("kubectl")
    status = json.loads(changed.disco("status", "--json").stdout)
    assert "kubernetes" in status["drift"]


def test_a_kept_plan_is_carried_out_once_and_then_refused(
    changed: LabStack, tmp_path: Path
) -> None:
    plan = tmp_path / "p.json"
    changed.must("plan", "--out", str(plan))
    assert changed.must("plan", "--out", str(tmp_path / "q.json")) != ""
    assert plan.read_bytes() == (tmp_path / "q.json").read_bytes(), "same state, same bytes"

    told = json.loads(changed.must("apply", str(plan), "--json", within_s=300))
    assert (told["outcome"], told["done"]) == ("done", told["steps"])
    assert changed.disco("diff").returncode == 0

    again = changed.disco("apply", str(plan))
    assert again.returncode == 1
    assert "what is there has changed since the plan was made" in again.stderr
    assert f"- kubernetes/h1/programs: write {FILE} on h1" in again.stderr


def test_a_plan_from_before_a_change_by_hand_does_nothing(
    changed: LabStack, tmp_path: Path
) -> None:
    plan = tmp_path / "p.json"
    changed.must("plan", "--out", str(plan))
    changed.must("exec", "h1", "--", "rm", "/etc/disco/containerd.toml")

    done = changed.disco("apply", str(plan))

    assert done.returncode == 1
    assert "+ kubernetes/h1/runtime: write /etc/disco/containerd.toml on h1" in done.stderr
    assert changed.disco("exec", "h1", "--", "test", "-e", "/etc/disco/containerd.toml").returncode


def test_nothing_is_destroyed_without_being_allowed(stack: LabStack) -> None:
    done = stack.disco("down", "--yes")
    assert done.returncode == 2
    assert "pass --allow-destroy" in done.stderr
    assert "This destroys, for good:" in done.stderr
    assert stack.disco("status").returncode == 0
