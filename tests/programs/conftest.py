"""Rendering, shared by the tests of charts: each set of values is rendered once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from charts_helm import Refusal, Render, Rendered, parse_all, program, template


@pytest.fixture(scope="session")
def helm() -> str:
    return program("helm")


@pytest.fixture(scope="session")
def render(helm: str) -> Render:
    done: dict[str, Rendered] = {}

    def rendered(chart: str, release: str = "test", **values: Any) -> Rendered:
        key = json.dumps([chart, release, values], sort_keys=True)
        if key not in done:
            answer = template(helm, chart, values, release)
            assert answer.returncode == 0, answer.stderr
            done[key] = Rendered(parse_all(answer.stdout))
        return done[key]

    return rendered


@pytest.fixture(scope="session")
def refusal(helm: str) -> Refusal:
    """What helm says about values that it must refuse."""

    def refused(chart: str, **values: Any) -> str:
        answer = template(helm, chart, values, "test")
        assert answer.returncode != 0, f"{chart} takes {values}"
        return answer.stderr

    return refused
