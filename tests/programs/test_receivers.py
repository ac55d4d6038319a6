"""A message of each kind, sent by a real Alertmanager with the configuration that DISCO makes."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from charts_helm import ROOT, program

from disco.engine.place import Place
from disco.layers.platform.alerts import Alerts, AlertsSpec
from disco.layers.platform.receivers import SECRETS

STACK = "a-stack"
Alert = dict[str, dict[str, str]]
ALERT: Alert = {
    "labels": {"alertname": "VaultSealed", "severity": "critical", "stack": STACK, "pod": "p"},
    "annotations": {
        "summary": "Vault p is sealed",
        "description": "It was restarted.",
        "runbook": "`disco vault unseal`",
    },
}
TITLE = f"[FIRING 1] VaultSealed on {STACK}"


@dataclass
class Inbox:
    """posts: (path, authorization, body). mails: whole."""

    posts: list[tuple[str, str, Any]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)

    def at(self, path: str) -> tuple[str, Any] | None:
        return next(((a, b) for p, a, b in self.posts if p == path), None)

    def told(self, path: str) -> set[str]:
        """Names of the alerts that came there."""
        bodies = [body for p, _, body in self.posts if p == path]
        return {a["labels"]["alertname"] for body in bodies for a in body["alerts"]}


@contextmanager
def http(inbox: Inbox) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inbox.posts.append((self.path, self.headers.get("Authorization", ""), body))
            self.send_response(202 if "pager" in self.path else 200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield port


@contextmanager
def smtp(inbox: Inbox) -> Iterator[int]:
    """As much of a mail server as it takes to get a mail from who logs in."""

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.say("220 here")
            logged_in = False
            while line := self.rfile.readline().decode().strip():
                match line.split()[0].upper():
                    case "EHLO":
                        self.say("250-here")
                        self.say("250 AUTH PLAIN")
                    case "AUTH":
                        logged_in = True
                        self.say("235 come in")
                    case "DATA" if logged_in:
                        self.say("354 go on")
                        inbox.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                        self.say("250 taken")
                    case "QUIT":
                        return self.say("221 bye")
                    case _:
                        self.say("250 well")
            return None

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield port


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spec(web: int, mail: int) -> AlertsSpec:
    url = f"http://127.0.0.1:{web}"
    email = {"to": ["a@example.com", "b@example.com"], "sender": "disco@example.com"}
    login = {"username": "me", "password": "${secret:mail}", "require_tls": False}
    return AlertsSpec.model_validate(
        {
            "receivers": {
                "open": {"webhook": {"url": f"{url}/open"}},
                "hidden": {"webhook": {"secret_url": "${secret:hook}", "token": "${secret:token}"}},
                "chat": {"slack": {"url": "${secret:slack}", "channel": "#ops"}},
                "night": {"pagerduty": {"routing_key": "${secret:pager}", "url": f"{url}/pager"}},
                "room": {"matrix": {"server": url, "room": "!a:b.c", "token": "${secret:room}"}},
                "mail": {"email": {**email, "server": f"127.0.0.1:{mail}", **login}},
                "idle": {"webhook": {"url": f"{url}/idle"}},
                "hosts": {"webhook": {"url": f"{url}/hosts"}},
            },
            "routes": [
                {"alerts": ["HostDown", "NodeNotReady", "EtcdNoLeader"], "to": ["hosts"]},
                {
                    "severity": ["critical"],
                    "to": ["open", "hidden", "chat", "night", "room", "mail"],
                },
            ],
            "group_wait": "0s",
        }
    )


def until(what: Callable[[], Any], within_s: float = 30) -> Any:
    ends = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < ends, f"not within {within_s:.0f} s"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """What came when one alert was told."""
    found, top = Inbox(), tmp_path_factory.mktemp("alertmanager")
    with http(found) as web, smtp(found) as mail:
        alerts = Alerts("alerts", spec(web, mail), {}, Place(top))
        url = f"http://127.0.0.1:{web}"
        values = {"hook": f"{url}/hidden", "slack": f"{url}/slack"}
        secrets = top / "secrets"
        secrets.mkdir()
        for key, named in alerts.secrets.items():
            (secrets / key).write_text(values.get(named.secret, f"the {named.secret}"))
        config = json.dumps(alerts.config()).replace(SECRETS, str(secrets))
        templates = str(ROOT / "charts" / "alertmanager" / "files" / "*.tmpl")
        (top / "alertmanager.yml").write_text(
            json.dumps({**json.loads(config), "templates": [templates]})
        )
        with running(top) as api:
            tell(api, ALERT)
            until(lambda: len(found.posts) >= 5 and found.mails)
            for name in ("HostDown", "NodeNotReady", "EtcdNoLeader"):
                tell(api, {"labels": {"alertname": name, "node": "n1"}})
                until(lambda name=name: name == "NodeNotReady" or name in found.told("/hosts"))
        yield found


@contextmanager
def running(top: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        program("alertmanager"),
        f"--config.file={top / 'alertmanager.yml'}",
        f"--storage.path={top / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--enable-feature=receiver-name-in-metrics",
    ]
    with (
        (top / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            until(lambda: answers(port) or server.poll() is not None)
            assert server.poll() is None, (top / "log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def tell(api: str, alert: Alert) -> None:
    body = json.dumps([alert]).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{api}/api/v2/alerts", data=body, headers=headers)
    with urllib.request.urlopen(asked, timeout=5) as answer:
        assert answer.status == 200


def test_a_webhook_gets_what_alertmanager_knows(inbox: Inbox) -> None:
    login, told = inbox.at("/open") or ("", {})
    assert login == ""
    assert told["alerts"][0]["labels"] == ALERT["labels"]


def test_a_webhook_whose_address_is_secret_is_sent_its_token(inbox: Inbox) -> None:
    login, told = inbox.at("/hidden") or ("", {})
    assert login == "Bearer the token"
    assert told["status"] == "firing"


def test_slack_is_told_what_to_do(inbox: Inbox) -> None:
    _, told = inbox.at("/slack") or ("", {})
    (part,) = told["attachments"]
    assert told["channel"] == "#ops"
    assert part["title"] == TITLE
    assert "What to do: `disco vault unseal`" in part["text"]
    assert "More: disco alerts VaultSealed" in part["text"]


def test_pagerduty_gets_the_key_and_how_bad_it_is(inbox: Inbox) -> None:
    _, told = inbox.at("/pager") or ("", {})
    assert told["routing_key"] == "the pager"
    assert (told["payload"]["severity"], told["payload"]["summary"]) == ("critical", TITLE)


def test_a_room_of_matrix_gets_text(inbox: Inbox) -> None:
    path = "/_matrix/client/v3/rooms/%21a%3Ab.c/send/m.room.message"
    login, told = inbox.at(path) or ("", {})
    assert login == "Bearer the room"
    assert told["msgtype"] == "m.text"
    assert told["body"].startswith(f"DISCO {TITLE}\ncritical: Vault p is sealed")


def test_mail_goes_to_all_of_them(inbox: Inbox) -> None:
    (mail,) = inbox.mails
    head, _, body = mail.partition("\r\n\r\n")
    assert f"Subject: {TITLE}" in head
    assert "a@example.com" in head and "b@example.com" in head
    assert "What to do" in body


def test_a_host_that_is_down_is_told_once(inbox: Inbox) -> None:
    assert inbox.told("/hosts") == {"HostDown", "EtcdNoLeader"}


def test_who_is_not_named_by_the_route_is_not_told(inbox: Inbox) -> None:
    assert inbox.at("/idle") is None
