"""Answers as a table, as JSON and as JUnit."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from disco.checks.runner import Asked

HEADINGS = ["", "check", "question", "evidence"]
# What XML 1.0 can't hold, not even escaped; a program's output may.
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def rows(answers: Sequence[Asked]) -> list[list[str]]:
    return [
        ["✓" if a.answer.ok else "✗", a.check.id, a.check.question, a.answer.evidence]
        for a in answers
    ]


def data(answers: Sequence[Asked]) -> list[dict[str, Any]]:
    return [
        {
            "check": a.check.id,
            "question": a.check.question,
            "ok": a.answer.ok,
            "evidence": a.answer.evidence,
            "details": list(a.answer.details),
            "fix": "" if a.answer.ok else a.check.fix,
            "seconds": round(a.seconds, 3),
        }
        for a in answers
    ]


def junit(suite: str, answers: Sequence[Asked]) -> str:
    """JUnit XML, one case per check: `chain/akash/height` is case `height` of `chain/akash`."""
    red = sum(not a.answer.ok for a in answers)
    seconds = f"{sum(a.seconds for a in answers):.3f}"
    top = ET.Element(
        "testsuite", name=suite, tests=str(len(answers)), failures=str(red), time=seconds
    )
    for a in answers:
        component, _, what = a.check.id.rpartition("/")
        case = ET.SubElement(
            top, "testcase", classname=component, name=what, time=f"{a.seconds:.3f}"
        )
        if a.answer.ok:
            ET.SubElement(case, "system-out").text = _plain(a.answer.evidence)
        else:
            failure = ET.SubElement(case, "failure", message=_plain(a.answer.evidence))
            told = [a.check.question, *a.answer.details, f"fix: {a.check.fix}"]
            failure.text = _plain("\n".join(told))
    ET.indent(top)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(top, encoding="unicode")}\n'


def _plain(text: str) -> str:
    return NO_XML.sub("\ufffd", text)
