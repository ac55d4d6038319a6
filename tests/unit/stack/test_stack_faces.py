"""What is made from the same sections: the explanation, the schema, and new files."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_jsonable_python
from stack_sections import SECTIONS, Kubernetes, LocalServers, SshServers, Vault

from disco.cli import config as config_command
from disco.cli import init as init_command
from disco.cli import schema as schema_command
from disco.cli import validate as validate_command
from disco.engine.errors import Exit, WrongUse
from disco.stack.explain import Row, explain
from disco.stack.init import Question, questions, render, unused
from disco.stack.load import load_text
from disco.stack.parse import parse
from disco.stack.schema import schema, schema_text
from disco.stack.spell import spelled

TEXT = """\
name: a
servers: {provider: local, count: 3}
vault: {token: "${env:TOKEN}"}
"""
SOME_ANSWERS = {
    "name": "mynet",
    "servers.provider": "ssh",
    "servers.hosts": [{"name": "h1", "address": "10.0.0.1"}],
    "kubernetes.version": "1.30",
    "kubernetes.etcd.keep": "9",
    "chains.akash.definition": "akash",
    "chains.akash.peers": ["a:1", "b"],
    "vault": None,
}


def rows(text: str = TEXT, **environ: str) -> dict[str, Row]:
    stack = load_text(text, Path("a.yaml"), SECTIONS, {"TOKEN": "hunter2", **environ})
    return {row.path: row for row in explain(stack)}


def test_a_variable_is_explained_with_all_that_is_known_about_it() -> None:
    assert rows()["servers.count"] == Row(
        path="servers.count",
        value="3",
        origin="a.yaml:2:35",
        environment="DISCO_SERVERS__COUNT",
        unit="",
        type="a whole number from 1 to 50",
        meaning="How many servers there are.",
    )
    assert rows()["servers.memory"].unit == "MB"
    assert rows()["kubernetes.etcd.keep"].origin == "default"
    assert rows(DISCO_SERVERS__COUNT="4")["servers.count"].value == "4"


def test_what_a_reference_stands_for_is_not_shown() -> None:
    assert rows()["vault.token"].value == "${env:TOKEN}"
    assert "hunter2" not in str(rows())


def test_a_secret_in_the_file_is_not_shown() -> None:
    assert "hunter3" not in str(rows("name: a\nvault: {token: hunter3}\n"))


def test_a_secret_that_is_named_is_shown_by_its_name() -> None:
    text = "name: a\nvault: {login: '${secret:vault/login#token}'}\n"
    assert rows(text)["vault.login"].value == '"${secret:vault/login#token}"'
    assert rows(text)["vault.login"].type == "a secret, ${secret:NAME}"


def test_the_schema_takes_only_names_where_a_secret_is_meant() -> None:
    options = schema(SECTIONS)["$defs"]["Vault"]["properties"]["login"]["anyOf"]
    pattern = options[0]["pattern"]
    assert re.search(pattern, "${secret:vault/login#token}")
    assert not re.search(pattern, "hunter2")


def test_every_environment_name_in_the_explanation_sets_its_variable() -> None:
    named = {p: r for p, r in rows().items() if r.environment and "$" not in r.value}
    again = rows(**{row.environment: row.value.strip('"') for row in named.values()})

    assert len(named) > 10
    for path, row in named.items():
        assert (again[path].value, again[path].origin) == (
            row.value,
            f"environment {row.environment}",
        )


def test_the_schema_is_the_same_text_each_time_and_strict() -> None:
    made = schema(SECTIONS)

    assert schema_text(SECTIONS) == schema_text(SECTIONS)
    assert json.loads(schema_text(SECTIONS)) == made
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert all(part["additionalProperties"] is False for part in (made, *made["$defs"].values()))
    assert set(made["properties"]) == {"name", *(s.key for s in SECTIONS)}


def test_the_schema_has_meanings_defaults_units_and_limits() -> None:
    memory = schema(SECTIONS)["$defs"]["LocalServers"]["properties"]["memory"]

    assert memory["description"] == "Memory of each server."
    assert (memory["default"], memory["unit"]) == (2048, "MB")
    assert memory["anyOf"][0] == {"type": "integer", "minimum": 256}
    assert re.match(memory["anyOf"][1]["pattern"], "${env:MEMORY}")


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    text = schema_text(SECTIONS)
    wanted = set(re.findall(r'"#/\$defs/(\w+)"', text))

    assert wanted and wanted <= set(schema(SECTIONS)["$defs"])


def test_a_new_file_has_the_answers_and_loads() -> None:
    specs = load_text(render(SECTIONS, SOME_ANSWERS), Path("a"), SECTIONS, {}).specs

    assert [*specs] == ["servers", "kubernetes", "chains.akash", "vault"]
    assert isinstance(specs["servers"], SshServers)
    assert specs["vault"] == Vault()
    kubernetes = specs["kubernetes"]
    assert isinstance(kubernetes, Kubernetes)
    assert (kubernetes.version, kubernetes.etcd.keep) == ("1.30", 9)


@pytest.mark.parametrize("answers", [{}, SOME_ANSWERS, {"servers.provider": "local"}])
def test_a_new_file_names_every_variable_and_its_environment_name(
    answers: dict[str, object],
) -> None:
    text = render(SECTIONS, answers)

    for section in SECTIONS:
        for key in section.model.model_fields:
            name = r"\w+__" if section.many else ""
            assert re.search(rf"^ *#?{key}:", text, re.M), key
            assert re.search(rf"DISCO_{section.key.upper()}__{name}{key.upper()}\b", text), key


def test_a_new_file_with_every_variable_of_a_section_uncommented_still_loads() -> None:
    text = render(SECTIONS, {"servers.provider": "local", "vault": None})
    start = text.index("\nkubernetes:") if "\nkubernetes:" in text else text.index("\n#kubernetes:")
    end = text.index("#chains:")
    opened = re.sub(r"^( *)#(?! )", r"\1", text[start:end], flags=re.M)
    stack = load_text(text[:start] + opened + text[end:], Path("a"), SECTIONS, {})

    assert stack.specs["kubernetes"] == Kubernetes()
    assert str(stack.origins["kubernetes", "etcd", "keep"]).startswith("a:")


def test_questions_follow_from_the_answers() -> None:
    def paths(answers: dict[str, object]) -> list[str]:
        return [q.path for q in questions(SECTIONS, answers)]

    assert paths({"servers": None}) == ["name", "servers.provider"]
    assert paths({"name": "a", "servers.provider": "ssh"}) == ["servers.hosts"]
    assert paths({"name": "a", "servers.provider": "local"}) == []
    assert paths({"name": "a", "chains.x": None}) == ["chains.x.definition"]


def test_an_answer_to_nothing_is_noticed() -> None:
    answers = {**SOME_ANSWERS, "servers.cuont": 3, "chains.akash.x": 1}

    assert unused(SECTIONS, answers) == ["servers.cuont", "chains.akash.x"]


DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(DATA)
def test_what_is_spelled_reads_as_the_same(value: object) -> None:
    assert parse(f"key: {spelled(value)}\n", "a").root == {"key": to_jsonable_python(value)}


def test_init_writes_once_and_again_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"

    assert init_command.init(path, SECTIONS, SOME_ANSWERS, environ={}) == Exit.DONE
    written = path.read_text()
    with pytest.raises(WrongUse, match="exists already"):
        init_command.init(path, SECTIONS, {}, environ={})
    assert path.read_text() == written
    assert init_command.init(path, SECTIONS, {}, force=True, environ={}) == Exit.DONE
    assert path.read_text() != written


def test_init_asks_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    path, asked = tmp_path / "stack.yaml", []
    replies = {"servers": "yes", "servers.provider": "local", "chains": "akash", "name": ""}

    def ask(question: Question) -> str:
        asked.append(question.path)
        return replies.get(question.path, "akash" if "definition" in question.path else "no")

    assert init_command.init(path, SECTIONS, {"vault": None}, ask=ask, environ={}) == Exit.DONE
    assert asked == [
        *("servers", "chains", "prometheus"),
        *("name", "servers.provider", "chains.akash.definition"),
    ]
    stack = load_text(path.read_text(), path, SECTIONS, {})
    assert stack.name == "devnet"
    assert stack.specs["servers"] == LocalServers(provider="local")


def test_init_without_a_terminal_names_what_must_be_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(WrongUse) as caught:
        init_command.init(tmp_path / "a.yaml", SECTIONS, {"servers.provider": "ssh"}, environ={})

    assert "servers.hosts" in str(caught.value) and "--set servers.hosts=" in caught.value.fix
    assert not (tmp_path / "a.yaml").exists()


def test_init_writes_nothing_when_an_answer_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"servers.provider": "local", "servers.count": "0"}

    assert init_command.init(tmp_path / "a.yaml", SECTIONS, answers, environ={}) == Exit.WRONG_USE
    assert "answers: servers.count: must be at least 1 (got 0)" in capsys.readouterr().err
    assert not (tmp_path / "a.yaml").exists()


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nservers:\n  provider: ssh\n  hosts: [{name: h1, address: h}]\n")
    return path


def test_config_prints_whole_rows_when_it_is_piped(
    stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_command.config(stack_file, SECTIONS, environ={}) == Exit.DONE
    out, err = capsys.readouterr()
    row = next(line for line in out.splitlines() if line.startswith("servers.hosts[0].address "))

    assert "DISCO_SERVERS__HOSTS__0__ADDRESS" in row and row.endswith("SSH server listens.")
    assert err == "" and "\x1b" not in out


def test_config_as_json_is_one_object_per_variable(
    stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_command.config(stack_file, SECTIONS, as_json=True, environ={}) == Exit.DONE

    assert {"path": "name", "value": "a"}.items() <= json.loads(capsys.readouterr().out)[0].items()


def test_a_wrong_file_is_answered_on_stderr_with_exit_code_2(
    stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack_file.write_text("name: a\nvualt:\n")

    for command in (config_command.config, validate_command.validate):
        assert command(stack_file, SECTIONS, environ={}) == Exit.WRONG_USE
        out, err = capsys.readouterr()
        assert out == ""
        assert err == f"{stack_file}:2:1: vualt: is not known here\n  hint: did you mean vault?\n"


def test_validate_as_json_has_problems_as_data(
    stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate_command.validate(stack_file, SECTIONS, as_json=True, environ={}) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["components"] == ["servers", "kubernetes"]

    stack_file.write_text("name: a\nvualt:\n")
    validate_command.validate(stack_file, SECTIONS, as_json=True, environ={})
    assert json.loads(capsys.readouterr().out)["problems"][0]["line"] == 2


def test_schema_prints_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema_command.schema(SECTIONS) == Exit.DONE

    assert capsys.readouterr().out == schema_text(SECTIONS)
