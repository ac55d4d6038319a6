"""What users of other tools in this field complain of, each as a test: see docs/robustness.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from disco.kube.actions import Drain
from sim.compare import view
from sim.stack import SimulatedStack
from sim.stacks import STACKS

LONGEST_S = 10 * 60
WIDE = STACKS["wide"]
SECTIONS = {
    "servers": "servers: {provider: local, count: 3, network: 10.90.0.0/24}",
    "kubernetes": "kubernetes: {}",
    "prometheus": "prometheus: {}",
    "vault": "vault: {replicas: 3}",
    "chains": "  akash: {validators: 3, full_nodes: 2}",
}
# Another value of every setting that there is.
OTHER: dict[str, dict[str, Any]] = {
    "kubernetes": {
        "pod_subnet": "10.245.0.0/16",
        "service_subnet": "10.97.0.0/16",
        "backend": "host-gw",
        "metrics_server": "false",
    },
    "prometheus": {
        "scrape_interval": "30s",
        "retention": "3d",
        "retention_size": "2GB",
        "storage": "6Gi",
    },
    "vault": {"replicas": 5, "storage": "2Gi"},
    "chains": {
        "validators": 2,
        "full_nodes": 1,
        "pace": "relaxed",
        "coins": 2_000_000_000_000,
        "stake": 2_000_000_000,
        "genesis_time": "'2026-01-02T00:00:00Z'",
        "storage": "3Gi",
    },
}
# Neither is a setting of what runs, but of what DISCO may do to it.
OF_DISCO = {"prevent_destroy", "on_drift"}
# Each has one value only, or decides which component it is.
ONE_VALUE = {("kubernetes", "version"), ("chains", "definition"), ("chains", "network")}
# Two ways to say the same.
SAID_TWICE = {("chains", "stakes")}


def up(text: str, folder: Path) -> SimulatedStack:
    stack = SimulatedStack(text, folder)
    assert stack.apply().done
    return stack


def test_endless_waits(folder: Path) -> None:
    """hetzner-k3s #141, #210, #232, #420."""
    plan = SimulatedStack(WIDE, folder).plan()
    bounds = [getattr(a, "within_s", None) for _, s in plan.steps for a in s.actions if a.waits]
    assert bounds and all(b is not None and 0 < b <= LONGEST_S for b in bounds)


def test_a_removed_pool_silently_ignored(folder: Path) -> None:
    """hetzner-k3s #773."""
    stack = up(WIDE, folder)
    stack.declare(WIDE.replace("count: 3", "count: 1"))
    assert stack.apply().done
    assert sorted(stack.state.hosts) == ["h1"]


def test_all_workers_cordoned_at_once(folder: Path) -> None:
    """k0sctl PR#723."""
    stack = up(WIDE, folder)
    stack.declare(WIDE.replace("count: 3", "count: 1"))
    steps = {s.id: s for n, s in stack.plan().steps if any(isinstance(a, Drain) for a in s.actions)}
    assert list(steps) == ["h2/drain", "h3/drain"]
    assert steps["h3/drain"].after == ("h2/drain",)


def settings() -> list[tuple[str, str]]:
    return [(section, name) for section, names in OTHER.items() for name in names]


@pytest.mark.parametrize(("section", "name"), settings())
def test_settings_without_effect_after_day_one(folder: Path, section: str, name: str) -> None:
    """kube-hetzner #2172: another value is carried out, or refused by name."""
    stack = up(WIDE, folder)
    before = view(stack)
    changed = _with(section, name, OTHER[section][name])
    stack.declare(changed)
    try:
        plan = stack.plan()
    except Exception as error:
        assert name.replace("_", " ") in str(error).replace("_", " ")
        return
    assert not plan.empty, "it was taken without a word, and nothing happens"
    ran = stack.apply()
    if ran.done:
        assert view(stack) != before
        assert stack.plan().empty


def _with(section: str, name: str, value: object) -> str:
    line = SECTIONS[section]
    inside = line[line.index("{") + 1 : line.rindex("}")]
    kept = [part for part in inside.split(", ") if part and not part.startswith(f"{name}:")]
    changed = f"{line[: line.index('{')]}{{{', '.join([*kept, f'{name}: {value}'])}}}"
    return WIDE.replace(line, changed)


def test_every_setting_is_among_those_that_are_tried() -> None:
    from disco.engine.component import spec_class
    from disco.layers.registry import OWN

    for component in OWN:
        if component.section in OTHER:
            names = set(spec_class(component).model_fields) - OF_DISCO
            known = {n for s, n in (*ONE_VALUE, *SAID_TWICE) if s == component.section}
            assert names == set(OTHER[component.section]) | known
