"""`disco doctor` on a real cluster that is broken in two ways, with a bundle for who helps."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from secrets_watch import secrets_of
from stack import UP_S, LabStack, lab_stack
from tools import HOST

STACK = """
name: ill
servers: {provider: local, count: 1, network: 10.88.222.0/24}
kubernetes: {}
"""
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
SYSCTLS = "/etc/sysctl.d/90-disco.conf"
RED = 3


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("ill"), STACK) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


def on_host(stack: LabStack, *words: str) -> None:
    stack.must("exec", HOST, "--", *words)


def diagnosis(stack: LabStack, *words: str) -> tuple[int, dict[str, Any]]:
    done = stack.disco("doctor", "--json", *words, within_s=180)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_it_names_what_failed_first_and_what_is_missing(ill: LabStack, tmp_path: Path) -> None:
    on_host(ill, "mv", MANIFEST, "/root/aside.yaml")
    on_host(ill, "rm", SYSCTLS)
    try:
        failed = ill.disco("apply", "--yes", within_s=UP_S)
        assert failed.returncode == 1, failed.stderr
        code, told = diagnosis(ill, "--bundle", str(tmp_path / "bundle.tar.gz"))
    finally:
        on_host(ill, "mv", "/root/aside.yaml", MANIFEST)
    assert code == RED
    first = told["found"][0]
    assert "API" in first["what"] and first["fix"], told["found"]
    assert told["last_run"]["ended"] == "failed", told["last_run"]
    no_secret_in(tmp_path / "bundle.tar.gz", ill)
    ill.must("apply", "--yes", within_s=UP_S)
    code, told = diagnosis(ill)
    assert (code, [f for f in told["found"] if f["kind"] != "mended"]) == (0, []), told["found"]


def no_secret_in(bundle: Path, stack: LabStack) -> None:
    """Nor is it empty: it has logs of the host and of the cluster."""
    secrets = secrets_of(stack)
    assert secrets
    with tarfile.open(bundle) as files:
        texts = {m.name: files.extractfile(m).read() for m in files if m.isfile()}  # type: ignore[union-attr]
    assert any(HOST in name for name in texts), sorted(texts)
    for name, text in texts.items():
        assert not [key for key, value in secrets.items() if value.encode() in text], name
