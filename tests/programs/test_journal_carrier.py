"""A host's journal gets to the store whole: through errors, kills, and entries with any bytes."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from charts_helm import program

BINARY = b"two\n\nlines=\x00\xff"
# What journalctl prints, and how it goes on after a cursor; then it waits for more, as it does.
JOURNALCTL = """#!/bin/sh
echo "$*" >> {top}/asked
after=0
for word in "$@"; do case $word in --after-cursor=c*) after=${{word#--after-cursor=c}};; esac; done
i=$after
while [ $i -lt 5 ]; do i=$((i + 1)); cat {top}/entry-$i; done
exec sleep 600
"""


class Store:
    """A server that takes entries, or refuses them for a while."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.queries: list[dict[str, list[str]]] = []
        self.refuse = 0
        self.unreadable = b""  # what is in an entry that it can't read
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/vnd.fdo.journal"
                if outer.refuse:
                    outer.refuse -= 1
                    self.send_error(503)
                    return
                if outer.unreadable and outer.unreadable in body:
                    self.send_error(400)
                    return
                outer.bodies.append(body)
                outer.queries.append(parse_qs(urlsplit(self.path).query))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for i in range(1, 6):
        entry = f"__CURSOR=c{i}\n_SYSTEMD_UNIT=a.service\n".encode()
        if i == 3:
            entry += b"MESSAGE\n" + struct.pack("<Q", len(BINARY)) + BINARY + b"\n"
        else:
            entry += f"MESSAGE=line {i}\n".encode()
        (tmp_path / f"entry-{i}").write_bytes(entry + b"\n")
    (tmp_path / "bin").mkdir()
    journalctl = tmp_path / "bin" / "journalctl"
    journalctl.write_text(JOURNALCTL.format(top=tmp_path))
    journalctl.chmod(0o755)
    return tmp_path


@contextmanager
def carrier(top: Path, store: Store) -> Iterator[subprocess.Popen[bytes]]:
    command = [program("journal-carrier"), f"-url={store.url}", f"-state={top / 'cursor'}"]
    variables = {**os.environ, "PATH": f"{top / 'bin'}:{os.environ['PATH']}"}
    with (top / "log").open("ab") as log:
        running = subprocess.Popen([*command, "-node=h1"], stdout=log, stderr=log, env=variables)
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=10) == 0 or running.returncode == -signal.SIGKILL


def until(what: Callable[[], bool], within_s: float = 20) -> None:
    ends = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)


def entries(top: Path, *numbers: int) -> bytes:
    return b"".join((top / f"entry-{i}").read_bytes() for i in numbers)


def cursor(top: Path) -> str:
    file = top / "cursor"
    return file.read_text().strip() if file.exists() else ""


def test_every_entry_is_sent_with_the_nodes_name_and_the_place_is_kept(
    top: Path, store: Store
) -> None:
    with carrier(top, store):
        until(lambda: cursor(top) == "c5")
    assert b"".join(store.bodies) == entries(top, 1, 2, 3, 4, 5)
    assert store.queries[0] == {
        "extra_fields": ["node=h1"],
        "_stream_fields": ["node,_SYSTEMD_UNIT"],
    }


def test_what_is_refused_is_sent_again_and_the_place_stays_until_then(
    top: Path, store: Store
) -> None:
    store.refuse = 1
    with carrier(top, store):
        until(lambda: store.refuse == 0)
        assert cursor(top) == ""
        until(lambda: cursor(top) == "c5")
    assert b"".join(store.bodies) == entries(top, 1, 2, 3, 4, 5)
    assert "503" in (top / "log").read_text()


def test_it_goes_on_after_the_entry_that_was_taken_last(top: Path, store: Store) -> None:
    (top / "cursor").write_text("c3\n")
    with carrier(top, store) as running:
        until(lambda: cursor(top) == "c5")
        running.kill()
        running.wait(timeout=10)
    assert b"".join(store.bodies) == entries(top, 4, 5)
    assert "--after-cursor=c3" in (top / "asked").read_text()


def test_an_entry_that_was_cut_off_is_read_again(top: Path, store: Store) -> None:
    whole = (top / "entry-4").read_bytes()
    (top / "entry-4").write_bytes(whole[:20])
    journalctl = top / "bin" / "journalctl"
    journalctl.write_text(journalctl.read_text().replace("exec sleep 600", "exit 0"))
    (top / "entry-5").write_bytes(b"")
    with carrier(top, store):
        until(lambda: cursor(top) == "c3")
        (top / "entry-4").write_bytes(whole)
        until(lambda: cursor(top) == "c4")
    assert b"".join(store.bodies) == entries(top, 1, 2, 3, 4)


def test_an_entry_that_the_store_can_not_read_is_left_out_and_named(
    top: Path, store: Store
) -> None:
    store.unreadable = b"line 4"
    with carrier(top, store):
        until(lambda: cursor(top) == "c5")
    assert b"".join(store.bodies) == entries(top, 1, 2, 3, 5)
    said = (top / "log").read_text()
    assert 'left out, journalctl --cursor="c4" shows it' in said and "400" in said
