"""A login of a private registry: from the store to the kubelets of all nodes, and its rotation."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stack import DISCO, UP_S, LabStack, environment, lab_stack, until
from tools import Tools

from disco.artifacts import Artifacts
from disco.layers.cluster.node import CONTAINERD, LOGINS, PAUSE
from disco.nspawn.machine import Machine, Network
from https_server import certificate_for_loopback

REGISTRY = Path(__file__).with_name("registry.py")
NETWORK, PORT = "10.88.227.0/24", 15000
LOGIN = f"""\
  registries:
    - {{host: "127.0.0.1:{PORT}", username: me, password: "${{secret:registry/pull#token}}"}}
"""
STACK = f"""\
name: pulling
servers: {{provider: local, count: 1, network: {NETWORK}}}
kubernetes:
  metrics_server: false
{LOGIN}"""
FIRST, SECOND = "first-canary-77aa", 'second-"canary"-77bb'
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "private", "namespace": "default"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "it",
                "image": f"127.0.0.1:{PORT}/acme/private:1",
                "imagePullPolicy": "Always",
            }
        ],
    },
}


class Registry:
    """Of one host, on its own loopback. logins: how many it took and refused."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.logins: Counter[str] = Counter()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.logins[line.strip()] += 1

    def takes(self, password: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{password}\n")
        self._process.stdin.flush()

    def ends(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._reader.join()


TRUSTED = "/etc/ssl/certs/private-registry.pem"  # on the host, where Go's programs look


@contextmanager
def registry(stack: LabStack, folder: Path) -> Iterator[Registry]:
    certificate, key = certificate_for_loopback(folder)
    trust = f"cat > {TRUSTED} <<EOF\n{certificate.read_text()}EOF\nsystemctl restart {CONTAINERD}"
    stack.must("exec", "h1", "--", "sh", "-c", f"mkdir -p {Path(TRUSTED).parent}; {trust}")
    network = Network(stack.place.id, NETWORK, str(stack.place.hosts))
    at = Machine(network, "h1", NETWORK.replace("0/24", "11")).netns.name
    held = Artifacts().held("images/node")
    assert held is not None
    serve = [sys.executable, str(REGISTRY), str(held.path), PAUSE, str(PORT)]
    serve += [str(certificate), str(key)]
    found = Registry(
        subprocess.Popen(
            ["ip", "netns", "exec", at, *serve],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    try:
        yield found
    finally:
        found.ends()


@pytest.fixture
def pulling(tmp_path: Path) -> Iterator[LabStack]:
    with lab_stack(tmp_path, STACK) as stack:
        yield stack


def put(stack: LabStack, value: str) -> None:
    words = [*DISCO, "secrets", "set", "--file", str(stack.file), "registry/pull", "token"]
    subprocess.run(words, input=value, text=True, check=True, timeout=60, env=environment())


def begin(tools: Tools) -> None:
    """The pod, from the beginning."""
    tools.kubectl("delete", "pod", "private", "--ignore-not-found", "--wait=true")
    tools.kubectl("apply", "-f", "-", stdin=json.dumps(POD))


def state(tools: Tools) -> str:
    pod = json.loads(tools.kubectl("get", "pod", "private", "-o", "json"))
    statuses = pod["status"].get("containerStatuses", [])
    kind, more = next(iter(statuses[0]["state"].items())) if statuses else ("", {})
    return str(more.get("reason", kind))


def is_refused(tools: Tools) -> bool:
    return state(tools) in ("ErrImagePull", "ImagePullBackOff")


def login_on_the_host(stack: LabStack) -> tuple[str, dict[str, dict[str, str]]]:
    mode, _, content = stack.must(
        "exec", "h1", "--", "sh", "-c", f"stat -c %a {LOGINS}; cat {LOGINS}"
    ).partition("\n")
    found: dict[str, dict[str, str]] = json.loads(content)["auths"]
    return mode, found


def test_a_node_pulls_with_the_login_of_the_stack_file_and_with_its_rotation(
    pulling: LabStack, tmp_path: Path
) -> None:
    tools = Tools(pulling)
    missing = pulling.disco("up", "--yes")
    assert missing.returncode == 2 and "there is no secret registry/pull" in missing.stderr
    put(pulling, FIRST)
    pulling.must("apply", "--yes", within_s=UP_S)
    assert login_on_the_host(pulling)[0] == "600"
    with registry(pulling, tmp_path) as private:
        private.takes(SECOND)
        until("it listens", lambda: private.logins["listening"], 20)
        begin(tools)
        until("the first password is refused", lambda: private.logins["refused"], 60)
        until("the pod says so", lambda: is_refused(tools), 60)
        assert private.logins["taken"] == 0

        put(pulling, SECOND)
        plan = pulling.must("plan", "--commands")
        assert "uses the secrets registry/pull" in plan
        assert FIRST not in plan and SECOND not in plan and "canary" not in plan
        pulling.must("apply", "--yes", within_s=UP_S)
        begin(tools)
        until("the pod runs", lambda: state(tools) == "running", 60)
        assert "Nothing to do" in pulling.disco("apply", "--yes").stderr

        pulling.file.write_text(STACK.replace(LOGIN, ""))
        pulling.must("apply", "--yes", within_s=UP_S)
        assert login_on_the_host(pulling) == ("600", {})
        begin(tools)
        until("nobody is logged in", lambda: is_refused(tools), 60)
    kept = pulling.place.journal.read_text()
    assert FIRST not in kept and "canary" not in kept
