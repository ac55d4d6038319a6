"""Every layer by its own make targets: planned, applied, checked, and destroyed from the top."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import LabStack, lab_stack

from disco.layers.registry import components

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("servers", "cluster", "platform", "akash")
STACK = """
name: layered
servers: {provider: local, count: 1, network: 10.88.219.0/24}
kubernetes: {}
prometheus: {}
chains:
  akash: {validators: 1}
"""


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("layered"), STACK) as stack:
        yield stack


def make(target: str, stack: LabStack | None = None) -> subprocess.CompletedProcess[str]:
    variables = [f"STACK={stack.file}"] if stack else []
    return subprocess.run(
        ["make", "-C", str(ROOT), target, *variables],
        capture_output=True,
        text=True,
        timeout=400,
        stdin=subprocess.DEVNULL,
    )


def must(target: str, stack: LabStack | None = None) -> str:
    done = make(target, stack)
    assert done.returncode == 0, f"make {target}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_help_names_every_target_and_every_layer_that_has_a_component() -> None:
    told = must("help")
    for target in ("up", "down", "test", "unit", "crash", "lab", "bench"):
        assert f"make {target} " in told
    assert {c.layer.title for c in components()} == set(LAYERS)
    assert " ".join(LAYERS) in told


def test_each_layer_is_planned_applied_and_checked_in_turn(layered: LabStack) -> None:
    assert make("akash-apply", layered).returncode != 0, "what it stands on is not there"
    for layer in LAYERS:
        assert f" {layer}\n" in must(f"{layer}-plan", layered)
        must(f"{layer}-apply", layered)
        assert " 0 red" in must(f"{layer}-check", layered)
        assert "Nothing to do" in must(f"{layer}-plan", layered)


def test_a_layer_is_destroyed_with_what_stands_on_it_and_nothing_below(layered: LabStack) -> None:
    assert "uninstall" in must("platform-destroy", layered)
    assert " 0 red" in must("cluster-check", layered)
    must("servers-destroy", layered)
    assert layered.disco("status").returncode == 3
