"""What DISCO tells of itself: read by the reader of Prometheus' own text format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from disco.checks.runner import Asked
from disco.engine.apply import Ended, Outcome
from disco.engine.check import Answer, Check
from disco.engine.component import Step
from disco.engine.errors import DiscoError
from disco.engine.plan import Part, Plan
from disco.hosts.host import Host
from disco.kube import charts
from disco.layers.platform import measures
from disco.layers.platform.measures import Measures

Samples = dict[tuple[str, ...], float]
AT = 1_800_000_000.0


def samples(told: Measures) -> Samples:
    """Name and values of the labels, without the stack's, which each has."""
    found: Samples = {}
    for family in text_string_to_metric_families(told.text):
        assert family.documentation and family.type == "gauge"
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("stack") == "lab"
            found[(sample.name, *labels.values())] = sample.value
    return found


def plan() -> Plan:
    steps = tuple(Step(f"s{i}", "do", ()) for i in range(2))
    return Plan("lab", (Part("vault", 2, steps, ()), Part("logs", 2, (), ())))


def asked(id: str, ok: bool) -> Asked:
    ask: Callable[[], Any] = lambda: None  # noqa: E731
    return Asked(Check(id, "?", "", ask), Answer(ok, 'it said "no"\n'), 0.25)


def test_a_plan_says_how_many_steps_each_component_needs() -> None:
    assert samples(measures.planned(plan(), 2.5, AT)) == {
        ("disco_plan_timestamp_seconds",): AT,
        ("disco_plan_duration_seconds",): 2.5,
        ("disco_plan_steps", "vault"): 2,
        ("disco_plan_steps", "logs"): 0,
    }


def test_a_plan_that_went_through_leaves_nothing_to_do() -> None:
    found = samples(measures.settled(plan(), 2.5, AT))
    assert found["disco_plan_steps", "vault"] == found["disco_plan_steps", "logs"] == 0


def test_a_run_says_how_it_ended() -> None:
    outcome = Outcome(Ended.FAILED, [DiscoError("no")], done=3, skipped=4)
    found = samples(measures.ran("lab", "apply", outcome, 9.5, AT, ["vault"]))
    ends = {key[1]: value for key, value in found.items() if key[0] == "disco_run_outcome"}
    steps = {key[1]: value for key, value in found.items() if key[0] == "disco_run_steps"}
    assert ends == {"done": 0, "failed": 1, "stopped": 0}
    assert steps == {"done": 3, "failed": 1, "skipped": 4}
    assert found["disco_run_duration_seconds",] == 9.5
    assert found["disco_backup_wanted", "vault"] == 1


def test_checks_are_red_or_green_and_nothing_of_their_evidence_is_told() -> None:
    told = measures.checked("lab", [asked("vault/raft", True), asked("logs/flow", False)], AT)
    found = samples(told)
    assert found["disco_check_ok", "vault/raft"] == 1
    assert found["disco_check_ok", "logs/flow"] == 0
    assert found["disco_check_duration_seconds", "logs/flow"] == 0.25
    assert "it said" not in told.text


def test_each_fact_has_a_file_of_its_own_that_everybody_may_read() -> None:
    host = Host("h1", "192.0.2.1")
    told = [
        measures.planned(plan(), 1, AT),
        measures.ran("lab", "up", Outcome(Ended.DONE), 1, AT, []),
        measures.checked("lab", [], AT),
        *(measures.backed_up("lab", what, AT) for what in (measures.VAULT, measures.STORE)),
    ]
    puts = [one.on(host) for one in told]
    assert len({p.path for p in puts}) == len(told)
    assert {p.mode for p in puts} == {0o644}
    names = [name for one in told for name in {key[0] for key in samples(one)}]
    twice = [name for name in set(names) if names.count(name) > 1]
    assert twice == ["disco_backup_timestamp_seconds"]


def test_node_exporter_looks_where_they_are_put() -> None:
    values = yaml.safe_load((charts.FOLDER / "prometheus" / "values.yaml").read_text())
    assert values["nodeExporter"]["textfilePath"] == measures.FOLDER
