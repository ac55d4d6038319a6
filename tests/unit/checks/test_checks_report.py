"""Answers as a table, as JSON and as JUnit, whatever text is in them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from disco.checks import report
from disco.checks.runner import Asked
from disco.engine.check import Answer, Check


async def never() -> Answer:
    raise AssertionError("a report asks nothing")


def asked(id: str, ok: bool, evidence: str = "seen", details: tuple[str, ...] = ()) -> Asked:
    return Asked(Check(id, "Is it so?", "mend it", never), Answer(ok, evidence, details), 0.25)


def test_a_red_answer_carries_its_fix_and_a_green_one_none() -> None:
    green, red = report.data([asked("a/x", True), asked("a/y", False, details=("h1: off",))])
    assert (green["ok"], green["fix"]) == (True, "")
    assert (red["ok"], red["fix"], red["details"]) == (False, "mend it", ["h1: off"])
    assert red["seconds"] == 0.25


def test_rows_tell_red_from_green_without_colour() -> None:
    rows = report.rows([asked("a/x", True), asked("a/y", False)])
    assert rows[0][0] != rows[1][0]
    assert all(len(row) == len(report.HEADINGS) for row in rows)


def test_junit_counts_and_names_every_check() -> None:
    answers = [asked("servers/ssh", True), asked("chain/akash/height", False, "stands", ("n: 7",))]
    suite = ET.fromstring(report.junit("devnet", answers))
    assert suite.attrib | {"time": ""} == {
        "name": "devnet",
        "tests": "2",
        "failures": "1",
        "time": "",
    }
    green, red = suite.findall("testcase")
    assert (green.get("classname"), green.get("name")) == ("servers", "ssh")
    assert green.find("failure") is None
    assert (red.get("classname"), red.get("name")) == ("chain/akash", "height")
    failure = red.find("failure")
    assert failure is not None
    assert failure.get("message") == "stands"
    assert (failure.text or "").splitlines() == ["Is it so?", "n: 7", "fix: mend it"]


@given(st.text(), st.text(), st.booleans())
def test_junit_is_well_formed_whatever_a_program_printed(
    evidence: str, detail: str, ok: bool
) -> None:
    text = report.junit("s", [asked("a/x", ok, evidence, (detail,))])
    ET.fromstring(text.encode("utf-8"))


def test_junit_shows_where_something_unprintable_was() -> None:
    suite = ET.fromstring(report.junit("s", [asked("a/x", False, "a\x1b[31m\x00b")]))
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "a\ufffd[31m\ufffdb"
