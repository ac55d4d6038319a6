"""docs/how-to/team.md, run command by command as its three people."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "how-to" / "team.md"
STACK = "name: dev\nservers: {provider: local, count: 1}\n"
LINE = re.compile(r"(ana|ben|cyd)\$ (.+)")
WITHIN_S = 60
RED = 3
# What ends otherwise than with 0, on purpose.
CODES = {"ana$ disco secrets list --owed": [RED, 0]}
SAYS = {
    "cyd$ disco secrets get db/password": "hunter22",
    "ben$ disco secrets who-can-read db/password": "ana\nben\ncyd",
    "ana$ disco team verify": "each signed by a member",
}


class Story:
    """The machines of three people: a home and a folder each."""

    def __init__(self, top: Path) -> None:
        self.top, self.root = top, ""
        self.remote = top / "team.git"
        self._git("init", "-q", "--bare", "--initial-branch=main", str(self.remote))
        self._git("-C", str(self.remote), "config", "receive.denyNonFastForwards", "true")
        program = top / "bin" / "disco"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m disco.cli.main "$@"\n')
        program.chmod(0o755)
        for name in ("ana", "ben", "cyd"):
            key = self.home(name) / ".ssh" / "id_ed25519"
            key.parent.mkdir(parents=True)
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
            subprocess.run(words, check=True)
            (self.home(name) / "stack.yaml").write_text(STACK)
        for name in ("ben", "cyd"):
            public = self.home(name) / ".ssh" / "id_ed25519.pub"
            shutil.copy(public, self.home("ana") / f"{name}.pub")

    def home(self, name: str) -> Path:
        return self.top / name

    def run(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "HOME": str(self.home(name)),
            "PATH": f"{self.top / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "REMOTE": str(self.remote),
            "ROOT": self.root,
            "NO_COLOR": "1",
        }
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.home(name),
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=WITHIN_S,
        )

    def must(self, name: str, command: str) -> str:
        done = self.run(name, command)
        assert done.returncode == 0, f"{name}$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], check=True)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    yield Story(tmp_path)


def commands() -> list[tuple[str, str]]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    return [found.groups() for kind, b in blocks if not kind for found in LINE.finditer(b)]  # type: ignore[misc]


def test_every_command_of_the_page_does_what_the_page_says(story: Story) -> None:
    codes = {line: list(found) for line, found in CODES.items()}
    ran = 0
    for name, command in commands():
        line = f"{name}$ {command}"
        if command.startswith("age ") and not shutil.which("age"):
            print(f"not run, for age is not installed: {line}")
            continue
        done = story.run(name, command)
        wanted = codes[line].pop(0) if codes.get(line) else 0
        assert done.returncode == wanted, f"{line}\n{done.stdout}{done.stderr}"
        assert SAYS.get(line, "") in done.stdout + done.stderr, f"{line}\n{done.stdout}"
        assert "Traceback" not in done.stderr
        if line.startswith("ana$ disco store status"):
            data = json.loads(story.must("ana", "disco store status --json"))
            story.root = data["first_commit"]
        if command.endswith("secrets set payment/card"):
            refused = story.run("ben", "disco secrets get payment/card")
            assert refused.returncode == 2 and "ana may read it" in refused.stderr
        ran += 1
    assert ran > 20
    left = story.run("ben", "disco secrets get db/password")
    assert story.run("ana", "disco secrets accept db/password --because x").returncode == 2
    assert left.returncode != 0 and "not for you" in left.stderr
    assert story.must("cyd", "disco secrets get db/password") == "correct-horse"


def test_what_the_stack_kept_for_itself_goes_into_the_teams_store(story: Story) -> None:
    story.must("ana", "printf %s one | disco secrets set db/password")
    folder = story.home("ana") / ".disco" / "dev"
    assert (folder / "identity").exists() and (folder / "store.git").exists()
    story.must("ana", "disco team init --remote $REMOTE --team acme --name ana")
    assert story.must("ana", "disco secrets get db/password") == "one"
    assert not (folder / "identity").exists() and not (folder / "store.git").exists()
    again = story.run("ana", "disco team init --remote $REMOTE --team acme --name ana")
    assert again.returncode == 2 and "has a team's store already" in again.stderr


def test_a_secret_that_stays_as_it_is_is_accepted_with_a_reason(story: Story) -> None:
    story.must("ana", "disco team init --remote $REMOTE --team acme --name ana")
    story.must("ana", "disco team add ben --key ben.pub")
    story.must("ana", "disco secrets generate db/password")
    story.must("ana", "disco team remove ben --yes")
    assert story.run("ana", "disco secrets list --owed").returncode == RED
    assert story.run("ana", "disco secrets accept db/password --because ' '").returncode == 2
    story.must("ana", "disco secrets accept db/password --because 'his laptop was ours'")
    assert story.run("ana", "disco secrets list --owed").returncode == 0
    told = json.loads(story.must("ana", "disco secrets history db/password --json"))
    assert told[0]["by"] == "ana" and told[0]["what"].endswith("his laptop was ours")
