"""Steps are a function of spec, inputs and what was seen: each case is a file that says all four.

A case (`tests/cases/<section>/*.yaml`) has:

    spec:    the component's part of a stack file.
    hosts:   names of the servers; [h1] when it is not there.
    held:    `all` artifacts (the default), or `none`.
    seen:    what was seen; `done` and `but_not` are patterns of actions that would change nothing,
             of all that the component could ever plan. The rest is told by `SEEN` below.
    removal: true for the way out; `ground` when the machines go too.
    steps:   what is planned: `step`, and of title, after and actions as many as matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from disco.artifacts.catalogue import catalogue
from disco.artifacts.reader import SOURCES
from disco.engine.component import Component, Step, inputs_of, spec_class
from disco.engine.place import Place
from disco.hosts.host import Host
from disco.layers.akash.chain import ChainNode, ChainSeen
from disco.layers.akash.signing import WayBack
from disco.layers.cluster.kubernetes import EMPTY, Kubernetes, KubernetesSeen, KubernetesSpec
from disco.layers.platform.alerts import Alerts
from disco.layers.platform.grafana import Grafana
from disco.layers.platform.kube_state import KubeState
from disco.layers.platform.logs import Logs, LogsOutputs
from disco.layers.platform.probes import Probes
from disco.layers.platform.prometheus import Prometheus, PrometheusOutputs
from disco.layers.platform.quorum import Quorum
from disco.layers.platform.seen import ClusterSeen
from disco.layers.platform.vault import Vault, VaultOutputs, VaultSeen
from disco.layers.servers.artifacts import Artifacts, ArtifactsOutputs, ArtifactsSeen
from disco.layers.servers.local import LocalSeen, LocalServers
from disco.layers.servers.outputs import ServersOutputs
from disco.nspawn.reader import HostSeen, NspawnSeen
from sim.artifacts import NOWHERE, SimulatedArtifacts, digest_of, everything, images_of
from sim.simulation import Simulation

CASES = Path(__file__).parents[2] / "cases"
PLACE = Place(Path("/nowhere/state/case"), Path("/nowhere"))
SECTIONS: dict[str, type[Component]] = {
    "artifacts": Artifacts,
    "servers": LocalServers,
    "kubernetes": Kubernetes,
    "alerts": Alerts,
    "prometheus": Prometheus,
    "probes": Probes,
    "kube_state": KubeState,
    "logs": Logs,
    "grafana": Grafana,
    "vault": Vault,
    "chains": ChainNode,
}
Case = dict[str, Any]


def load(path: Path) -> Case:
    found: Case = YAML(typ="safe").load(path.read_text())
    return found


def component_of(section: str, case: Case) -> Any:
    """The component of a case, with its inputs."""
    kind = SECTIONS[section]
    spec = spec_class(kind).model_validate(case.get("spec") or {})
    name = f"{section}.{case.get('name', 'akash')}" if kind.many else section
    return kind(name, spec, inputs_of_case(kind, case), PLACE)


def inputs_of_case(kind: type[Component], case: Case) -> dict[str, Any]:
    names = case.get("hosts", ["h1"])
    hosts = tuple(Host(n, f"10.88.0.{11 + i}") for i, n in enumerate(names))
    servers, artifacts = ServersOutputs(hosts=hosts), artifacts_held(case.get("held", "all"))
    below = Kubernetes(
        "kubernetes", KubernetesSpec(), {"servers": servers, "artifacts": artifacts}, PLACE
    )
    all_inputs = {
        "servers": servers,
        "artifacts": artifacts,
        "kubernetes": below.outputs(KubernetesSeen()),
        "alerts": None,
        "prometheus": PrometheusOutputs(url="http://prometheus.monitoring:9090"),
        "logs": LogsOutputs(url="http://logs.logs:9428", store="victoria-logs"),
        "vault": VaultOutputs(url="https://openbao-active.vault.svc:8200"),
    }
    return {i.attribute: all_inputs.get(i.attribute) for i in inputs_of(kind)}


def artifacts_held(which: str) -> ArtifactsOutputs:
    names = sorted(everything()) if which == "all" else []
    sets = [n for n in names if n.startswith("images/")]
    return ArtifactsOutputs(
        digests={n: digest_of(n) for n in names},
        manifests={n: tuple(sorted(images_of(catalogue(), n).items())) for n in sets},
        paths={n: str(NOWHERE / n) for n in names},
    )


def done_of(everything_planned: Iterable[Step], seen: Case) -> frozenset[str]:
    """Identities of all actions that the patterns name."""
    identities = {a.identity for s in everything_planned for a in s.actions}
    wanted, not_wanted = seen.get("done", []), seen.get("but_not", [])
    for pattern in (*wanted, *not_wanted):
        assert any(fnmatchcase(i, pattern) for i in identities), f"nothing is called {pattern}"
    return frozenset(i for i in identities if _is_in(i, wanted) and not _is_in(i, not_wanted))


def _is_in(identity: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(identity, p) for p in patterns)


def artifacts_seen(made: Artifacts, seen: Case) -> ArtifactsSeen:
    """held: names, or patterns of names; what they are made of counts by its own name."""
    simulation = Simulation(Path("/nowhere"))
    patterns = seen.get("held", [])
    simulation.state.held = {n for n in everything() if _is_in(n, patterns)}
    reader = SimulatedArtifacts(simulation)
    missing = reader.plan(made.spec.also, SOURCES[1:2])
    return ArtifactsSeen(artifacts_held("none"), tuple(missing))


def servers_seen(made: LocalServers, seen: Case) -> LocalSeen:
    """network; secrets; and names of hosts that are made, running, answering."""
    found = tuple(
        HostSeen(m.name, m.name in seen.get("made", []), m.name in seen.get("running", []))
        for m in made.machines
    )
    machines = NspawnSeen(seen.get("network", False), found)
    secrets = frozenset(seen.get("secrets", []))
    return LocalSeen(machines, secrets, frozenset(seen.get("answering", [])))


def kubernetes_seen(made: Kubernetes, seen: Case) -> KubernetesSeen:
    """api_ready; facts: of hosts, what differs from a usual one; `MINE` is this stack's id."""
    given = {h: dict(f) for h, f in seen.get("facts", {}).items()}
    for one in given.values():
        one["ours"] = PLACE.id if one.get("ours") == "MINE" else one.get("ours", "")
    facts = {h.name: replace(EMPTY, **given.get(h.name, {})) for h in made.servers.hosts}
    done = done_of(made._all_steps(KubernetesSeen(facts)), seen)
    return KubernetesSeen(facts, done, seen.get("api_ready", False))


def cluster_seen(made: Any, seen: Case) -> ClusterSeen:
    """releases and secrets by name; anew: secrets that are made again -> why."""
    return ClusterSeen(
        done_of(made._all_steps(), seen),
        frozenset(seen.get("releases", [])),
        frozenset(seen.get("secrets", [])),
        seen.get("anew", {}),
    )


def chain_seen(made: ChainNode, seen: Case) -> ChainSeen:
    """back: how far keys are on their way from signers."""
    back = WayBack(**seen.get("back", {}))
    return ChainSeen(
        done_of(made._all_steps(back), seen),
        frozenset(seen.get("releases", [])),
        frozenset(seen.get("secrets", [])),
        seen.get("anew", {}),
        back,
    )


def vault_seen(made: Vault, seen: Case) -> VaultSeen:
    """sealed; set_up: `as declared`, or any other text for what was declared once. holders: of
    shares, two of which open it."""
    set_up, holders = seen.get("set_up", ""), tuple(seen.get("holders", ()))
    shares = Quorum(holders, 2) if holders else Quorum()
    cluster = cluster_seen(made, seen)
    seals = seen.get("sealed", True), set_up == "as declared"
    return VaultSeen(
        cluster,
        *seals,
        shares,
        begun=bool(holders or not seals[0]),
        shows_other=seen.get("shows_other", False),
        strangers=tuple(seen.get("strangers", ())),
    )


SEEN: dict[str, Callable[[Any, Case], Any]] = {
    "artifacts": artifacts_seen,
    "servers": servers_seen,
    "kubernetes": kubernetes_seen,
    "alerts": cluster_seen,
    "prometheus": cluster_seen,
    "probes": cluster_seen,
    "kube_state": cluster_seen,
    "logs": cluster_seen,
    "grafana": cluster_seen,
    "vault": vault_seen,
    "chains": chain_seen,
}


def steps_of(section: str, case: Case) -> list[Step]:
    made = component_of(section, case)
    seen = SEEN[section](made, case.get("seen") or {})
    if way_out := case.get("removal"):
        return list(made.removal(seen, way_out == "ground"))
    return list(made.steps(seen))


def told(step: Step, as_much_as: Case) -> Case:
    """A step in the words of a case, as far as the case says something."""
    whole = {
        "step": step.id,
        "title": step.title,
        "after": list(step.after),
        "actions": [a.identity for a in step.actions],
        "destroys": [d for a in step.actions for d in a.destroys],
    }
    return {key: whole[key] for key in as_much_as}


FILES = sorted(p for section in SECTIONS for p in (CASES / section).glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_steps_are_those_of_the_case(path: Path) -> None:
    case = load(path)
    expected = case["steps"]
    found = steps_of(path.parent.name, case)

    padded = [*expected, *({"step": ""} for _ in found[len(expected) :])]
    assert [told(s, e) for s, e in zip(found, padded, strict=False)] == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_same_case_gives_the_same_steps(path: Path) -> None:
    case = load(path)

    assert steps_of(path.parent.name, case) == steps_of(path.parent.name, case)


def test_every_section_has_cases() -> None:
    assert {p.parent.name for p in FILES} == set(SECTIONS)
