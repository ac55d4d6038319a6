"""Two operators, two folders, one team's store: they take turns on servers over SSH."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import LabStack, lab_stack

from disco.engine.secret import SecretRef
from disco.store.store import Store
from disco.store.team import keys
from disco.store.team.remote_lock import TeamLock
from disco.store.team.repository import Repository

SERVERS = """
name: iron
servers: {provider: local, count: 2, network: 10.88.224.0/24}
"""
ADDRESSES = {"h1": "10.88.224.11", "h2": "10.88.224.12"}


class Operators:
    """ana and ben, each with a key, a folder and the same stack file."""

    def __init__(self, iron: LabStack) -> None:
        self.iron, self.top = iron, iron.file.parent
        store = Store(iron.place)
        login = self.top / "login"
        login.write_text(store.lookup(SecretRef("servers/login", "private")))
        login.chmod(0o600)
        self.lines = ["name: ours", "kubernetes: {}", "servers:", "  provider: ssh", "  hosts:"]
        for name, address in ADDRESSES.items():
            pinned = store.lookup(SecretRef(f"servers/{name}/host-key", "public")).split()[:2]
            self.lines.append(
                f"    - {{name: {name}, address: {address}, key: {login}, "
                f"host_key: '{' '.join(pinned)}'}}"
            )
        self.remote = self.top / "team.git"
        words = ["git", "init", "-q", "--bare", "--initial-branch=main", str(self.remote)]
        subprocess.run(words, check=True)

    def stack(self, name: str) -> LabStack:
        folder = self.top / name
        if not folder.exists():
            folder.mkdir()
            keys.make(folder / "key", name)
            self.declare(name, 2)
        return LabStack("ours", folder / "stack.yaml")

    def declare(self, name: str, servers: int) -> None:
        lines = self.lines[: len(self.lines) - len(ADDRESSES) + servers]
        (self.top / name / "stack.yaml").write_text("\n".join(lines) + "\n")

    def public(self, name: str) -> str:
        return str(keys.Own([self.top / name / "key"]).public[0])


@pytest.fixture
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operators]:
    with lab_stack(tmp_path_factory.mktemp("iron"), SERVERS) as iron:
        iron.must("apply", "--yes", within_s=300)
        found = Operators(iron)
        ana, ben = found.stack("ana"), found.stack("ben")
        remote, key = str(found.remote), str(ana.folder / "key")
        ana.must(
            "team", "init", "--remote", remote, "--team", "acme", "--name", "ana", "--key", key
        )
        ana.must("team", "add", "ben", "--key", found.public("ben"))
        root = json.loads(ana.must("store", "status", "--json"))["first_commit"]
        ben.must("store", "join", remote, "--root", root, "--key", str(ben.folder / "key"))
        yield found


def test_what_one_made_the_other_has_and_can_take_away_again(operators: Operators) -> None:
    ana, ben = operators.stack("ana"), operators.stack("ben")
    ana.must("up", "--yes", within_s=600)
    assert "Nothing to do" in ben.disco("apply", "--yes").stderr
    assert len(ben.must("kubectl", "--", "get", "nodes", "-o", "name").split()) == 2
    assert ana.must("check", "--only", "store", "--json")

    literal = "--from-literal=user=root"
    ana.must("kubectl", "--", "create", "secret", "generic", "old", "-n", "default", literal)
    ana.must("store", "import", "kubernetes", "default/old")
    assert ben.must("secrets", "get", "default/old", "user") == "root"
    held_by_ana(operators, ana, ben)

    operators.declare("ben", 1)  # h2 leaves, though it was ana who had it join
    ben.must("apply", "--yes", "--allow-destroy", within_s=600)
    assert ben.must("kubectl", "--", "get", "nodes", "-o", "name").split() == ["node/h1"]
    operators.declare("ana", 1)
    assert "Nothing to do" in ana.disco("apply", "--yes").stderr
    runs = json.loads(ana.must("history", "--json"))
    assert [(r["what"], r["ended"]) for r in runs] == [
        ("up", "done"),
        ("apply", "done"),
    ], "each sees the other's runs"
    ben.must("down", "--yes", "--allow-destroy", within_s=600)
    assert "Nothing to destroy" in ana.disco("down", "--yes", "--allow-destroy").stderr


def held_by_ana(operators: Operators, ana: LabStack, ben: LabStack) -> None:
    """A run of ana's that died without a word keeps ben off, until he breaks its lock."""
    clone = Store(ana.place).shelf
    assert isinstance(clone, Repository)
    dies = TeamLock(clone, "ours").hold("apply")
    dies.__enter__()
    refused = ben.disco("apply", "--yes")
    assert refused.returncode == 1
    assert "another run holds the stack's lock" in refused.stderr, refused.stderr
    assert "disco store lock --break" in refused.stderr
    ben.must("store", "lock", "--break", "--yes")
    assert "Nothing to do" in ben.disco("apply", "--yes").stderr
    acts = json.loads(ben.must("store", "lock", "--json"))
    assert [(a["act"], a["by"]) for a in acts if a["act"] == "broken"] == [("broken", "ben")]
    dies.__exit__(None, None, None)


def test_clones_can_be_made_anew(operators: Operators, tmp_path: Path) -> None:
    """The state folder of ben's machine is lost: he joins again, with all that ana keeps."""
    ana, ben = operators.stack("ana"), operators.stack("ben")
    ana.must("secrets", "generate", "db/password")
    shutil.rmtree(ben.place.root)
    root = json.loads(ana.must("store", "status", "--json"))["first_commit"]
    remote, key = str(operators.remote), str(ben.folder / "key")
    ben.must("store", "join", remote, "--root", root, "--key", key)
    value = ana.must("secrets", "get", "db/password")
    assert value and ben.must("secrets", "get", "db/password") == value
