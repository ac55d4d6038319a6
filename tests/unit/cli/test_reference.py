"""The reference says what the code says, all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cyclopts import App

from disco.cli import reference
from disco.cli.app import app
from disco.cli.wiring import open_stack
from disco.engine.errors import Exit

TOP = Path(__file__).parents[3]
Made = dict[str, str]


@pytest.fixture(scope="module")
def made() -> Made:
    """Path -> content. It takes a while: not at every import."""
    return reference.files()


def test_the_files_are_as_the_code_makes_them(made: Made) -> None:
    wrong = [n for n, text in made.items() if (TOP / n).read_text(encoding="utf-8") != text]
    assert not wrong, "write them anew: python -m disco.cli.reference"
    assert {"docs/reference/commands.md", "stack.schema.json"} <= made.keys()


def commands_of(part: App, start: str) -> Iterator[str]:
    for name in part:
        if not name.startswith("-"):
            yield f"{start} {name}"
            yield from commands_of(part[name], f"{start} {name}")


def test_every_command_is_in_it(made: Made) -> None:
    found = set(commands_of(app, "disco"))
    missing = [c for c in found if f" {c}\n" not in made["docs/reference/commands.md"]]
    assert {"disco up", "disco artifacts verify", "disco secrets list"} <= found
    assert not missing


def test_usage_has_the_name_that_people_type(made: Made) -> None:
    lines = made["docs/reference/commands.md"].splitlines()
    usages = [b for a, b in pairwise(lines) if a == "```console"]
    assert all(u.startswith("disco ") and " -m " not in u for u in usages)


def test_every_variable_is_in_it(made: Made) -> None:
    text = made["docs/reference/variables.md"]
    for name in ("servers.count", "servers.hosts.N.host_key", "vault.replicas"):
        assert f"| `{name}` |" in text
    assert "`DISCO_CHAINS__NAME__VALIDATORS`" in text


@pytest.mark.parametrize("name", sorted(reference.ENVIRONMENT))
def test_variables_of_the_environment_alone_are_read_somewhere(name: str) -> None:
    sources = (TOP / "src/disco").rglob("*.py")
    known = {"NO_COLOR"}  # read by Rich
    used = [f for f in sources if f.name != "reference.py" and f'"{name}"' in f.read_text()]
    assert used or name in known


def test_every_exit_code_is_in_it(made: Made) -> None:
    assert set(Exit) <= set(reference.EXITS)
    for code in reference.EXITS:
        assert f"| {int(code)} |" in made["docs/reference/exit-codes.md"]


async def test_every_kind_of_action_that_is_carried_out_is_in_it(stack: Path) -> None:
    async with open_stack(stack) as session:
        kinds = set(session._executors())
    assert kinds == set(reference.action_kinds())


@pytest.mark.parametrize("page", ["robustness.md", "design.md"])
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)", (TOP / "docs" / page).read_text()))
    assert named
    assert [path for path in sorted(named) if not (TOP / path).exists()] == []
