"""Dashboards are the files that the code declares, and ask for what is there to be asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from disco.cli import dashboards
from disco.cli.alerts import RUNBOOKS
from disco.dashboards import FOLDER, Board, filled

SEEN = Path(__file__).parents[2] / "cases" / "metrics.txt"
# A word that is neither called as a function nor a label, nor what `by (…)` and `on (…)` name.
METRIC = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b(?!\s*\()")
NO_METRIC = re.compile(r"\{[^}]*\}|\"[^\"]*\"|\b(?:by|on|unless on|group_left) \([^)]*\)|\$__\w+")

LATER = {"cometbft_blocksync_syncing"}  # of programs that the lab can't build


def metrics(expression: str) -> set[str]:
    """Names of metrics in a query."""
    named = set(re.findall(r"__name__=~\"([^\"]*)\"", expression))
    found = set(METRIC.findall(NO_METRIC.sub(" ", expression)))
    return found | {"cometbft_consensus_height" for pattern in named if "consensus" in pattern}


def asked(board: Board) -> set[str]:
    return {m for e in board.expressions for m in metrics(e.replace("@METRICS@", "cometbft"))}


def test_the_files_are_what_the_code_declares() -> None:
    there = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert there == dashboards.files(), "make docs writes them anew"


def test_the_same_declaration_gives_the_same_bytes() -> None:
    assert dashboards.files() == dashboards.files()


@pytest.mark.parametrize("board", dashboards.BOARDS, ids=lambda b: b.name)
def test_a_metric_that_is_asked_for_was_seen_in_the_lab(board: Board) -> None:
    unknown = asked(board) - LATER - set(SEEN.read_text().split())
    assert not unknown


def test_no_metric_is_listed_that_nobody_asks_for() -> None:
    assert set(SEEN.read_text().split()) == set().union(*map(asked, dashboards.BOARDS)) - LATER


@pytest.mark.parametrize("board", dashboards.BOARDS, ids=lambda b: b.name)
def test_a_panel_says_what_it_shows_and_leads_to_pages_that_are_there(board: Board) -> None:
    addresses = {b.address for b in dashboards.BOARDS}
    for panel in board.panels:
        assert panel.about and (panel.queries or panel.kind == "text"), panel.title
        assert all((RUNBOOKS / f"{alert}.md").is_file() for alert in panel.alerts), panel.title
        assert {link.board for link in panel.links} <= addresses, panel.title
    columns = [sum(p.columns for p in row.panels) % 24 for row in board.rows]
    assert set(columns) == {0}, "no row has a gap at its end"


def test_placeholders_are_filled_as_text_of_json() -> None:
    assert filled('{"a": "@TITLE@"}', TITLE='say "x"') == '{"a": "say \\"x\\""}'
    with pytest.raises(KeyError):
        filled('"@TITLE@"', NAMESPACE="a")
