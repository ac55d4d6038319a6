"""Every wrong stack file is answered with its place, its reason and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stack_sections import SECTIONS

from disco.stack.load import load
from disco.stack.problem import Problem, StackProblems

CASES = Path(__file__).parents[2] / "cases" / "stack" / "wrong"


def said(path: Path, **environ: str) -> list[str]:
    """The problems of a file as lines, hints included, without the file's name."""
    with pytest.raises(StackProblems) as caught:
        load(path, SECTIONS, environ)
    lines = str(caught.value).splitlines()
    return [line.replace(f"{path}:", "").strip() for line in lines]


def header(path: Path, *words: str) -> list[str]:
    """The comment lines at a case's top that begin with one of the words."""
    lines = path.read_text(errors="replace").splitlines()
    return [line[2:] for line in lines if line.startswith(tuple(f"# {word}: " for word in words))]


@pytest.mark.parametrize("case", sorted(CASES.glob("*.yaml")), ids=lambda case: case.stem)
def test_a_wrong_file_is_answered_as_its_first_lines_say(case: Path) -> None:
    environ = dict(line.removeprefix("env: ").split("=", 1) for line in header(case, "env"))
    expected = [line.removeprefix("expect: ") for line in header(case, "expect", "hint")]

    assert said(case, **environ) == expected


@pytest.mark.parametrize("case", sorted(CASES.glob("*.yaml")), ids=lambda case: case.stem)
def test_no_answer_has_words_of_the_libraries_behind(case: Path) -> None:
    environ = dict(line.removeprefix("env: ").split("=", 1) for line in header(case, "env"))
    text = "\n".join(said(case, **environ)).lower()

    jargon = ("pydantic", "input should", "field required", "extra inputs", "literal[", "scanning")
    assert not [word for word in jargon if word in text]


def test_there_are_many_cases() -> None:
    assert len(list(CASES.glob("*.yaml"))) >= 45


def test_a_key_that_fills_screens_is_told_by_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(f"name: a\nkubernetes: {{? {'x' * 70_000} : 1}}\n")

    lines = said(file)
    assert lines[0].startswith("2:16: kubernetes.xxx")
    assert sum(map(len, lines)) < 5_000


def test_a_missing_file_is_a_problem_without_a_line(tmp_path: Path) -> None:
    assert said(tmp_path / "none.yaml") == [
        "does not exist",
        "hint: `disco init` writes a new one",
    ]


def test_a_folder_is_a_problem(tmp_path: Path) -> None:
    assert said(tmp_path)[0] == "is a folder, not a file"


def test_a_pipe_is_a_problem_instead_of_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert said(tmp_path / "pipe") == ["is not a regular file"]


def test_a_file_that_the_system_refuses_is_a_problem(tmp_path: Path) -> None:
    assert said(tmp_path / ("x" * 300)) == ["can't be read: file name too long"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    closed = tmp_path / "closed.yaml"
    closed.write_text("name: a\n")
    closed.chmod(0)

    assert said(closed) == ["can't be read: permission denied"]


def test_a_file_of_nothing_at_all_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()

    assert said(tmp_path / "a.yaml")[0] == "1:1: is empty"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    huge = tmp_path / "a.yaml"
    huge.write_bytes(b"#" * (1 << 21))

    assert said(huge) == ["is larger than 1024 KiB"]


def test_utf16_is_not_taken_for_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\n", encoding="utf-16")

    assert said(tmp_path / "a.yaml")[0] == "1:1: is not UTF-8 text"


def test_an_environment_variable_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: a\nkubernetes: {version: '${env:V}'}\n")

    assert "the environment variable V is not UTF-8 text" in said(file, V="\udcff")[0]
    override = {"V": "1", "DISCO_VAULT__TOKEN": "\udcff"}
    assert said(file, **override) == ["environment DISCO_VAULT__TOKEN: is not UTF-8 text"]


@pytest.mark.parametrize("value", ["hunter2", "-123456789", "[hunter2]", "{hunter2: 1}"])
@pytest.mark.parametrize("path", ["count", "memory", "network", "provider"])
def test_no_value_of_the_environment_is_ever_repeated(
    tmp_path: Path, value: str, path: str
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"name: a\nservers:\n  provider: local\n  {path}: ${{env:S}}\n")
    if path == "provider":
        file.write_text("name: a\nservers:\n  provider: ${env:S}\n")
    override = {f"DISCO_SERVERS__{path.upper()}": value, "S": value}

    for environ in ({"S": value}, override):
        text = "\n".join(said(file, **environ))
        assert "hunter2" not in text and "123456789" not in text


def test_the_error_itself_keeps_no_value_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: a\nprometheus: {retention: '${env:S}'}\n")
    with pytest.raises(StackProblems) as caught:
        load(file, SECTIONS, {"S": "hunter2"})

    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert "hunter2" not in repr(caught.value)


def test_problems_are_sorted_by_place_and_those_of_the_environment_come_last() -> None:
    late, early, nowhere = (
        Problem("a", 10, 1, "", "late"),
        Problem("a", 9, 30, "", "early"),
        Problem("environment X", 0, 0, "", "nowhere"),
    )

    assert StackProblems([nowhere, late, early]).problems == (early, late, nowhere)
