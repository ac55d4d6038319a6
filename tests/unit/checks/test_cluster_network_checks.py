"""Pods' view of the network is judged; what the probes make is theirs alone and goes again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disco.layers.cluster import check_network, probes
from disco.layers.cluster.probes import PORT, SHUT

PRINTED = """Server:\t\t10.96.0.10
Address:\t10.96.0.10:53

Name:\tkubernetes.default.svc.cluster.local
Address: {address}

"""


class Network:
    """Pods that reach each other but for what `cut` says: (from node, address, port)."""

    run, service = "r1", "10.96.0.99"

    def __init__(self, nodes: int = 2, policies: bool = True) -> None:
        self.open = {f"h{i}": f"10.244.{i}.1" for i in range(nodes)}
        self.walled = {f"h{i}": f"10.244.{i}.2" for i in range(nodes)}
        self.cut: set[tuple[str, str]] = set()
        self.policies = policies

    async def reach(self, node: str, targets: Sequence[str]) -> dict[str, str]:
        return {t: self._answer(node, t) for t in targets}

    def _answer(self, node: str, target: str) -> str:
        address, port = target.split(":")
        if (node, address) in self.cut:
            return ""
        if address in self.walled.values() and int(port) == SHUT and self.policies:
            return ""
        names = {a: f"open-{n}-r1" for n, a in self.open.items()}
        names |= {a: f"walled-{n}-r1" for n, a in self.walled.items()}
        return {**names, self.service: "open-h0-r1"}[address]


async def ask(question: Any, network: Network) -> Any:
    return await question(network)


@pytest.mark.parametrize("nodes", [1, 2, 3, 12])
async def test_a_sound_network_is_green_for_every_question(nodes: int) -> None:
    network = Network(nodes)
    pods = await ask(check_network._pods, network)
    ways = nodes * (1 + min(nodes - 1, check_network.NEIGHBOURS))
    assert pods.ok
    assert pods.evidence.startswith(f"{ways} of {ways} ways open")
    assert (await ask(check_network._services, network)).ok
    policies = await ask(check_network._policies, network)
    ports = 2 * nodes * (2 if nodes > 1 else 1)
    assert policies.ok
    assert policies.evidence.startswith(f"{ports} of {ports} ways")


async def test_a_cut_between_two_nodes_is_named() -> None:
    network = Network(2)
    network.cut.add(("h0", network.open["h1"]))
    answer = await ask(check_network._pods, network)
    assert not answer.ok
    assert f"from h0 to h1: {network.open['h1']}:{PORT} gave no answer" in answer.evidence


async def test_a_policy_that_nobody_enforces_is_red() -> None:
    answer = await ask(check_network._policies, Network(1, policies=False))
    assert answer.evidence.startswith("1 of 2 ways as the policy says; h0 to 10.244.0.2:8081")
    assert "answered (walled-h0-r1), though a policy shuts it" in answer.evidence


async def test_a_policy_that_shuts_everything_is_red_too() -> None:
    network = Network(1)
    network.cut.add(("h0", network.walled["h0"]))
    answer = await ask(check_network._policies, network)
    assert "no answer, though the policy opens it" in answer.evidence


async def test_a_service_that_one_node_does_not_reach_is_red() -> None:
    network = Network(2)
    network.cut.add(("h1", network.service))
    answer = await ask(check_network._services, network)
    assert answer.evidence == "1 of 2 nodes reach a service; h1: 10.96.0.99:8080 gave no answer"


def test_an_address_counts_only_in_the_answer_of_nslookup() -> None:
    good = PRINTED.format(address="10.96.0.1")
    assert check_network.not_resolved(good, "10.96.0.1") == ""
    assert "expected 10.96.0.10" in check_network.not_resolved(good, "10.96.0.10")
    refused = "Server:\t\t10.96.0.10\n\n** server can't find it: NXDOMAIN\n"
    assert "NXDOMAIN" in check_network.not_resolved(refused, "10.96.0.1")
    assert "nothing within 4 s" in check_network.not_resolved("", "10.96.0.1")


def test_everybody_talks_with_everybody_on_few_nodes_and_with_some_on_many() -> None:
    assert check_network.neighbours(["a"]) == {"a": []}
    assert check_network.neighbours(["a", "b", "c"]) == {
        "a": ["b", "c"],
        "b": ["c", "a"],
        "c": ["a", "b"],
    }
    many = check_network.neighbours([f"h{i}" for i in range(50)])
    assert {len(others) for others in many.values()} == {check_network.NEIGHBOURS}
    assert all(n not in others for n, others in many.items())


def test_two_runs_share_no_name_and_select_no_pod_of_each_other() -> None:
    one, other = probes.new_run(), probes.new_run()
    made = [
        {
            t["metadata"]["name"]
            for t in (
                probes.server(run, "open", "h1", "busybox"),
                probes.server(run, "walled", "h1", "busybox"),
                probes.service(run),
                probes.wall(run),
            )
        }
        for run in (one, other)
    ]
    assert not made[0] & made[1]
    selected = probes.wall(one)["spec"]["podSelector"]["matchLabels"]
    labels = probes.server(other, "walled", "h1", "busybox")["metadata"]["labels"]
    assert not selected.items() <= labels.items()
    own = probes.server(one, "walled", "h1", "busybox")["metadata"]["labels"]
    assert selected.items() <= own.items()


def test_a_probe_pod_has_no_rights_and_an_end() -> None:
    spec = probes.server("r1", "open", "h1", "busybox")["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] <= 300
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_only_what_no_running_check_can_need_is_stale() -> None:
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

    def made(name: str, ago: float) -> dict[str, Any]:
        time = (now - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"metadata": {"name": name, "creationTimestamp": time}}

    assert probes.stale([made("new", 20), made("old", 400)], now) == ["old"]
    assert probes.STALE_S > probes.LIFETIME_S
