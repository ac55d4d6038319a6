"""What components bring to be watched reaches Prometheus, and each address is asked as declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from disco.checks.prometheus import Sample
from disco.kube.actions import Apply, Release
from disco.layers.platform.check_kube_state import watched
from disco.layers.platform.check_probes import answered
from disco.layers.platform.probes import config, module
from disco.layers.probed import CLUSTER, Probed
from disco.stack.problem import StackProblems
from sim.stack import SimulatedStack
from sim.stacks import WIDE

WITHOUT = WIDE.replace("kube_state: {}\n", "").replace(
    'probes: {targets: {site: {http: "https://site.example/"}}}\n', ""
)


def actions(text: str, folder: Path) -> list[Any]:
    folder.mkdir(exist_ok=True)
    plan = SimulatedStack(text, folder).plan()
    return [a for _, step in plan.steps for a in step.actions]


def values(text: str, folder: Path, release: str) -> dict[str, Any]:
    """With which the chart of this release is installed."""
    found = [a for a in actions(text, folder) if isinstance(a, Release) and a.name == release]
    return dict(found[0].values)


def asked(told: dict[str, Any]) -> dict[str, str]:
    """Probe -> what is asked."""
    (job,) = [j for j in told["scrapeConfigs"] if j["job_name"] == "probe"]
    return {c["labels"]["probe"]: c["targets"][0] for c in job["static_configs"]}


def test_the_api_the_vault_each_node_of_a_chain_and_what_people_name_is_asked(
    tmp_path: Path,
) -> None:
    assert asked(values(WIDE, tmp_path, "prometheus")) == {
        "kubernetes/api": "https://kubernetes.default.svc/readyz",
        "vault/health": "https://openbao-active.vault.svc:8200/v1/sys/health",
        "akash/rpc": "http://rpc.akash:26657/health",
        **{f"akash/validator-{i}": f"validator-{i}.akash:26656" for i in range(3)},
        "site": "https://site.example/",
    }


def test_what_is_not_there_is_not_asked(tmp_path: Path) -> None:
    told = values(WIDE.replace("vault: {replicas: 3}\n", ""), tmp_path, "prometheus")
    assert "vault/health" not in asked(told)
    applied = [a for a in actions(WIDE, tmp_path) if isinstance(a, Apply) and a.name == "probes"]
    doors = [o for a in applied for o in a.objects if o["kind"] == "NetworkPolicy"]
    assert [o["metadata"]["namespace"] for o in doors] == ["vault"]


def test_each_module_that_prometheus_names_is_one_that_is_configured(tmp_path: Path) -> None:
    (job,) = [
        j
        for j in values(WIDE, tmp_path / "a", "prometheus")["scrapeConfigs"]
        if j["job_name"] == "probe"
    ]
    named = {c["labels"]["module"] for c in job["static_configs"]}
    modules = values(WIDE, tmp_path / "b", "blackbox")["config"]["modules"]
    assert named == modules.keys()
    vault = modules["http-200-vault-ca"]["http"]
    assert vault["tls_config"] == {"ca_file": "/etc/authorities/vault-ca.crt"}
    assert "insecure_skip_verify" not in yaml.safe_dump(modules)


def test_rules_come_and_go_with_what_they_are_about(tmp_path: Path) -> None:
    with_all = values(WIDE, tmp_path / "a", "prometheus")["rules"]
    without = values(WITHOUT, tmp_path / "b", "prometheus")["rules"]
    assert with_all.keys() - without.keys() == {"probes.yaml", "workloads.yaml"}
    shipped = {p.name for p in (Path(__file__).parents[3] / "rules").glob("*.yaml")}
    assert with_all.keys() == shipped


def test_what_leads_elsewhere_is_not_followed_where_one_code_is_right() -> None:
    moved = Probed(http="http://a.example/", expect=301)
    assert config(moved)["http"]["valid_status_codes"] == [301]
    assert config(moved)["http"]["follow_redirects"] is False
    assert "follow_redirects" not in config(Probed(http="http://a.example/"))["http"]
    assert module(Probed(tcp="a.example:1")) == "tcp"
    assert module(Probed(http="https://a/", authority=CLUSTER)) == "http-2xx-cluster"


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("{}", "either http or tcp"),
        ("{http: 'http://a', tcp: 'a:1'}", "either http or tcp"),
        ("{tcp: 'a:1', expect: 200}", "tcp has none"),
        ("{tcp: 'a:70000'}", "at most 65535"),
        ("{tcp: a}", "tcp"),
        ("{http: 'ftp://a'}", "http"),
        ("{http: 'http://me:pw@a/'}", "http"),
        ("{http: 'http://a', expect: 999}", "expect"),
    ],
)
def test_a_probe_that_makes_no_sense_is_refused(tmp_path: Path, probe: str, said: str) -> None:
    text = WIDE.replace('{http: "https://site.example/"}', probe)
    with pytest.raises(StackProblems) as refused:
        SimulatedStack(text, tmp_path)
    assert said in str(refused.value) and "probes.targets.site" in str(refused.value)


def test_a_probe_is_red_without_an_answer_and_when_nobody_asks() -> None:
    probes = {"a": Probed(tcp="a:1"), "b": Probed(tcp="b:1"), "c": Probed(tcp="c:1")}
    told = [Sample({"probe": "a"}, 1, 0), Sample({"probe": "b"}, 0, 0)]
    answer = answered(probes, told)
    assert not answer.ok
    assert answer.details == ("b: b:1 does not answer as it should", "c: was never asked")


def test_a_node_without_figures_is_red() -> None:
    assert watched({"h1"}, {"h1", "gone"}).ok
    assert watched({"h1", "h2"}, {"h1"}).details == ("h2: no figures",)
