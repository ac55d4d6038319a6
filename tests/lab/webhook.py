"""A webhook of the tests' own: takes Alertmanager's messages from who knows the token."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IP_FREEBIND = 15  # linux/in.h


@dataclass
class Webhook:
    """told: (seconds of time.monotonic, alert) for each alert of each message, in order."""

    token: str
    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    refused: int = 0

    def answer(self, login: str, body: bytes) -> int:
        if login != f"Bearer {self.token}":
            self.refused += 1
            return 401
        at = time.monotonic()
        self.told += [(at, alert) for alert in json.loads(body)["alerts"]]
        return 204

    def when(self, name: str, status: str, since: float, **labels: str) -> float | None:
        """Seconds from `since` until it was told first; None when it was not."""
        for at, alert in self.told:
            mine = {"alertname": name, **labels}.items() <= alert["labels"].items()
            if at >= since and alert["status"] == status and mine:
                return at - since
        return None


@contextmanager
def listening(webhook: Webhook, address: str, port: int) -> Iterator[None]:
    """On an address at which the hosts of a stack reach this machine once they are there."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(webhook.answer(self.headers.get("Authorization", ""), body))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer((address, port), Handler, bind_and_activate=False)
    server.socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    server.server_bind()
    server.server_activate()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
