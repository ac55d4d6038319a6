"""Logs of pods and journals, as the chart of Loki has them collected: what arrives, once, and when.

All is real but two things: the store is another one that takes OTLP, since Loki can't be had here,
and journalctl's part is played by a script.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_running import Api, api_server
from charts_helm import Object, Render, parse, program
from signed_network import free_port

NODE, TOKEN = "n1", "collector-canary"
WEB, STATIC = "0f3a2b64-58f2-4a6b-9d51-c1a3f6f0e7a1", "3bd9a1d0c2fa0e6f5a6b7c8d9e0f1a2b"
AT = datetime.now(UTC).replace(microsecond=123456) - timedelta(hours=1)
# What this store adds to a line.
SCOPE, SEVERITY = {"scope.name", "scope.version"}, {"severity_number", "severity_text"}
BESIDES = {"_stream", "_stream_id", "_time", "_msg"} | SCOPE | SEVERITY
JOURNALCTL = """#!/bin/sh
echo "$*" >> {top}/asked
for word in "$@"; do [ "$last" = --after-cursor ] && after=${{word#c}}; last=$word; done
exec tail -n +$((${{after:-0}} + 1)) -f {top}/journal
"""
Line = dict[str, str]


def stamp(at: datetime) -> str:
    """As containerd writes it, to the nanosecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z"


def pod(namespace: str, name: str, **labels: str) -> Object:
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@dataclass
class Host:
    """A node's folders, with a collector that reads them and a store that it sends to."""

    top: Path
    api: Api
    config: Object
    store_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)

    def say(
        self, text: str, at: datetime = AT, flag: str = "F", where: str = f"shop_web-0_{WEB}/app"
    ) -> None:
        """A line of a container: where is its folder."""
        self.write(f"{stamp(at)} stdout {flag} {text}\n".encode(), f"{where}/0.log")

    def write(self, raw: bytes, path: str) -> None:
        file = self.top / "pods" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as out:
            out.write(raw)

    def log(self, at: datetime = AT, **fields: Any) -> None:
        """An entry of the journal."""
        path = self.top / "journal"
        number = len(path.read_bytes().splitlines()) + 1
        since = round(at.timestamp() * 1_000_000)
        entry = {"__CURSOR": f"c{number}", "__REALTIME_TIMESTAMP": str(since), **fields}
        with path.open("a") as out:
            out.write(json.dumps(entry) + "\n")

    def lines(self, query: str = "*") -> list[Line]:
        asked = urllib.parse.urlencode({"query": query, "limit": 1_000_000})
        url = f"http://127.0.0.1:{self.store_port}/select/logsql/query?{asked}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return [json.loads(line) for line in answer]

    def count(self) -> int:
        (line,) = self.lines("* | stats count() n")
        return int(line["n"])

    def texts(self) -> Counter[str]:
        return Counter(line["_msg"] for line in self.lines())

    def metric(self, name: str) -> float:
        """Of the collector itself: the sum of its series."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith(f"otelcol_{name}{{")]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def settled(self, lines: int) -> Counter[str]:
        """All that arrived, when there are so many lines and none is on its way."""
        until(lambda: self.count() >= lines and self.metric("exporter_queue_size") == 0)
        until(lambda: answers(f"http://127.0.0.1:{self.store_port}/internal/force_flush"))
        return self.texts()

    @contextmanager
    def store(self) -> Iterator[None]:
        command = [
            program("victoria-logs"),
            f"-storageDataPath={self.top / 'store'}",
            f"-httpListenAddr=127.0.0.1:{self.store_port}",
        ]
        with self._running(command, {}, f"http://127.0.0.1:{self.store_port}/health"):
            yield

    @contextmanager
    def collector(self) -> Iterator[subprocess.Popen[bytes]]:
        path = self.top / "config.yaml"
        path.write_text(json.dumps(self.config))
        command = [program("otel-logs"), f"--config=file:{path}"]
        variables = {
            "NODE_NAME": NODE,
            "KUBECONFIG": str(self.api.kubeconfig(TOKEN)),
            "PATH": f"{self.top / 'bin'}:{os.environ['PATH']}",
        }
        url = f"http://127.0.0.1:{self.health_port}/"
        with self._running(command, variables, url) as running:
            yield running

    @contextmanager
    def _running(
        self, command: list[str], variables: dict[str, str], url: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        said = self.top / f"{Path(command[0]).name}.log"
        with said.open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **variables}
            )
        try:
            until(lambda: process.poll() is not None or answers(url))
            assert process.poll() is None, said.read_text()
            yield process
        finally:
            process.terminate()
            assert process.wait(timeout=30) in (0, -signal.SIGKILL, -signal.SIGTERM)


def answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)


def until(what: Callable[[], bool], within_s: float = 60) -> None:
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        try:
            if what():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.05)
    raise TimeoutError(f"not within {within_s} s")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, render: Render) -> Iterator[Api]:
    """With the rights that the chart gives, and no others."""
    account = "system:serviceaccount:place:log-collector"
    with api_server(tmp_path_factory.mktemp("api"), {TOKEN: account}) as running:
        rights = render("loki").of("ClusterRole", "ClusterRoleBinding")
        spaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in ("shop", "place")
        ]
        labels = {"app": "web", "app.kubernetes.io/name": "web"}
        running.apply(
            [
                *(thing for thing in rights if "log-collector" in thing["metadata"]["name"]),
                *spaces,
                pod("shop", "web-0", **labels),
                pod("kube-system", "etcd-n1", tier="control-plane"),
                pod("place", "log-collector-x", app="log-collector"),
            ]
        )
        yield running


@pytest.fixture
def host(tmp_path: Path, api: Api, render: Render) -> Host:
    made = Host(tmp_path, api, {})
    endpoint = f"http://127.0.0.1:{made.store_port}/insert/opentelemetry/v1/logs"
    maps = render("loki", collector={"endpoint": endpoint, "journal": True}).of("ConfigMap")
    text = next(m for m in maps if m["metadata"]["name"] == "log-collector")["data"]["config.yaml"]
    for old, new in (
        ("/var/log/pods/", f"{tmp_path}/pods/"),
        ("/state", f"{tmp_path}/state"),
        ("0.0.0.0:13133", f"127.0.0.1:{made.health_port}"),
        ("host: 0.0.0.0", "host: 127.0.0.1"),
        ("port: 8888", f"port: {made.metrics_port}"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    made.config = parse(text)
    made.config["processors"]["k8s_attributes"]["auth_type"] = "kubeConfig"
    (tmp_path / "pods").mkdir()
    (tmp_path / "journal").write_text("")
    (tmp_path / "bin").mkdir()
    journalctl = tmp_path / "bin" / "journalctl"
    journalctl.write_text(JOURNALCTL.format(top=tmp_path))
    journalctl.chmod(0o755)
    return made


def of_pods(namespace: str, name: str, container: str, **labels: str) -> Line:
    return {
        "log.source": "pods",
        "k8s.namespace.name": namespace,
        "k8s.pod.name": name,
        "k8s.container.name": container,
        "k8s.node.name": NODE,
        **{f"k8s.pod.labels.{key}": value for key, value in labels.items()},
    }


WEB_LINE = of_pods("shop", "web-0", "app", **{"app": "web", "app.kubernetes.io/name": "web"})


def given(line: Line) -> Line:
    return {key: value for key, value in line.items() if key not in BESIDES}


def test_a_line_of_a_pod_has_its_text_its_time_and_whose_it_is(host: Host) -> None:
    host.say("before it began")
    host.say("of a static pod", where=f"kube-system_etcd-n1_{STATIC}/etcd")
    host.say("its own", where=f"place_log-collector-x_{WEB}/collector")
    host.say("alive", where=f"place_log-collector-x_{WEB}/beat")
    host.write(
        f"{stamp(AT)} stderr F turned over\n".encode(),
        f"shop_web-0_{WEB}/app/0.log.20260101-000000",
    )
    with host.store(), host.collector():
        host.say("after it began")
        until(lambda: len(host.lines()) == 5)
        found = {line["_msg"]: line for line in host.lines()}
    assert given(found["before it began"]) == WEB_LINE
    assert given(found["after it began"]) == given(found["turned over"]) == WEB_LINE
    assert given(found["of a static pod"]) == of_pods(
        "kube-system", "etcd-n1", "etcd", tier="control-plane"
    )
    assert given(found["alive"]) == of_pods("place", "log-collector-x", "beat", app="log-collector")
    assert {line["_time"] for line in found.values()} == {stamp(AT)}


def test_a_long_line_arrives_as_one_and_any_bytes_do_no_harm(host: Host) -> None:
    parts = [letter * 16_000 for letter in "abc"]
    for number, part in enumerate(parts):
        host.say(part, AT + timedelta(seconds=number), "F" if number == 2 else "P")
    bytes_ = b"\xff\x00\xfe bytes"
    host.write(f"{stamp(AT)} stdout F ".encode() + bytes_ + b"\n", f"shop_web-0_{WEB}/app/0.log")
    host.write(b"no line of a container\n", f"shop_web-0_{WEB}/app/0.log")
    host.say("")
    host.say("last")
    with host.store(), host.collector():
        until(lambda: "last" in host.texts())
        found = {line["_msg"]: line for line in host.lines()}
    assert found["".join(parts)]["_time"] == stamp(AT)
    assert any(text.endswith(" bytes") for text in found)
    odd = given(found.pop("no line of a container"))
    assert odd == {"log.source": "pods", "k8s.node.name": NODE}
    assert all(given(line) == WEB_LINE for line in found.values())


def test_a_pod_can_not_say_whose_its_line_is(host: Host) -> None:
    forged = [
        json.dumps({"log.source": "journal", "resource": {"k8s.pod.name": "other"}}),
        f"{stamp(AT)} stdout F forged",
        'k8s.namespace.name="kube-system"',
    ]
    for text in forged:
        host.say(text)
    with host.store(), host.collector():
        until(lambda: len(host.lines()) == len(forged))
        found = host.lines()
    assert {line["_msg"] for line in found} == set(forged)
    assert all(given(line) == WEB_LINE and line["_time"] == stamp(AT) for line in found)


def test_a_line_can_be_found_within_seconds(host: Host) -> None:
    took_s = []
    with host.store(), host.collector():
        for number in range(5):
            began = time.monotonic()
            host.say(f"line {number}")
            until(lambda: f"line {number}" in host.texts())  # noqa: B023
            took_s.append(time.monotonic() - began)
    print("seconds from line to answer:", ", ".join(f"{s:.2f}" for s in took_s))
    assert max(took_s) < 5


def test_a_restart_loses_no_line_and_brings_none_twice(host: Host) -> None:
    written = 0

    def go_on(lines: int) -> None:
        nonlocal written
        for _ in range(lines):
            written += 1
            host.say(f"pod {written}")
            host.log(MESSAGE=f"journal {written}")

    with host.store():
        for _ in range(3):
            with host.collector():
                go_on(200)
                until(lambda: host.texts()["pod 1"] > 0)
                go_on(200)
            go_on(50)
        with host.collector():
            found = host.settled(2 * written)
    expected = (f"{source} {n}" for source in ("pod", "journal") for n in range(1, written + 1))
    assert found == Counter(expected)


def test_a_file_that_is_turned_over_is_read_to_its_end(host: Host) -> None:
    folder = host.top / "pods" / f"shop_web-0_{WEB}" / "app"

    def turn_over(number: int) -> None:
        host.say(f"last of {number}")
        (folder / "0.log").rename(folder / f"0.log.20260101-00000{number}")
        host.say(f"first after {number}")

    with host.store():
        with host.collector():
            host.say("begun")
            until(lambda: host.texts()["begun"] == 1)
            turn_over(1)
        turn_over(2)  # while nobody reads
        with host.collector():
            turn_over(3)
            found = host.settled(7)
    said = (f"{which} {n}" for n in (1, 2, 3) for which in ("last of", "first after"))
    assert found == Counter(["begun", *said])


def test_restarts_amid_long_files_lose_no_line_and_bring_none_twice(host: Host) -> None:
    numbers = range(1, 80_001)
    since = str(round(AT.timestamp() * 1_000_000))
    entries = (
        {"__CURSOR": f"c{n}", "__REALTIME_TIMESTAMP": since, "MESSAGE": f"journal {n}"}
        for n in numbers
    )
    (host.top / "journal").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    lines = "".join(f"{stamp(AT)} stdout F pod {n}\n" for n in numbers)
    host.write(lines.encode(), f"shop_web-0_{WEB}/app/0.log")
    with host.store():
        for _ in range(2):
            with host.collector():
                pass
        assert 0 < host.count() < 2 * len(numbers)
        with host.collector():
            found = host.settled(2 * len(numbers))
    assert found == Counter(f"{source} {n}" for source in ("pod", "journal") for n in numbers)


def test_what_was_written_while_the_store_was_away_arrives_once(host: Host) -> None:
    with host.store(), host.collector():
        host.say("before")
        until(lambda: host.texts()["before"] == 1)
    with host.collector():
        for number in range(300):
            host.say(f"away {number}")
        host.log(MESSAGE="away too")
        until(lambda: host.metric("receiver_accepted_log_records") == 301)
        assert host.metric("exporter_queue_size") > 301
    with host.collector():  # it ended and began while the store was away
        host.say("away and again")
        with host.store():
            found = host.settled(303)
    assert found == Counter(
        ["before", *(f"away {n}" for n in range(300)), "away too", "away and again"]
    )


def test_an_entry_of_the_journal_has_its_text_its_time_and_who_wrote_it(host: Host) -> None:
    whole: dict[str, Any] = {
        "_SYSTEMD_UNIT": "a.service",
        "_PID": "7",
        "_HOSTNAME": "h1",
        "_COMM": "aa",
    }
    host.log(MESSAGE="whole", SYSLOG_IDENTIFIER="a", UNIT="b.service", **whole)
    host.log(MESSAGE="of a unit", UNIT="b.service", _COMM="bb", PRIORITY="3", _UID="0")
    host.log(MESSAGE="bare")
    host.log(MESSAGE=[*b"bytes \x1b[0m\n and a line"], SYSLOG_IDENTIFIER=["two", "names"])
    host.log(MESSAGE=[*b"broken \xff"])
    host.log(MESSAGE=["there", "twice"], _PID=None)
    host.log(_COMM="no text")
    host.log(MESSAGE='{"log.source": "pods"}')
    host.log(MESSAGE="last")
    source = {"log.source": "journal", "k8s.node.name": NODE}
    with host.store(), host.collector():
        until(lambda: host.texts()["last"] == 1)
        found = {line["_msg"]: line for line in host.lines()}
    assert given(found["whole"]) == {
        **source,
        "systemd.unit": "a.service",
        "syslog.identifier": "a",
        "process.pid": "7",
        "host.name": "h1",
    }
    unit = {"systemd.unit": "b.service", "syslog.identifier": "bb"}
    assert given(found["of a unit"]) == {**source, **unit}
    assert given(found["bare"]) == given(found["bytes \x1b[0m\n and a line"]) == source
    assert given(found['{"log.source": "pods"}']) == source
    assert all(line["_time"] == stamp(AT)[:-4] + "Z" for line in found.values())


def test_the_labels_of_a_new_pod_come_with_its_first_line(host: Host, api: Api) -> None:
    with host.store(), host.collector():
        api.apply([pod("shop", "late", app="late")])
        host.say("first", where=f"shop_late_{WEB}/app")
        until(lambda: host.texts()["first"] == 1)
        (found,) = host.lines()
    assert given(found) == of_pods("shop", "late", "app", app="late")
