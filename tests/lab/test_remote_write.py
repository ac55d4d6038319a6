"""A secret that the stack file names: put into the store, delivered to a pod, rotated."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from stack import GATEWAY, UP_S, LabStack, until

PORT = 18428
SENDS = f"""prometheus:
  scrape_interval: 5s
  remote_write:
    - url: http://{GATEWAY}:{PORT}/api/v1/write
      username: me
      password: ${{secret:metrics/remote}}
"""
PASSWORD = SENDS.splitlines()[-1]
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


@pytest.fixture
def sending(stack: LabStack) -> Iterator[LabStack]:
    """The running network, whose file is another one for a while."""
    text = stack.file.read_text()
    line = next(x for x in text.splitlines(True) if x.startswith("prometheus:"))
    stack.file.write_text(text.replace(line, SENDS))
    try:
        yield stack
    finally:
        stack.file.write_text(text)
        stack.must("apply", "--yes", within_s=UP_S)


def row(stack: LabStack) -> tuple[bool, str]:
    said = stack.disco("check", "--json", "--only", "metrics/remote-write").stdout
    found = json.loads(said)[0]
    return found["ok"], found["evidence"]


def test_a_password_from_the_store_reaches_a_pod_and_its_rotation_too(sending: LabStack) -> None:
    missing = sending.disco("up", "--yes")
    assert missing.returncode == 2, missing.stderr
    number = sending.file.read_text().splitlines().index(PASSWORD) + 1
    assert f"stack.yaml:{number}:17: there is no secret metrics/remote" in missing.stderr
    assert "disco secrets set metrics/remote" in missing.stderr

    sending.put("metrics/remote", FIRST)
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

        sending.put("metrics/remote", SECOND)
        plan = sending.must("plan", "--commands")
        assert "uses the secrets metrics/remote" in plan
        assert FIRST not in plan and SECOND not in plan
        sending.must("apply", "--yes", within_s=UP_S)
        until("samples come with the other password", lambda: receiver.taken.get(SECOND), 60)
        until("the check is green again", lambda: row(sending)[0], 120)
    assert "Nothing to do" in sending.disco("apply", "--yes").stderr

    text = sending.file.read_text()
    sending.file.write_text(text.replace(SENDS[SENDS.index("  remote_write") :], ""))
    sending.must("apply", "--yes", within_s=UP_S)
    alerts = sending.disco("alerts", "--json")
    fires = json.loads(alerts.stdout)
    assert alerts.returncode == (3 if fires else 0), alerts.stderr
    assert all(a["severity"] and a["runbook"] for a in fires)
    gone = sending.disco("kubectl", "--", "-n", "monitoring", "get", "secrets", "-o", "name")
    assert "remote-write" not in gone.stdout and gone.returncode == 0, gone.stderr
    journal = sending.place.journal.read_text()
    assert FIRST not in journal and SECOND not in journal
