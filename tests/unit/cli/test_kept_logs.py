"""What is asked of the store of logs, and how its rows become the lines that were written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cli_said import Disco

from disco.checks.logs import Span, VictoriaLogs
from disco.cli import logs, opened
from disco.cli.kept_lines import Line
from disco.cli.kept_logs import span
from disco.cli.kept_victoria import InVictoriaLogs, lines_of, only_of
from disco.cli.target import Pods, Target
from disco.engine.errors import DiscoError, WrongUse
from disco.engine.place import Place
from disco.hosts.host import Host
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.store.store import Store

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
POD = {
    "_stream": "{}",
    "kubernetes.pod_name": "node-0",
    "kubernetes.pod_namespace": "akash",
    "kubernetes.container_name": "akash",
}


class Api(Kube):
    """An API server behind which a store gives these rows, or this answer."""

    def __init__(self, *rows: dict[str, str], code: int = 200) -> None:
        self.rows, self.code, self.asked = rows, code, dict[str, str]()

    async def proxy(
        self, cluster: Cluster, target: str, path: str, method: str = "GET", **options: object
    ) -> httpx2.Response:
        assert (target, path) == ("logs/services/logs:9428", "/select/logsql/query")
        params = options["params"]
        assert isinstance(params, dict)
        self.asked = params
        return httpx2.Response(self.code, text="\n".join(json.dumps(row) for row in self.rows))

    def store(self) -> InVictoriaLogs:
        return InVictoriaLogs(VictoriaLogs(self, Cluster.__new__(Cluster)))


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        ("90m", "", Span(NOW - timedelta(minutes=90))),
        ("2d", "1h", Span(NOW - timedelta(days=2), NOW - timedelta(hours=1))),
        ("2026-01-30T10:00+01:00", "", Span(datetime(2026, 1, 30, 9, tzinfo=UTC))),
        ("", "2026-01-30T10:00Z", Span(None, datetime(2026, 1, 30, 10, tzinfo=UTC))),
        ("", "", Span()),
    ],
)
def test_times_are_read_as_people_say_them(since: str, until: str, found: Span) -> None:
    assert span(since, until, NOW) == found


@pytest.mark.parametrize("wrong", ["5x", "yesterday", "-1h", "1h30m", "0001-01-01T00:00+23:59"])
def test_what_is_no_time_is_refused_by_its_flag(wrong: str) -> None:
    with pytest.raises(WrongUse, match=r"--since .* is neither"):
        span(wrong, "", NOW)


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(WrongUse, match="--until 2h is not after --since 1h"):
        span("1h", "2h", NOW)


def test_a_target_asks_for_what_is_its_own_and_names_mean_nothing_else() -> None:
    host = Host("h1", "10.0.0.1")
    assert only_of(Target("h1", (host,))) == '({node="h1"})'
    unit = only_of(Target("h1:kubelet", (host,), "kubelet"))
    assert unit == (
        '(({node="h1"} ("_SYSTEMD_UNIT":="kubelet.service" or "UNIT":="kubelet.service")))'
    )
    pods = Pods("akash", "app.kubernetes.io/instance=akash")
    assert only_of(Target("akash", pods=(pods,))) == (
        '(({kubernetes.pod_namespace="akash"} '
        '"kubernetes.pod_labels.app.kubernetes.io/instance":="akash"))'
    )
    evil = Pods('a" or *', pod='p"} | delete x', container="c")
    assert only_of(Target("x", pods=(evil,))) == (
        '(({kubernetes.pod_namespace="a\\" or *"} "kubernetes.pod_name":="p\\"} | delete x" '
        '"kubernetes.container_name":="c"))'
    )


async def test_a_persons_query_stands_alone_and_one_row_more_than_shown_is_asked_for() -> None:
    rows = [POD | {"_time": f"2026-01-31T11:00:0{i}Z", "_msg": f"line {i}"} for i in (2, 1, 0)]
    kube = Api(*rows)
    target = Target("akash", pods=(Pods("akash"),))
    lines, cut = await kube.store().lines(target, Span(NOW), "a or b | fields x", 2)
    assert kube.asked == {
        "query": "a or b | fields x",
        "extra_filters": '(({kubernetes.pod_namespace="akash"}))',
        "limit": "3",
        "start": "2026-01-31T12:00:00+00:00",
    }
    assert cut and [line.text for line in lines] == ["line 1", "line 2"]


async def test_a_query_that_is_none_is_wrong_use_and_a_store_that_is_away_a_failure() -> None:
    target = Target("akash", pods=(Pods("akash"),))
    with pytest.raises(WrongUse, match="not LogsQL"):
        await Api({"e": "x"}, code=400).store().lines(target, Span(), "((", 2)
    with pytest.raises(DiscoError, match="does not answer"):
        await Api({"e": "x"}, code=503).store().lines(target, Span(), "", 2)


def test_lines_come_in_the_order_of_time_and_what_came_twice_once() -> None:
    later = POD | {"_time": "2026-01-31T11:00:00.1Z", "_msg": "later"}
    sooner = POD | {"_time": "2026-01-31T11:00:00.090000001Z", "_msg": "sooner"}
    found = lines_of([later, sooner, later])
    assert [(line.label, line.text) for line in found] == [
        ("node-0", "sooner"),
        ("node-0", "later"),
    ]


def test_containers_are_named_where_a_pod_has_several() -> None:
    rows = [POD | {"_time": f"{NOW:%FT%TZ}", "_msg": "a"}]
    rows.append(rows[0] | {"kubernetes.container_name": "home", "_msg": "b"})
    assert {line.label for line in lines_of(rows)} == {"node-0:akash", "node-0:home"}


def test_a_hosts_line_is_as_journalctl_prints_it() -> None:
    row = {
        "_time": "2026-01-31T11:00:00.123456Z",
        "_msg": "E0131 it fails",
        "_HOSTNAME": "h1",
        "SYSLOG_IDENTIFIER": "kubelet",
        "_PID": "12",
        "node": "h1",
        "level": "info",
    }
    (line,) = lines_of([row], "kubelet")
    assert line.label == "h1:kubelet"
    assert line.text == "2026-01-31T11:00:00+0000 h1 kubelet[12]: E0131 it fails"


def test_lines_that_the_collector_took_apart_are_put_together_again() -> None:
    klog = {"level": "WARNING", "thread_id": "1", "source_line": "a.go:5"}
    at = POD | {"_time": "2026-01-31T11:00:00.123456Z"}
    plain, told, in_json = lines_of(
        [
            at | klog | {"_msg": "slow [x]"},
            at | klog | {"_msg": 'said "x"', "err": "no"},
            at | {"_msg": "block", "height": "7"},
        ]
    )
    assert plain.text == "W0131 11:00:00.123456       1 a.go:5] slow [x]"
    assert told.text == 'W0131 11:00:00.123456       1 a.go:5] "said \\"x\\"" err="no"'
    assert json.loads(in_json.text) == {"time": at["_time"], "msg": "block", "height": "7"}


def test_what_a_query_has_made_of_lines_stays_as_it_is() -> None:
    (line,) = lines_of([{"n": "7"}])
    assert (line.label, line.text) == ("", '{"n": "7"}')


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_that_were_opened_are_masked_in_kept_lines_too(
    stack: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    store = Store(Place.of(stack, "lab"))
    store.put("some/password", {"value": 'correct "horse" battery'})
    opened.opened(store)
    text = 'password correct "horse" battery'
    line = Line("node-0", "2026-01-31T11:00:00Z", text)
    logs._print_kept([line], True, 1, False, as_json)
    said = capsys.readouterr()
    assert "horse" not in said.out and "password [secret]" in said.out
    assert "only the newest 1 lines" in said.err
    if as_json:
        assert json.loads(said.out) == {
            "from": "node-0",
            "time": "2026-01-31T11:00:00Z",
            "line": "password [secret]",
        }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--since", "soon"), "--since soon"),
        (("--follow", "--since", "1h"), "--follow waits"),
        (("--since", "1h", "--limit", "0"), "--limit must be"),
    ],
)
def test_flags_that_can_not_be_meant_are_wrong_use(
    disco: Disco, stack: object, words: tuple[str, ...], why: str
) -> None:
    said = disco("logs", "h1", *words)
    assert said.code == 2
    assert why in said.err


def test_without_a_store_a_query_is_refused_with_what_to_add(disco: Disco, stack: object) -> None:
    said = disco("logs", "h1", "--query", "error")
    assert said.code == 2
    assert "keeps no logs" in said.err and "logs: {}" in said.err
