"""What pods and servers write is found soon, and stays: also when files are rotated, when the store
is away, and when its pod is another one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from stack import LabStack, until
from tools import BUSYBOX, HOST, Json, Tools

MOST_S = 5.0
LINES = 120_000  # about 24 MB: kubelet begins another file at 10 MiB, looking each 10 s
OFTEN = "i=0; while true; do i=$((i+1)); echo often-$i; sleep 1; done"
QUIET = "i=0; while true; do i=$((i+1)); sleep 11; echo quiet-$i; done"
LOUD = f"""pad=$(seq -s x 60 | head -c 150); i=0
while [ $i -lt {LINES} ]; do
  i=$((i+1)); echo loud-$i $pad
  [ $((i % {LINES // 3})) -ne 0 ] || sleep 12
done; echo loud-end; sleep 600"""
JSON_LINE = """echo '{"level":"info","msg":"in json","height":"7"}'; sleep 600"""


@pytest.fixture(scope="module")
def tools(stack: LabStack) -> Iterator[Tools]:
    tools = Tools(stack)
    tools.apply(_pod("lab-logs", often=OFTEN, quiet=QUIET, loud=LOUD, json=JSON_LINE))
    yield tools
    tools.kubectl("-n", "default", "delete", "pod", "lab-logs", "--now", "--ignore-not-found")


def _pod(name: str, **scripts: str) -> Json:
    containers = [
        {
            "name": container,
            "image": BUSYBOX,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", script],
        }
        for container, script in scripts.items()
    ]
    spec = {"nodeName": HOST, "terminationGracePeriodSeconds": 0, "containers": containers}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def kept(tools: Tools, name: str, *words: str) -> list[dict[str, str]]:
    out = tools.stack.must("logs", name, "--since", "1h", "--json", *words)
    return [json.loads(line) for line in out.splitlines()]


def test_a_line_of_a_pod_is_found_within_seconds(tools: Tools) -> None:
    seen: dict[str, float] = {}
    ends = time.monotonic() + 50
    while time.monotonic() < ends:
        for container in ("often", "quiet"):
            for line in _newest(tools, container):
                written = datetime.fromisoformat(line["_time"]).timestamp()
                seen.setdefault(line["_msg"], time.time() - written)
        time.sleep(0.2)
    for kind in ("often", "quiet"):
        took = sorted(s for line, s in seen.items() if line.startswith(kind))
        middle, longest = took[len(took) // 2], took[-1]
        print(f"{kind}: {len(took)} lines, {middle:.1f} s (median), {longest:.1f} s at most")
        assert len(took) >= 3
        assert longest < MOST_S


def _newest(tools: Tools, container: str) -> list[dict[str, str]]:
    query = f"kubernetes.container_name:={container}%20_time:1m"
    service = "/api/v1/namespaces/logs/services/logs:9428/proxy/select/logsql/query"
    out = tools.kubectl("get", "--raw", f"{service}?query={query}&limit=100")
    return [json.loads(line) for line in out.splitlines()]


def test_no_line_is_lost_when_a_file_is_rotated(tools: Tools) -> None:
    loud = ("default/lab-logs:loud", "--query")
    until("the last line is there", lambda: kept(tools, *loud, '"loud-end"'), 90)
    rotated = tools.on_host("ls /var/log/pods/default_lab-logs_*/loud").split()
    found = kept(tools, *loud, "* | stats count() lines, count_uniq(_msg) different")
    counts = json.loads(found[0]["line"])
    print(f"{counts['lines']} lines, {counts['different']} different, from {len(rotated)} files")
    assert len(rotated) > 1
    assert counts == {"lines": str(LINES + 1), "different": str(LINES + 1)}


def test_a_line_in_json_comes_out_with_its_fields(tools: Tools) -> None:
    (found,) = kept(tools, "default/lab-logs:json", "--query", 'height:="7"')
    line = json.loads(found["line"])
    assert line.pop("time")
    assert line == {"level": "info", "msg": "in json", "height": "7"}


def test_what_a_host_writes_is_printed_as_the_host_prints_it(tools: Tools) -> None:
    tools.on_host("logger --tag lab-logs 'from the \"host\": (a=b) ünï'")
    written = time.monotonic()
    found = until("it is kept", lambda: kept(tools, HOST, "--query", '"ünï"'), 10, 0.1)
    print(f"journal: printed {time.monotonic() - written:.1f} s after it was written")
    live = tools.stack.must("logs", HOST, "--tail", "2000").splitlines()
    assert found[-1]["line"] in live


def test_newer_lines_are_shown_first_and_what_is_cut_is_said(tools: Tools) -> None:
    done = tools.stack.disco("logs", f"{HOST}:kubelet", "--since", "1h", "--limit", "5")
    assert len(done.stdout.splitlines()) == 5
    assert "only the newest 5 lines" in done.stderr
    assert done.stdout.splitlines() == sorted(done.stdout.splitlines(), key=lambda x: x[:19])


def test_another_pod_of_the_store_has_what_the_last_one_had_and_what_came_meanwhile(
    tools: Tools,
) -> None:
    before = {line["line"] for line in kept(tools, "default/lab-logs:often")}
    tools.scale("logs", "statefulset/logs", 0)
    tools.gone("logs", "app.kubernetes.io/name=logs")
    tools.on_host("logger --tag lab-logs 'while the store was away'")
    time.sleep(3)  # lines of the pod that nobody takes
    newest = tools.kubectl("logs", "lab-logs", "-c", "often", "--tail", "1").strip()
    tools.scale("logs", "statefulset/logs", 1)
    until("it answers", lambda: tools.checks("logs/ready")[0] == 0, 60)

    def there() -> bool:
        lines = {line["line"] for line in kept(tools, "default/lab-logs:often")}
        host = kept(tools, HOST, "--query", '"while the store was away"')
        return before | {newest} <= lines and bool(host)

    def missing() -> set[int]:
        numbers = {int(x["line"].split("-")[1]) for x in kept(tools, "default/lab-logs:often")}
        return set(range(1, max(numbers) + 1)) - numbers

    until("all lines are there", there, 60)
    # what was refused is sent again later and later, also after what came after it
    until("none is missing", lambda: not missing(), 90, 1, told=missing)


def test_lines_of_a_pod_that_is_gone_are_still_there(tools: Tools) -> None:
    tools.kubectl("-n", "default", "delete", "pod", "lab-logs", "--now")
    assert "no pod is there" in tools.stack.disco("logs", "default/lab-logs").stderr
    assert kept(tools, "default/lab-logs:often", "--query", '"often-3"')
