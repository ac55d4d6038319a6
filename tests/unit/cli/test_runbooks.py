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
    for group in yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["groups"]
    for rule in group["rules"]
}
PROVEN = (ROOT / "docs" / "how-to" / "alerts.md").read_text().partition("## How each rule")[2]
LAB = "\n".join(p.read_text() for p in sorted((ROOT / "tests" / "lab").glob("test_*.py")))
CHECKS = (ROOT / "tests" / "lab" / "breakages.py").read_text()
WORDS = {  # of others
    *("APIService", "AppHash", "ContainerCannotRun", "DaemonSet", "ImagePullBackOff"),
    *("NetworkPolicy", "NotReady", "PersistentVolumeClaim", "StatefulSet"),
}


def proven(heading: str) -> dict[str, str]:
    """Alert -> what the table below this heading says of it."""
    section = PROVEN.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    rows = re.findall(
        r"^\| \[(\w+)\]\(\.\./runbooks/(\w+)\.md\) \| (.*) \|$", section, re.MULTILINE
    )
    assert len(rows) == section.count("\n| [") and all(name == page for name, page, _ in rows)
    assert len({name for name, _, _ in rows}) == len(rows), "one is named twice"
    return {name: told for name, _, told in rows}


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


def test_each_rule_was_fired_on_the_lab_or_in_made_up_history_and_it_is_said_which() -> None:
    fired, made_up = proven("Fired on the lab"), proven("In made-up history alone")
    assert fired.keys() | made_up.keys() == ALERTS
    assert not fired.keys() & made_up.keys()


def test_a_rule_that_is_said_to_have_fired_is_in_the_test_that_is_named() -> None:
    for name, told in proven("Fired on the lab").items():
        (test,) = re.findall(r"`(test_\w+\.py)`", told)
        assert f'"{name}"' in (ROOT / "tests" / "lab" / test).read_text(), (name, test)
        assert re.search(r" \| ((within )?[1-9]\d* s|always) \| ", told), (name, told)


def test_a_rule_that_is_seen_to_wait_is_seen_so_by_a_test_of_the_lab() -> None:
    waits = {n for n, told in proven("In made-up history alone").items() if "| yes" in told}
    assert all(f'"{name}"' in LAB for name in waits), waits


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_when_its_rule_was_never_fired_for_real(name: str) -> None:
    last = PAGES[name].read_text().rstrip().splitlines()[-1]
    assert last.startswith("Proven in made-up history alone: ") is (
        name in proven("In made-up history alone")
    )
