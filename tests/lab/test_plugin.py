"""A component and a chain of another package, on a real cluster: up, green, changed, down."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from stack import UP_S, LabStack, lab_stack, until

from plugin_packages import TEMPLATE, install

PAGE = "/api/v1/namespaces/hello/services/hello:8080/proxy/"


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """The template's stack, up, with the template installed beside DISCO."""
    packages = tmp_path_factory.mktemp("packages")
    install(TEMPLATE, packages)
    before = os.environ.get("PYTHONPATH")
    text = (TEMPLATE / "stack.yaml").read_text()
    text = text.replace("  count: 1\n", "  count: 1\n  network: 10.88.218.0/24\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(packages), before])))
        with lab_stack(tmp_path_factory.mktemp("plugin"), text) as stack:
            stack.must("up", "--yes", within_s=UP_S)
            yield stack


def page(stack: LabStack) -> str:
    return stack.must("kubectl", "--", "get", "--raw", PAGE).strip()


def namespaces(stack: LabStack) -> list[str]:
    return stack.must("kubectl", "--", "get", "namespaces", "-o", "name").replace("/", " ").split()


def test_its_page_is_served_and_its_checks_are_green(hello: LabStack) -> None:
    assert page(hello) == "hello, world"
    checked = hello.must("check", "--only", "hello", "--wait", "30")
    assert "hello/page" in checked and "hello/declared" in checked


def test_status_and_logs_know_it(hello: LabStack) -> None:
    assert "1 of 1 ready" in hello.must("status")
    assert "response:200" in hello.must("logs", "hello")


def test_its_chain_makes_blocks(hello: LabStack) -> None:
    hello.must("check", "--only", "chain", "--wait", "60", within_s=180)


def test_another_greeting_is_one_release_and_then_there_is_nothing_to_do(hello: LabStack) -> None:
    text = hello.file.read_text()
    hello.file.write_text(text.replace("hello, world", "good morning"))
    hello.must("apply", "--yes", within_s=240)
    assert page(hello) == "good morning"
    plan = json.loads(hello.must("plan", "--json"))
    assert [s["id"] for c in plan["components"] for s in c["steps"]] == []


def test_its_layer_can_be_taken_down_alone(hello: LabStack) -> None:
    hello.must("down", "--yes", "--allow-destroy", "--layer", "services", within_s=240)
    until("its namespace is gone", lambda: "hello" not in namespaces(hello), 60)
    plan = json.loads(hello.must("plan", "--json"))
    assert [c["name"] for c in plan["components"] if c["steps"]] == ["hello"]
