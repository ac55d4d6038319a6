"""However the command line ends: in words, with the right exit code, never with a traceback."""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from pathlib import Path

import pytest
from cli_said import Disco

from disco.cli import ending, opened, speak
from disco.engine.errors import DiscoError, Several
from disco.engine.place import Place
from disco.store.store import Store


def test_alone_it_prints_help(disco: Disco) -> None:
    said = disco()
    assert said.code == 0
    assert "Usage: disco COMMAND" in said.out


def test_it_tells_its_version(disco: Disco) -> None:
    said = disco("--version")
    assert (said.code, bool(re.fullmatch(r"\d+\.\d+\.\d+\n", said.out))) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["statu"], 'Did you mean "status"?'),
        (["artifacts", "lst"], 'Did you mean "list"?'),
        (["plan", "--fil", "x"], "Did you mean --file?"),
        (["apply", "--parallel", "many"], "--parallel"),
        (["graph", "--format", "png"], "png"),
        (["logs"], "NAME"),
        (["status", "more"], "more"),
    ],
)
def test_wrong_use_is_told_in_two_lines(disco: Disco, arguments: list[str], told: str) -> None:
    said = disco(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert told in said.err
    assert "  fix: disco" in said.err


@pytest.mark.parametrize(
    "command",
    [["plan"], ["up", "--yes"], ["status"], ["graph"], ["history"], ["logs", "h1"], ["config"]],
)
def test_a_stack_file_that_is_not_there_is_wrong_use(
    disco: Disco, stack: Path, command: list[str]
) -> None:
    stack.unlink()
    said = disco(*command)
    assert said.code == 2
    assert "stack.yaml: does not exist" in said.err


def test_a_folder_is_no_stack_file(disco: Disco, stack: Path) -> None:
    said = disco("plan", "--file", str(stack.parent))
    assert said.code == 2
    assert "is a folder" in said.err


def test_looking_leaves_nothing_behind(disco: Disco, stack: Path) -> None:
    for command in ("graph", "history", "events", "secrets list", "config", "validate"):
        assert disco(*command.split()).code == 0
    assert [p.name for p in stack.parent.iterdir()] == ["stack.yaml"]


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ({"format": 99}, "newer DISCO"),
        ({"format": 1}, "older DISCO"),
        ({"format": 2, "machine": "elsewhere", "host": "other"}, "another machine (other)"),
        ({"format": 2, "machine": "elsewhere", "host": "\u202e"}, "another machine (\\u202e)"),
        ({}, "can't be read"),
    ],
)
def test_a_state_folder_that_is_not_ours_is_left_alone(
    disco: Disco, stack: Path, marker: dict[str, object], told: str
) -> None:
    file = stack.parent / ".disco/lab/state.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(marker))
    said = disco("plan")
    assert said.code == 2
    assert told in said.err
    assert json.loads(file.read_text()) == marker


@pytest.mark.usefixtures("ordinary")
def test_local_servers_need_root_and_it_is_told_before_anything_is_done(
    disco: Disco, stack: Path
) -> None:
    said = disco("up", "--yes")
    assert said.code == 2
    assert "local servers need root" in said.err
    assert "fix: sudo disco up" in said.err
    assert "local servers need root" in disco("plan").err
    assert not Store(Place.of(stack, "lab")).names()


@pytest.mark.usefixtures("ordinary")
def test_a_folder_that_cannot_be_written_is_named(disco: Disco, stack: Path) -> None:
    stack.parent.chmod(0o500)
    try:
        said = disco("plan")
    finally:
        stack.parent.chmod(0o700)
    assert said.code == 2
    assert ".disco" in said.err
    assert "permission denied" in said.err.lower()


@pytest.mark.usefixtures("ordinary")
def test_a_cache_that_cannot_be_written_is_named(
    disco: Disco, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCO_CACHE", "/proc/nothing")
    said = disco("artifacts", "obtain", "pause", "--yes")
    assert said.code == 1
    assert "/proc/nothing" in said.err
    assert "Traceback" not in said.err


@pytest.mark.usefixtures("stack")
def test_nobody_to_ask_is_wrong_use(disco: Disco, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        said = disco("artifacts", "build", "pause")
    assert said.code == 2
    assert "About" in said.err  # what it would take is told all the same
    assert "--yes" in said.err


def test_errors_of_a_group_are_told_one_by_one() -> None:
    group = ExceptionGroup("", [DiscoError("one"), ExceptionGroup("", [DiscoError("two")])])
    found = ending.foreseen(group)
    assert isinstance(found, Several)
    assert sorted(e.what for e in found.errors) == ["one", "two"]


def test_a_group_with_a_mistake_in_it_is_a_mistake() -> None:
    assert ending.foreseen(ExceptionGroup("", [DiscoError("one"), ValueError("two")])) is None


def opened_store(stack: Path, value: str) -> Store:
    store = Store(Place.of(stack, "lab"))
    store.put("some/password", {"value": value})
    opened.opened(store)
    return store


def test_a_mistake_is_one_line_and_a_private_report_without_secrets(
    disco: Disco, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_store(stack, "correct-horse-battery")

    def mistake(*_: object) -> int:
        raise ValueError("got correct-horse-battery")

    monkeypatch.setattr("disco.cli.schema.schema", mistake)
    said = disco("schema")
    report = next((stack.parent / ".disco/lab").glob("mistake-*.txt"))
    assert said.code == 1
    assert "a mistake in DISCO itself: ValueError: got [secret]" in said.err
    assert str(report) in said.err
    assert "Traceback" not in said.err
    assert report.stat().st_mode & 0o777 == 0o600
    assert "ValueError: got [secret]" in report.read_text()
    assert "correct-horse-battery" not in report.read_text()


def test_what_is_said_has_no_secret_that_was_opened(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened_store(stack, "correct-horse-battery")
    speak.talk("helm said: correct-horse-battery is too long")
    assert capsys.readouterr().err == "helm said: [secret] is too long\n"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("chains: {akash: {network: moon}}", "stack.yaml:4:17: Akash has no network 'moon'"),
        ("chains: {akash: {pace: warp}}", "stack.yaml:4:17: Akash has no pace 'warp'"),
        ("chains: {moon: {}}", "stack.yaml:4:16: there is no chain 'moon'"),
        ("chains: {a: {definition: ./b.yaml}}", "stack.yaml:4:13: there is no such chain defin"),
    ],
)
def test_a_chain_that_can_not_be_is_told_in_its_place(
    disco: Disco, stack: Path, section: str, said: str
) -> None:
    stack.write_text(f"name: lab\nservers: {{provider: local}}\nkubernetes: {{}}\n{section}\n")
    answer = disco("graph")
    assert (answer.code, said in answer.err) == (2, True), answer.err


def test_a_section_that_is_missing_is_told_where_it_is_needed(disco: Disco, stack: Path) -> None:
    stack.write_text("name: lab\nservers: {provider: local}\nchains: {akash: {}}\n")
    answer = disco("graph")
    assert (answer.code, "stack.yaml:3:17: chains.akash needs" in answer.err) == (2, True)


def test_a_definition_is_looked_for_beside_the_stack_file(
    disco: Disco, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = (files("disco.chains") / "akash.yaml").read_text()
    (stack.parent / "mine.yaml").write_text(definition.replace("name: akash", "name: mine"))
    with stack.open("a") as file:
        file.write("  mine: {definition: ./mine.yaml}\n")
    monkeypatch.chdir(tmp_path)
    answer = disco("graph", "-f", str(stack))
    assert (answer.code, "chains.mine" in answer.out) == (0, True), answer.err
