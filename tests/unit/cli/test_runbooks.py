"""Every alert has a page, and what a page says to type can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from disco.cli.alerts import RUNBOOKS, runbook
from disco.cli.app import app
from disco.engine.errors import WrongUse

ROOT = RUNBOOKS.parents[1]
PAGES = {p.stem: p for p in RUNBOOKS.glob("*.md") if p.stem != "README"}
ALERTS = {
    rule["alert"]
    for path in (ROOT / "rules").glob("*.yaml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
}
CHECKS = (ROOT / "tests" / "lab" / "breakages.py").read_text()
WORDS = {"APIService", "AppHash", "ContainerCannotRun", "NetworkPolicy", "NotReady"}  # of others


def commands(page: Path) -> Iterator[str]:
    """In blocks, and in the middle of sentences."""
    text = page.read_text()
    for block in re.findall(r"```\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`(disco [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert set(PAGES) == ALERTS


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_where_to_look_and_how_to_mend(name: str) -> None:
    text = PAGES[name].read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["Look", "Mend"]
    words = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", text))
    assert words - WORDS <= ALERTS, "alerts that it sends to"


@pytest.mark.parametrize("name", PAGES)
def test_its_commands_are_those_of_disco(name: str) -> None:
    found = [" ".join(c.split()) for c in commands(PAGES[name])]
    assert found
    for command in found:
        program, *words = shlex.split(command)
        assert program == "disco"
        app.parse_args(words, exit_on_error=False, print_error=False)
        if "--only" in words:
            assert f'"{words[words.index("--only") + 1]}/' in CHECKS, command


def test_a_page_is_printed_and_a_wrong_name_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert runbook("VaultSealed") == 0
    assert "disco vault unseal" in capsys.readouterr().out
    with pytest.raises(WrongUse) as refused:
        runbook("VaultSeald")
    assert refused.value.fix == "did you mean VaultSealed?"
