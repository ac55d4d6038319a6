"""A secret that the stack file names: put into the store, delivered to a pod, rotated."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from stack import DISCO, UP_S, LabStack, environment, lab_stack, until

GATEWAY, PORT = "10.88.225.1", 18428
STACK = f"""
name: sending
servers: {{provider: local, count: 1, network: 10.88.225.0/24}}
kubernetes: {{metrics_server: false}}
prometheus:
  scrape_interval: 5s
  remote_write:
    - url: http://{GATEWAY}:{PORT}/api/v1/write
      username: me
      password: ${{secret:metrics/remote}}
"""
FIRST, SECOND = "first-canary-3b1f", "second-canary-9c0e"


@dataclass
class Receiver:
    """Takes samples from who knows the password. taken: bytes by password."""

    password: str = FIRST
    taken: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    def answer(self, login: str, length: int) -> int:
        kind, _, encoded = login.partition(" ")
        user, _, password = base64.b64decode(encoded or "").decode().partition(":")
        if (kind, user, password) != ("Basic", "me", self.password):
            self.refused += 1
            return 401
        self.taken[password] = self.taken.get(password, 0) + length
        return 204


@contextmanager
def listening(receiver: Receiver) -> Iterator[None]:
    """On the address at which the hosts of the stack reach this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.rfile.read(length)
            self.send_response(receiver.answer(self.headers.get("Authorization", ""), length))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer((GATEWAY, PORT), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(stack: LabStack, value: str) -> None:
    words = [*DISCO, "secrets", "set", "--file", str(stack.file), "metrics/remote"]
    subprocess.run(words, input=value, text=True, check=True, timeout=60, env=environment())


@pytest.fixture
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("sending"), STACK) as stack:
        yield stack


def row(stack: LabStack) -> tuple[bool, str]:
    said = stack.disco("check", "--json", "--only", "metrics/remote-write").stdout
    found = json.loads(said)[0]
    return found["ok"], found["evidence"]


def test_a_password_from_the_store_reaches_a_pod_and_its_rotation_too(sending: LabStack) -> None:
    missing = sending.disco("up", "--yes")
    assert missing.returncode == 2, missing.stderr
    assert "stack.yaml:10:17: there is no secret metrics/remote" in missing.stderr
    assert "disco secrets set metrics/remote" in missing.stderr

    put(sending, FIRST)
    sending.must("apply", "--yes", within_s=UP_S)
    receiver = Receiver()
    with listening(receiver):
        until("samples come with the password", lambda: receiver.taken.get(FIRST), 60)
        until("the check is green", lambda: row(sending)[0], 60)
        assert "Nothing to do" in sending.disco("apply", "--yes").stderr

        receiver.password = SECOND
        until("they are refused", lambda: receiver.refused, 60)
        until("the check is red", lambda: not row(sending)[0], 120)
        assert "refused" in row(sending)[1]

        put(sending, SECOND)
        plan = sending.must("plan", "--commands")
        assert "uses the secrets metrics/remote" in plan
        assert FIRST not in plan and SECOND not in plan
        sending.must("apply", "--yes", within_s=UP_S)
        until("samples come with the other password", lambda: receiver.taken.get(SECOND), 60)
        until("the check is green again", lambda: row(sending)[0], 120)
    assert "Nothing to do" in sending.disco("apply", "--yes").stderr

    sending.file.write_text(STACK[: STACK.index("  remote_write")])
    sending.must("apply", "--yes", within_s=UP_S)
    alerts = sending.disco("alerts", "--json")
    fires = json.loads(alerts.stdout)
    assert alerts.returncode == (3 if fires else 0), alerts.stderr
    assert all(a["severity"] and a["runbook"] for a in fires)
    gone = sending.disco("kubectl", "--", "-n", "monitoring", "get", "secrets", "-o", "name")
    assert "remote-write" not in gone.stdout and gone.returncode == 0, gone.stderr
    journal = sending.place.journal.read_text()
    assert FIRST not in journal and SECOND not in journal
