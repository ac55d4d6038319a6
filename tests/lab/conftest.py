"""What marks a test of the lab, and a running network that tests may break, always taken down."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import UP_S, LabStack, lab_stack

# Another one lets two runs be on one machine.
NETWORK = os.environ.get("DISCO_LAB_NETWORK", "10.88.210.0/24")
DEVNET = Path(__file__).resolve().parents[2] / "examples" / "devnet.yaml"
# A second validator, so that one can be lost while blocks go on; short scrapes, so that nobody
# waits long for what Prometheus has seen.
CHANGES = {
    "name: devnet": f"name: lab-{os.getpid()}",
    "  count: 1\n": f"  count: 1\n  network: {NETWORK}\n",
    "prometheus: {}": "prometheus: {scrape_interval: 5s}\n\nlogs: {}",
    "    validators: 1\n": "    validators: 2\n    stakes: [9_000_000_000, 1_000_000_000]\n",
}

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="local servers need root")


@pytest.hookimpl(tryfirst=True)  # before `-m lab` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.lab)
            item.add_marker(NEEDS_ROOT)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """A copy of the devnet example, up."""
    text = DEVNET.read_text()
    for old, new in CHANGES.items():
        assert old in text, f"the example has no {old!r} any more"
        text = text.replace(old, new)
    with lab_stack(tmp_path_factory.mktemp("lab"), text) as running:
        running.must("up", "--yes", within_s=UP_S)
        yield running
