"""`disco console` over real HTTP: who is answered, what, and that nothing is changed by it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from console_process import DISCO, Console, console
from disco.engine.journal import Journal
from disco.engine.place import Place
from disco.store.store import Store

DATA = ("stack", "status", "check", "alerts", "logs", "plan", "history", "graph")
PUBLIC = ("/", "/console.css", "/console.js", "/icon.svg")
APPEND = """
import sys, time
from pathlib import Path
from disco.engine.journal import Journal
journal = Journal(Path(sys.argv[1]))
for i in range(int(sys.argv[2])):
    journal.write("intent", run=sys.argv[3], step=f"s/{i}", action=str(time.time()))
"""


def appending(stack: Path, count: int, run: str) -> subprocess.Popen[bytes]:
    """Another process that writes records, as a run does."""
    journal = Place.of(stack, "lab").journal
    return subprocess.Popen([sys.executable, "-c", APPEND, str(journal), str(count), run])


def records(lines: Iterator[str]) -> Iterator[dict[str, object]]:
    for line in lines:
        if line.startswith("data: "):
            yield from json.loads(line.removeprefix("data: "))


# Who is answered


@pytest.mark.parametrize("path", [*(f"/api/{name}" for name in DATA), "/api/events", "/session"])
@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", "Basic {}", "Bearer {}x", "{}"])
def test_without_the_right_token_there_is_no_answer(shown: Console, path: str, sent: str) -> None:
    with shown.client(authorization=sent.format(shown.token)) as client:
        answer = client.get(path)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["fix"].startswith("open the address")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("cookie", ["x", "{token}", "", "\x7f", "a=b; ;;"])
def test_a_cookie_that_is_not_ours_opens_nothing(shown: Console, cookie: str) -> None:
    sent = f"disco-console-{shown.port}={cookie.format(token=shown.token)}"
    with shown.client(token="", cookie=sent) as client:
        assert client.get("/api/stack").status_code == 401


def test_the_token_is_changed_for_a_cookie_that_no_script_reads(shown: Console) -> None:
    with shown.client() as client:
        given = client.get("/session").headers["set-cookie"]
    name, _, rest = given.partition("=")
    value = rest.partition(";")[0]
    assert name == f"disco-console-{shown.port}" and value != shown.token
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {x.strip() for x in given.split(";")}
    with shown.client(token="", cookie=f"{name}={value}") as client:
        assert client.get("/api/stack").json()["name"] == "lab"


@pytest.mark.parametrize("path", [*PUBLIC, "/api/stack", "/session"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{}", "127.0.0.1.evil.example:{}", "", "localhost.", "[::"],
)
def test_another_name_is_refused_also_with_the_token(shown: Console, path: str, host: str) -> None:
    with shown.client(host=host.format(shown.port)) as client:
        assert client.get(path).status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost:{}", "127.0.0.1:{}", "LOCALHOST:1", "[::1]:{}"])
def test_names_of_this_machine_are_answered(shown: Console, host: str) -> None:
    with shown.client(host=host.format(shown.port)) as client:
        assert client.get("/api/stack").status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_page_of_somebody_else_gets_nothing(shown: Console, site: str) -> None:
    with shown.client(**{"sec-fetch-site": site}) as client:
        assert client.get("/api/stack").status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "WAT"])
@pytest.mark.parametrize("path", ["/", "/session", "/api/plan", "/api/events"])
def test_nothing_but_reading_is_answered(shown: Console, method: str, path: str) -> None:
    with shown.client() as client:
        answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", [*PUBLIC, "/api/stack", "/nope", "/api/nope"])
def test_every_answer_forbids_what_the_page_does_not_need(shown: Console, path: str) -> None:
    with shown.client() as client:
        headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and "http" not in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers and "server" not in headers


def test_the_page_needs_nothing_from_elsewhere_and_holds_no_token(shown: Console) -> None:
    with shown.client(token="") as client:
        for path in PUBLIC:
            text = client.get(path).text
            assert shown.token not in text
            assert "https://" not in text and " style=" not in text and " onclick" not in text
            assert text.replace("http://www.w3.org/2000/svg", "").find("http://") == -1


# What is answered


def test_it_tells_what_the_commands_tell(shown: Console, stack: Path) -> None:
    with shown.client() as client:
        found = {name: client.get(f"/api/{name}").json() for name in ("status", "plan", "graph")}
    environ = {**os.environ, "DISCO_CACHE": str(stack.parent / "cache")}

    def printed(*command: str) -> Any:
        told = subprocess.run(
            [*DISCO, *command, "--json"],
            capture_output=True,
            cwd=stack.parent,
            env=environ,
            check=False,
        )
        return json.loads(told.stdout)

    assert found["status"]["data"] == printed("status")
    plan = found["plan"]["data"]
    steps = [[s["title"] for s in part["steps"]] for part in plan["parts"]]
    components = printed("plan")["components"]
    assert steps == [[s["title"] for s in c["steps"]] for c in components if c["steps"]]
    assert found["graph"]["nodes"] == printed("graph")


def test_checks_that_make_something_are_named_and_not_asked(shown: Console) -> None:
    with shown.client() as client:
        told = client.get("/api/check").json()["data"]
    ids = [check["check"] for check in told["checks"]]
    assert "servers/ssh" in ids and told["not_asked"]
    assert not set(ids) & set(told["not_asked"])
    assert all(check["fix"] for check in told["checks"] if not check["ok"])


def test_a_stack_file_that_is_wrong_is_told_with_its_place(stack: Path, shown: Console) -> None:
    right = stack.read_text()
    stack.write_text(right.replace("network: 10.88.219.0/24", "count: 0"))
    try:
        with shown.client() as client:
            answer = client.get("/api/graph")
    finally:
        stack.write_text(right)
    assert answer.status_code == 503
    (error,) = answer.json()["errors"]
    assert "stack.yaml:2:" in error["where"] and "Traceback" not in answer.text


def test_looking_makes_nothing_in_the_stack_folder(shown: Console, stack: Path) -> None:
    before = {p for p in stack.parent.rglob("*") if "cache" not in p.parts}
    with shown.client() as client:
        for name in ("stack", "status", "plan", "history", "graph"):
            assert client.get(f"/api/{name}").status_code == 200
    assert {p for p in stack.parent.rglob("*") if "cache" not in p.parts} == before


def test_events_of_another_process_come_and_a_late_page_sees_the_last_ones(
    shown: Console, stack: Path
) -> None:
    with shown.client() as client, client.stream("GET", "/api/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        with appending(stack, 3, "aa") as process:
            told = records(answer.iter_lines())
            mine = [r for r in (next(told) for _ in range(3)) if r["run"] == "aa"]
            assert [r["step"] for r in mine] == ["s/0", "s/1", "s/2"]
        assert process.returncode == 0
    with shown.client() as client, client.stream("GET", "/api/events") as answer:
        assert next(records(answer.iter_lines()))["run"] == "aa"
    with shown.client() as client:
        assert client.get("/api/history").json()[-1]["run"] == "aa"


def test_two_thousand_events_come_once_each_in_order_and_soon(shown: Console, stack: Path) -> None:
    """They are fsynced one by one; that is what bounds the writer."""
    many = 2000
    with shown.client() as client, client.stream("GET", "/api/events") as answer:
        begun = time.monotonic()
        with appending(stack, many, "bb"):
            found, late = [], 0.0
            for record in records(answer.iter_lines()):
                if record["run"] == "bb":
                    found.append(record["step"])
                    late = max(late, time.time() - float(str(record["action"])))
                if len(found) == many:
                    break
        took = time.monotonic() - begun
    print(f"{many / took:.0f} events/s, at most {late:.2f} s after they were written")
    assert found == [f"s/{i}" for i in range(many)]
    assert late < 5


@pytest.mark.parametrize("name", ["events", "history"])
def test_a_journal_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text("name: lab\nservers: {provider: local, network: 10.88.218.0/24}\n")
    journal = Place.of(file, "lab").journal
    journal.mkdir(parents=True)
    with console(file) as shown, shown.client() as client:
        answer = client.get(f"/api/{name}")
    assert answer.status_code == 503
    (error,) = answer.json()["errors"]
    assert (error["where"], error["why"]) == (str(journal.resolve()), "is a directory")


def test_no_more_pages_follow_than_are_let(shown: Console) -> None:
    clients = [shown.client() for _ in range(8)]
    streams = [client.stream("GET", "/api/events") for client in clients]
    try:
        answers = [stream.__enter__() for stream in streams]
        assert [a.status_code for a in answers] == [200] * 8
        with shown.client() as client:
            assert client.get("/api/events").status_code == 503
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)
    with shown.client() as client:
        for _ in range(100):
            with client.stream("GET", "/api/events") as answer:
                if answer.status_code == 200:
                    return
            time.sleep(0.1)
    pytest.fail("places of pages that left are not given back")


# Secrets


CANARY = "canary-3f9a0b7c55d1e8"


@pytest.fixture
def betrayed(tmp_path: Path) -> Path:
    """A stack whose secret stands where no secret should: in the journal and in a check's file."""
    file = tmp_path / "stack.yaml"
    file.write_text("name: lab\nservers: {provider: local, network: 10.88.218.0/24}\n")
    place = Place.of(file, "lab")
    place.open()
    Store(place).put("servers/h1/host-key", {"private": CANARY, "public": "ssh-x"})
    Journal(place.journal).write("run", run="cc", who="me", what=f"up {CANARY}", steps=1)
    return file


def test_a_secret_is_in_no_answer(betrayed: Path) -> None:
    with console(betrayed) as shown, shown.client() as client:
        texts = [client.get(f"/api/{name}").text for name in ("check", "status", "plan", "history")]
        with client.stream("GET", "/api/events") as answer:
            texts.append(next(line for line in answer.iter_lines() if line.startswith("data")))
    assert all(CANARY not in text for text in texts)
    assert "up [secret]" in texts[-1] and "up [secret]" in texts[-2]


# Where it listens, and how it ends


def test_a_port_that_is_taken_is_told_with_a_fix(stack: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        argv = [*DISCO, "console", "-f", str(stack), "--port", str(port)]
        told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, told.stdout) == (1, "")
    assert f"error: 127.0.0.1:{port}: the console can't listen there" in told.stderr
    assert "fix: --port 0 takes a free one" in told.stderr


@pytest.mark.parametrize("flags", [("--listen", "here"), ("--port", "70000"), ("--port", "-1")])
def test_a_place_that_is_none_is_wrong_use(stack: Path, flags: tuple[str, ...]) -> None:
    argv = [*DISCO, "console", "-f", str(stack), *flags]
    told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 2 and "fix: " in told.stderr and "Traceback" not in told.stderr


def test_it_listens_on_loopback_alone_unless_it_is_told(shown: Console, stack: Path) -> None:
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.2:{shown.port}/", trust_env=False)
    with console(stack, "--listen", "0.0.0.0") as wide:
        told = (stack.parent / "console.err").read_text()
        assert "others can reach it, and there is no TLS" in told
        base = f"http://127.0.0.2:{wide.port}"
        assert httpx2.get(base, trust_env=False).status_code == 200
        evil = {"host": f"evil.example:{wide.port}"}
        assert httpx2.get(base, headers=evil, trust_env=False).status_code == 421


def test_ctrl_c_ends_it_at_once_also_while_a_page_follows(stack: Path) -> None:
    with (
        console(stack) as shown,
        shown.client() as client,
        client.stream("GET", "/api/events") as answer,
    ):
        next(answer.iter_lines())
        begun = time.monotonic()
        shown.process.send_signal(signal.SIGINT)
        code = shown.process.wait(timeout=20)
        took = time.monotonic() - begun
    assert (code, took < 5) == (130, True)
    said = (stack.parent / "console.err").read_text()
    assert said.splitlines() == ["console of the stack lab; it only reads; Ctrl-C ends it"]
    assert shown.token not in said
