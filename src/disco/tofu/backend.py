"""OpenTofu's `http` backend, served on loopback for as long as one program runs.

The state goes from that program's memory to a keeper's, and no file has it in between. Paths and
codes are those of OpenTofu's documentation of the backend: 204 for no state yet, 423 with the
holder's lock info where another has the lock.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from disco.engine.errors import DiscoError

USER = "disco"
EPOCH = "1970-01-01T00:00:00Z"  # what lock info has to have, and nobody here relies on


class Keeper(Protocol):
    """Where a state is kept. Each raises DiscoError."""

    def read(self) -> bytes | None:
        """None when there is no state yet."""

    def write(self, state: bytes) -> None: ...

    def remove(self) -> None: ...


@dataclass
class Backend:
    """lock: taken when the program asks for it. problems: what went wrong, for the person who
    waits for the program; it hears of them only by a code."""

    keeper: Keeper
    lock: Callable[[], AbstractContextManager[object]]
    problems: list[DiscoError] = field(default_factory=list)
    _password: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _held: ExitStack = field(default_factory=ExitStack)
    _holder: str = ""

    def answer(self, method: str, body: bytes) -> tuple[int, bytes]:
        """A status and a body."""
        try:
            return self._answered(method, body)
        except DiscoError as error:
            self.problems.append(error)
            return (423, _info(str(error))) if method == "LOCK" else (500, b"")

    def _answered(self, method: str, body: bytes) -> tuple[int, bytes]:
        match method:
            case "GET":
                state = self.keeper.read()
                return (204, b"") if state is None else (200, state)
            case "POST":
                self.keeper.write(body)
            case "DELETE":
                self.keeper.remove()
            case "LOCK":
                if self._holder:
                    return 423, self._holder.encode()
                self._held.enter_context(self.lock())
                self._holder = body.decode(errors="replace")
            case "UNLOCK":
                self.release()
            case _:
                return 405, b""
        return 200, b""

    def release(self) -> None:
        """Give the lock back, also for a program that died with it. Raises DiscoError."""
        self._holder = ""
        self._held.pop_all().close()

    def may(self, authorization: str) -> bool:
        wanted = base64.b64encode(f"{USER}:{self._password}".encode()).decode()
        return hmac.compare_digest(authorization.encode(), f"Basic {wanted}".encode())

    def environment(self, port: int) -> dict[str, str]:
        """How the program finds it, and may use it: only its own account can read that."""
        url = f"http://127.0.0.1:{port}/state"
        return {
            "TF_HTTP_ADDRESS": url,
            "TF_HTTP_LOCK_ADDRESS": url,
            "TF_HTTP_UNLOCK_ADDRESS": url,
            "TF_HTTP_USERNAME": USER,
            "TF_HTTP_PASSWORD": self._password,
        }


@contextmanager
def serving(backend: Backend) -> Iterator[Mapping[str, str]]:
    """The environment for the program. At the end the lock is free, whatever happened.

    One thread answers all requests: what takes a lock has to be what gives it back.
    """
    worker = ThreadPoolExecutor(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not backend.may(self.headers.get("Authorization", "")):
                self._say(401, b"")
            elif self.path.partition("?")[0] != "/state":
                self._say(404, b"")
            else:
                self._say(*worker.submit(backend.answer, self.command, body).result())

        do_GET = do_POST = do_DELETE = do_LOCK = do_UNLOCK = _any

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="state"')
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """It says what it has to say by `problems`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield backend.environment(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        try:
            worker.submit(backend.release).result()
        finally:
            worker.shutdown()


def _info(who: str) -> bytes:
    """What the program shows of a lock that it does not get."""
    info = {"ID": "", "Operation": "", "Info": "", "Who": who, "Version": "", "Created": EPOCH}
    return json.dumps(info).encode()
