"""The package that people copy: built, installed, and used by DISCO as a process."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from disco import plugin
from plugin_packages import TEMPLATE, TOP, Disco, install

PLAIN = ("-p", "no:cacheprovider", "-p", "no:asyncio")


def test_its_section_is_in_the_schema(disco: Disco) -> None:
    schema = json.loads(disco("schema").out)
    assert "hello" in schema["properties"]
    assert "Pods that serve the page." in json.dumps(schema)


def test_its_variables_are_listed_with_where_they_come_from(disco: Disco) -> None:
    rows = [line.split() for line in disco("config").out.splitlines()]
    found = {row[0]: row for row in rows if row and row[0].startswith("hello.")}
    assert found["hello.replicas"][1:4] == ["1", "default", "DISCO_HELLO__REPLICAS"]
    assert "stack.yaml:11:13" in found["hello.greeting"]


def test_its_stack_is_valid_and_is_drawn_on_what_it_stands_on(disco: Disco) -> None:
    assert disco("validate").code == 0
    drawn = disco("graph").out.splitlines()
    assert drawn[-2:] == ["4 services", "  hello              on kubernetes, artifacts"]


def test_wrong_values_are_told_with_line_and_column(disco: Disco) -> None:
    (disco.folder / "stack.yaml").write_text("name: x\nhello:\n  replicas: 9\n  greting: x\n")
    said = disco("validate")
    assert said.code == 2
    assert "stack.yaml:3:13: hello.replicas: must be at most 5 (got 9)" in said.out + said.err
    assert "stack.yaml:4:3: hello.greting: is not known here" in said.out + said.err


def test_it_is_planned_after_a_cluster_that_is_not_there(disco: Disco) -> None:
    said = disco("plan", "--json")
    assert said.code == 0, said.err
    parts = {p["name"]: p for p in json.loads(said.out)["components"]}
    assert parts["hello"]["known_after"] == ["artifacts", "kubernetes"]
    release = parts["hello"]["steps"][0]["actions"][1]
    assert (release["kind"], release["chart"]) == ("release", "disco_hello:chart")
    assert release["values"]["greeting"] == "hello, world"


def test_the_plain_command_names_the_chart_where_it_is(disco: Disco) -> None:
    said = disco("plan", "--commands")
    assert f"helm upgrade --install hello {disco.packages}/disco_hello/chart -n hello" in said.out


def test_init_writes_it_with_every_variable_explained(disco: Disco) -> None:
    words = ("name=x", "servers.provider=local", "hello.greeting=hi")
    said = disco("init", "-f", "new.yaml", *(w for word in words for w in ("--set", word)))
    assert said.code == 0, said.err
    text = (disco.folder / "new.yaml").read_text()
    assert "\nhello:\n  # Pods that serve the page." in text
    assert "\n  greeting: hi\n" in text


def test_its_chain_is_listed(disco: Disco) -> None:
    found = {c["name"]: c for c in json.loads(disco("chain", "list", "--json").out)}
    assert found["hellochain"]["networks"] == {"local": "hello-local-1"}
    assert found["hellochain"]["defined_in"].startswith(str(disco.packages))


def test_its_own_tests_pass_without_a_cluster(disco: Disco) -> None:
    """Among them: it goes up in the simulated world, a second plan is empty, it is removed."""
    shutil.copytree(TEMPLATE / "tests", disco.folder / "tests")
    said = disco.python("-m", "pytest", *PLAIN, "tests")
    assert said.code == 0, said.out
    assert " passed" in said.out and "skipped" not in said.out


def test_a_copy_that_is_renamed_as_the_how_to_says_stands_beside_it(
    disco: Disco, tmp_path: Path
) -> None:
    lines = (TOP / "docs/how-to/plugin.md").read_text().splitlines()
    renaming = [x for x in lines if x.startswith(("grep -rl -i hello", "find . -depth -name"))]
    copy, packages = tmp_path / "disco-mine", tmp_path / "packages"
    shutil.copytree(TEMPLATE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["bash", "-ec", "\n".join(renaming)], cwd=copy, check=True)
    install(copy, packages)
    shutil.copytree(disco.packages, packages, dirs_exist_ok=True)

    both = Disco(packages, copy)
    assert both("validate").code == 0
    found = {c["name"] for c in json.loads(both("chain", "list", "--json").out)}
    assert found == {"akash", "hellochain", "minechain"}
    assert {"hello", "mine"} <= set(json.loads(both("schema").out)["properties"])
    said = both.python("-m", "pytest", *PLAIN, "tests/test_mine.py")
    assert said.code == 0, said.out


def imported(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return plain | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}


@pytest.mark.parametrize(
    "file", sorted(TEMPLATE.rglob("*.py")), ids=lambda f: str(f.relative_to(TEMPLATE))
)
def test_it_imports_of_disco_only_the_public_face(file: Path) -> None:
    ours = {m for m in imported(file) if m == "disco" or m.startswith("disco.")}
    assert ours <= {"disco.plugin"}


def test_it_was_written_for_the_contract_of_today() -> None:
    text = (TEMPLATE / "src/disco_hello/component.py").read_text()
    assert f"    contract = {plugin.CONTRACT}  #" in text
