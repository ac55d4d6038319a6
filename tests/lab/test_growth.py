"""A vault of one pod becomes one of three, on a real cluster: every pod unsealed, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from stack import UP_S, LabStack, lab_stack

STACK = """
name: growth
servers: {provider: local, count: 1, network: 10.88.223.0/24}
kubernetes: {}
vault: {}
"""
MORE = STACK.replace("vault: {}", "vault: {replicas: 3}")


@pytest.fixture
def growth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("growth"), STACK) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


def test_a_vault_of_one_becomes_one_of_three_and_no_fewer_again(growth: LabStack) -> None:
    growth.file.write_text(MORE)
    growth.must("apply", "--yes", within_s=UP_S)
    assert "Nothing to do" in growth.disco("apply", "--yes").stderr
    rows = json.loads(growth.must("check", "--json", "--only", "vault", "--wait", "60"))
    unsealed = next(r for r in rows if r["check"] == "vault/unsealed")
    assert unsealed["evidence"].startswith("3 of 3")
    growth.file.write_text(STACK)
    fewer = growth.disco("apply", "--yes")
    assert fewer.returncode == 1 and "vault.replicas" in fewer.stderr, fewer.stderr
    growth.file.write_text(MORE)
