"""Three servers, three validators: one validator's host is killed, blocks go on, it catches up."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stack import UP_S, LabStack, lab_stack, until
from tools import Tools

from disco.checks.prometheus import Prometheus
from disco.cli.target import cluster_of, must_have_cluster
from disco.cli.wiring import open_stack
from disco.engine.errors import DiscoError
from disco.layers.platform.openbao import OpenBao
from panels import Asked, asked

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "three.yaml"
SEEN = Path(__file__).resolve().parents[1] / "cases" / "metrics.txt"
ONLY_AFTER_FAULTS = {"cometbft_consensus_validator_missed_blocks"}
ELSEWHERE = ("disco", "probes", "workloads")  # test_measures.py
NOT_HERE = ("disco_", "probe_", "k8s_")  # how names of their metrics begin
CONTROL_PLANE = "h1"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    text = EXAMPLE.read_text().replace("10.89.0.0/24", "10.88.214.0/24")
    with lab_stack(tmp_path_factory.mktemp("three"), text) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


def test_three_nodes_are_ready_and_carry_one_validator_each(three: LabStack) -> None:
    nodes = json.loads(kubectl(three, "get", "nodes", "-o", "json"))["items"]
    ready = [n["metadata"]["name"] for n in nodes if _ready(n)]
    assert sorted(ready) == ["h1", "h2", "h3"]
    assert sorted(places(three).values()) == ["h1", "h2", "h3"]


def test_a_full_node_follows_and_clients_are_sent_to_it(three: LabStack) -> None:
    until(
        "the full node follows",
        lambda: synced(three, "node-0", "validator-0"),
        120,
        told=lambda: (status_of(three, "node-0"), status_of(three, "validator-0")),
    )
    rpc = json.loads(kubectl(three, "-n", "akash", "get", "endpoints", "rpc", "-o", "json"))
    behind_rpc = {a["targetRef"]["name"] for s in rpc["subsets"] for a in s["addresses"]}
    assert behind_rpc == {"node-0"}


def test_a_vault_pod_is_on_each_node_and_all_are_voters(three: LabStack) -> None:
    pods = json.loads(kubectl(three, "-n", "vault", "get", "pods", "-o", "json"))["items"]
    vaults = {p["metadata"]["name"]: p["spec"]["nodeName"] for p in pods}
    where = [node for name, node in vaults.items() if name.startswith("openbao-")]
    assert sorted(where) == ["h1", "h2", "h3"]
    three.must("check", "--only", "vault", within_s=120)


def test_a_secret_is_read_soon_after_the_vaults_leader_was_killed(three: LabStack) -> None:
    """The others answer while nobody leads; and somebody leads soon."""
    read, led = [], []
    for _ in range(3):
        times = Tools(three).vault(_without_leader(three))
        read.append(times[0])
        led.append(times[1])
        three.must("apply", "--yes", within_s=120)
    print(
        f"leader killed: a secret is read after {_told(read)}, another pod leads after {_told(led)}"
    )
    assert statistics.median(read) <= 3.0


def _told(seconds: list[float]) -> str:
    return ", ".join(f"{s:.2f} s" for s in seconds)


def _without_leader(
    three: LabStack,
) -> Callable[[OpenBao, str], Awaitable[tuple[float, float]]]:
    """Kill the leader. Seconds until one of the others has given a secret, and until one leads."""

    async def drill(bao: OpenBao, token: str) -> tuple[float, float]:
        async def reads(pod: int) -> bool:
            path = "/v1/kv/data/disco/probe"
            return bool(await bao._call(f"openbao-{pod}", "GET", path, None, token))

        async def first(ask: Callable[[int], Awaitable[bool]]) -> float:
            while time.monotonic() < killed + 60:
                for other in others:
                    try:
                        if await ask(other):
                            return time.monotonic() - killed
                    except DiscoError:
                        await asyncio.sleep(0.05)
            raise AssertionError("nobody did within 60 s")

        [leader] = [i for i in range(3) if await bao.leads(i)]
        pod = kubectl(three, "-n", "vault", "get", "pod", f"openbao-{leader}", "-o", "json")
        others = [i for i in range(3) if i != leader]
        for other in others:
            assert await reads(other)
        Tools(three).on_host("pkill -KILL -f '^bao server'", json.loads(pod)["spec"]["nodeName"])
        killed = time.monotonic()
        return await first(reads), await first(bao.leads)

    return drill


def test_no_panel_of_a_dashboard_is_empty(three: LabStack) -> None:
    def none() -> bool:
        empty, names = asyncio.run(without_data(three))
        print(f"without data: {empty}")
        wanted = {m for m in SEEN.read_text().split() if not m.startswith(NOT_HERE)}
        missing = wanted - names - ONLY_AFTER_FAULTS
        return not empty and not missing

    until("every query gives data", none, 120)


async def without_data(stack: LabStack) -> tuple[list[Asked], set[str]]:
    """Queries that give nothing or only what is no number; and the names of all metrics."""
    async with open_stack(stack.file) as session:
        cluster = must_have_cluster(cluster_of(await session.components()))
        server = Prometheus(session.kube, cluster)
        empty = [
            query
            for query in asked(await server.interval_s())
            if query.board not in ELSEWHERE
            and all(math.isnan(s.value) for s in await server.query(query.expression))
        ]
        return empty, set(await server.get("label/__name__/values"))


def test_a_killed_host_stops_no_blocks_and_its_validator_catches_up(three: LabStack) -> None:
    where = places(three)
    # The first validator has two thirds of the stake: the chain needs it, and the API its host.
    # The store of logs loses what it had for a second when its own host is cut from power.
    needed = {CONTROL_PLANE, place_of(three, "logs", "logs-0")}
    victim = next(v for v in ("validator-1", "validator-2") if where[v] not in needed)
    witness = next(v for v in where if v != victim and where[v] != where[victim])
    host = where[victim]
    before = height(three, witness)
    mark = f"written before {host} was killed"
    three.must("exec", host, "--", "logger", "--tag", "lab", mark)
    lines = kubectl(three, "-n", "akash", "logs", victim, "--tail", "40").splitlines()
    kill_host(three, host)
    at_kill = until("blocks go on", lambda: _above(three, witness, before + 3), 60)
    assert height(three, witness) >= at_kill
    three.must("apply", "--yes", within_s=300)
    until("the validator is ready again", lambda: ready_validators(three) == 3, 240)
    caught_up = until("it has caught up", lambda: synced(three, victim, witness), 120)
    assert caught_up
    # Peers dial each other again after some seconds.
    three.must("check", "--wait", "60", "--only", "chain,vault", within_s=180)
    until("no line is lost", lambda: not lost(three, victim, lines, host, mark), 60)
    print(f"on {host}, which was killed: {victim}; not there: the store of logs, on {needed}")


def lost(stack: LabStack, pod: str, lines: list[str], host: str, mark: str) -> list[str]:
    """Lines that were written just before the host was killed, and are not kept."""
    asked = ("--since", "20m", "--json", "--limit", "50000")
    found = [json.loads(x)["line"] for x in stack.must("logs", f"akash/{pod}", *asked).splitlines()]
    wanted = [line for line in lines if line and line not in set(found)]
    journal = stack.must("logs", host, "--since", "20m", "--query", f'"{mark}"')
    print(f"{pod}: {len(wanted)} of its last {len(lines)} lines are missing")
    return wanted + ([] if mark in journal else [mark])


def test_a_second_apply_changes_nothing(three: LabStack) -> None:
    done = three.disco("apply", "--yes")
    assert done.returncode == 0
    assert "Nothing to do" in done.stderr


def kubectl(stack: LabStack, *words: str) -> str:
    return stack.must("kubectl", "--", *words)


def places(stack: LabStack) -> dict[str, str]:
    """Validator -> the node that it runs on."""
    pods = json.loads(kubectl(stack, "-n", "akash", "get", "pods", "-o", "json"))["items"]
    found = {p["metadata"]["name"]: p["spec"]["nodeName"] for p in pods}
    return {name: node for name, node in found.items() if name.startswith("validator-")}


def place_of(stack: LabStack, namespace: str, pod: str) -> str:
    found = json.loads(kubectl(stack, "-n", namespace, "get", "pod", pod, "-o", "json"))
    return str(found["spec"]["nodeName"])


def status_of(stack: LabStack, pod: str) -> dict[str, Any]:
    path = f"/api/v1/namespaces/akash/pods/{pod}:26657/proxy/status"
    answer: dict[str, Any] = json.loads(kubectl(stack, "get", "--raw", path))
    return answer["result"]["sync_info"]


def height(stack: LabStack, pod: str) -> int:
    return int(status_of(stack, pod)["latest_block_height"])


def _above(stack: LabStack, pod: str, wanted: int) -> int:
    now = height(stack, pod)
    return now if now > wanted else 0


def synced(stack: LabStack, pod: str, witness: str) -> bool:
    mine = status_of(stack, pod)
    behind = height(stack, witness) - int(mine["latest_block_height"])
    return not mine["catching_up"] and behind < 5


def ready_validators(stack: LabStack) -> int:
    found = json.loads(kubectl(stack, "-n", "akash", "get", "sts", "validator", "-o", "json"))
    return int(found["status"].get("readyReplicas", 0))


def kill_host(stack: LabStack, host: str) -> None:
    """As if its power was cut: the keeper, nspawn and everything in the host's cgroups."""
    folder = stack.place.hosts / host
    notes = json.loads((folder / "running.json").read_text())
    for pid in {v for k, v in notes.items() if k in ("keeper", "nspawn", "pid") and v}:
        os.kill(int(pid), signal.SIGKILL)
    groups = Path("/sys/fs/cgroup").rglob(f"disco-{stack.place.id}-{host}/**/cgroup.procs")
    for group in groups:
        for pid in group.read_text().split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


def _ready(node: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
