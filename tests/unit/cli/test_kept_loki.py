"""What is asked of a Loki, and how its streams become the lines that were written.

No Loki is run here: its image can't be had where these tests run, and it is not built. What is sent
and what comes back is as its own pages about version 3.7 say.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from disco.checks.logs import Span
from disco.checks.loki import LokiStore
from disco.cli.kept_loki import InLoki, selectors_of, stages
from disco.cli.target import Pods, Target
from disco.engine.errors import DiscoError, WrongUse
from disco.hosts.host import Host
from disco.kube.access import Cluster
from disco.kube.reader import Kube

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOON_NS = 1769860800 * 10**9
POD = {
    "log_source": "pods",
    "k8s_namespace_name": "akash",
    "k8s_pod_name": "node-0",
    "k8s_container_name": "akash",
    "k8s_node_name": "h1",
}
JOURNAL = {
    "log_source": "journal",
    "k8s_node_name": "h1",
    "host_name": "h1",
    "syslog_identifier": "kubelet",
    "process_pid": "7",
}
Stream = tuple[dict[str, str], list[tuple[int, str]]]


class Api(Kube):
    """An API server behind which a Loki gives these streams, or answers with this code."""

    def __init__(self, *streams: Stream, code: int = 200, text: str = "") -> None:
        self.streams, self.code, self.text = streams, code, text
        self.asked: list[dict[str, str]] = []

    async def proxy(
        self, cluster: Cluster, target: str, path: str, method: str = "GET", **options: object
    ) -> httpx2.Response:
        assert target == "logs/services/loki:3100"
        params = options["params"]
        assert isinstance(params, dict)
        self.asked.append(params | {"path": path})
        result = [
            {"stream": labels, "values": [[str(NOON_NS + at), line] for at, line in lines]}
            for labels, lines in self.streams
        ]
        told = {"status": "success", "data": {"resultType": "streams", "result": result}}
        return httpx2.Response(self.code, text=self.text or json.dumps(told))

    @property
    def queries(self) -> list[str]:
        return [params["query"] for params in self.asked]

    def store(self) -> LokiStore:
        return LokiStore(self, Cluster.__new__(Cluster), "2d")


def test_a_target_asks_for_what_is_its_own_and_names_mean_nothing_else() -> None:
    hosts = Host("h1", "10.0.0.1"), Host("h.2", "10.0.0.2")
    assert list(selectors_of(Target("servers", hosts))) == [
        r'{log_source="journal", k8s_node_name=~"h1|h\\.2"}'
    ]
    (unit,) = selectors_of(Target("h1:kubelet", hosts[:1], "kubelet"))
    assert unit.endswith('| systemd_unit="kubelet.service"')
    pods = Pods("akash", "app.kubernetes.io/name=akash,tier=a", container="home")
    assert list(selectors_of(Target("akash", pods=(pods, Pods("vault", pod="openbao-0"))))) == [
        '{log_source="pods", k8s_namespace_name="akash", k8s_container_name="home"} '
        '| k8s_pod_labels_app_kubernetes_io_name="akash" | k8s_pod_labels_tier="a"',
        '{log_source="pods", k8s_namespace_name="vault"} | k8s_pod_name="openbao-0"',
    ]
    (evil,) = selectors_of(Target("x", pods=(Pods('a"} or {b="c'),)))
    assert evil == r'{log_source="pods", k8s_namespace_name="a\"} or {b=\"c"}'


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ""),
        ("error", '|= "error"'),
        (' |~ "a|b" | json ', '|~ "a|b" | json'),
        ('!= "quiet"', '!= "quiet"'),
        ('say "it"', r'|= "say \"it\""'),
    ],
)
def test_words_are_looked_for_and_stages_are_taken_as_they_are(query: str, found: str) -> None:
    assert stages(query) == found


async def test_lines_of_all_that_was_asked_come_in_the_order_of_time() -> None:
    kube = Api((POD, [(2, "second"), (0, "first")]), (JOURNAL, [(1, "between")]))
    target = Target("x", (Host("h1", "10.0.0.1"),), pods=(Pods("akash"),))

    lines, cut = await InLoki(kube.store()).lines(target, Span(NOON), "a b", 9)
    assert [(line.label, line.text) for line in lines] == [
        ("node-0", "first"),
        ("h1", "2026-01-31T12:00:00+0000 h1 kubelet[7]: between"),
        ("node-0", "second"),
    ]
    assert lines[0].time == "2026-01-31T12:00:00.000000000Z" and not cut
    assert all(query.endswith('|= "a b"') for query in kube.queries) and len(kube.queries) == 2
    assert kube.asked[0]["start"] == str(NOON_NS)
    assert (kube.asked[0]["limit"], kube.asked[0]["direction"]) == ("10", "backward")


async def test_more_than_were_asked_for_are_cut_to_the_newest() -> None:
    kube = Api((POD, [(i, str(i)) for i in range(4)]))
    lines, cut = await InLoki(kube.store()).lines(Target("x", pods=(Pods("a"),)), Span(), "", 3)
    assert ([line.text for line in lines], cut) == (["1", "2", "3"], True)


async def test_without_a_start_all_that_is_kept_is_looked_through_and_an_end_is_included() -> None:
    kube = Api()
    await kube.store().query("{}", 1, Span(end=NOON))
    asked = kube.asked[0]
    assert int(asked["end"]) == NOON_NS + 1
    begun = datetime.fromtimestamp(int(asked["start"]) / 1e9, UTC)
    assert abs(datetime.now(UTC) - begun - timedelta(days=2)) < timedelta(minutes=1)


async def test_containers_of_one_pod_are_told_apart() -> None:
    kube = Api((POD, [(0, "a")]), (POD | {"k8s_container_name": "home"}, [(1, "b")]))
    lines, _ = await InLoki(kube.store()).lines(Target("x", pods=(Pods("akash"),)), Span(), "", 9)
    assert [line.label for line in lines] == ["node-0:akash", "node-0:home"]


async def test_what_loki_refuses_is_told_as_it_says_it() -> None:
    refused = Api(code=400, text="parse error at line 1, col 9: syntax error")
    with pytest.raises(WrongUse, match=r"not LogQL[\s\S]*parse error at line 1"):
        await refused.store().query("{", 1, Span())
    with pytest.raises(DiscoError, match="does not answer"):
        await Api(code=503, text="Ingester not ready").store().ready()


async def test_its_checks_see_which_nodes_lines_come_from() -> None:
    kube = Api((JOURNAL, [(0, "is this line found? 1a2b")]))
    assert await kube.store().nodes_with("1a2b", NOON) == {"h1"}
    assert kube.queries == ['{log_source="journal"} |= "1a2b"']
    assert await Api((POD, [(0, "alive")])).store().nodes_alive(NOON) == {"h1"}
