"""OpenTofu itself, with its state in a team's store. Its built-in provider needs nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_store_commands import DISCO, Desk, join, two_desks

from disco.artifacts import Artifacts
from disco.store.team.git import Git

HELD = Artifacts().held("tofu")
pytestmark = pytest.mark.skipif(
    HELD is None,
    reason="OpenTofu is not here, and takes minutes to build: disco artifacts obtain tofu",
)
CANARY = "canary-of-a-state-31337"
FILES = """\
terraform {
  backend "http" {}
}
variable "word" {}
variable "wait_in" { default = "" }
resource "terraform_data" "it" {
  input = var.word
}
resource "terraform_data" "slow" {
  count = var.wait_in == "" ? 0 : 1
  provisioner "local-exec" {
    command = "touch begun; n=0; until [ -e go ] || [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done"
    working_dir = var.wait_in
  }
  depends_on = [terraform_data.it]
}
output "word" {
  value     = terraform_data.it.output
  sensitive = true
}
"""
WITHIN_S = 120


class Office:
    """A desk with a folder of OpenTofu's."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.folder = desk.folder / "net"
        self.folder.mkdir()
        (self.folder / "main.tf").write_text(FILES)
        cache = str(Artifacts().cache.root.parent)
        self.environ = {
            "TF_VAR_word": CANARY,
            "XDG_CACHE_HOME": cache,
            "TF_CLI_CONFIG_FILE": os.devnull,
        }
        self.must("init", "-input=false")

    def tofu(self, *words: str) -> tuple[int, str, str]:
        return self.desk.disco("tofu", str(self.folder), "--", *words, **self.environ)

    def must(self, *words: str) -> str:
        code, out, err = self.tofu(*words)
        assert code == 0, f"{words}: {out}{err}"
        return out

    def begins(self, where: Path) -> subprocess.Popen[bytes]:
        """To apply something that waits for a file `go`, and is begun when this ends."""
        where.mkdir()
        apply = ["apply", "-auto-approve", f"-var=wait_in={where}"]
        process = subprocess.Popen(
            [*DISCO, "tofu", str(self.folder), "--", *apply],
            cwd=self.desk.folder,
            env={**self.desk.environ, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        until((where / "begun").exists)
        return process


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def offices(tmp_path: Path) -> Iterator[tuple[Office, Office]]:
    ana, ben = two_desks(tmp_path)
    join(ana, ben, str(tmp_path / "team.git"))
    yield Office(ana), Office(ben)


def owed(office: Office) -> list[str]:
    return [*json.loads(office.desk.disco("secrets", "list", "--owed", "--json")[1])]


def plain_in_git(folder: Path) -> bytes:
    return b"".join(content for _, _, content in Git(folder).everything())


def test_a_state_is_shared_sealed_and_in_no_file(
    offices: tuple[Office, Office], tmp_path: Path
) -> None:
    ana, ben = offices
    ana.must("apply", "-auto-approve")
    assert "No changes" in ana.must("plan", "-detailed-exitcode")
    assert ben.must("output", "-raw", "word") == CANARY
    assert "No changes" in ben.must("apply", "-auto-approve")

    files = (p for p in [*tmp_path.rglob("*"), *Path("/dev/shm").rglob("disco-tofu*")])
    kept = b"".join(p.read_bytes() for p in files if p.is_file() and p.suffix != ".tf")
    assert CANARY.encode() not in kept
    for store in tmp_path.rglob("*.git"):
        assert CANARY.encode() not in plain_in_git(store)
    listed = json.loads(ana.desk.must("secrets", "list", "--json"))
    assert "tofu/net" in json.dumps(listed)

    ana.desk.must("team", "remove", "ben", "--yes")
    assert owed(ana) == ["dev/tofu/net"], "who left knows what is in it"
    ana.must("apply", "-auto-approve", "-var=word=another")
    assert owed(ana) == ["dev/tofu/net"], "also after another version of it"
    ana.desk.must("secrets", "accept", "tofu/net", "--because", "its passwords were changed")
    assert owed(ana) == []
    ana.must("destroy", "-auto-approve")
    assert ana.must("state", "list") == ""


def test_who_comes_second_is_told_who_has_the_lock(
    offices: tuple[Office, Office], tmp_path: Path
) -> None:
    ana, ben = offices
    first = ana.begins(tmp_path / "wait")
    code, out, err = ben.tofu("apply", "-auto-approve")
    assert code == 1
    assert "Error acquiring the state lock" in out + err
    assert "runs `disco tofu apply`" in err and "disco store lock --break" in err
    (tmp_path / "wait" / "go").touch()
    said, _ = first.communicate(timeout=WITHIN_S)
    assert first.returncode == 0, said
    assert len(ben.must("state", "list").split()) == 2


def test_what_was_made_is_known_when_the_store_can_not_be_shared(
    offices: tuple[Office, Office], tmp_path: Path
) -> None:
    ana, ben = offices
    process = ana.begins(tmp_path / "wait")
    (tmp_path / "team.git").rename(tmp_path / "away.git")
    (tmp_path / "wait" / "go").touch()
    said, _ = process.communicate(timeout=WITHIN_S)
    assert b"The state is kept on this machine alone" in said, said
    assert not (ana.folder / "errored.tfstate").is_symlink()
    assert len(ana.must("state", "list").split()) == 2, "read without the lock"

    (tmp_path / "away.git").rename(tmp_path / "team.git")
    ana.desk.must("store", "sync")
    ana.desk.must("store", "lock", "--break", "--yes")
    assert len(ben.must("state", "list").split()) == 2


def test_disco_is_killed_while_something_is_made(
    offices: tuple[Office, Office], tmp_path: Path
) -> None:
    """OpenTofu goes on to its end; what it can't keep is in memory, and the next run says so."""
    ana, ben = offices
    process = ana.begins(tmp_path / "wait")
    os.kill(process.pid, signal.SIGKILL)
    (tmp_path / "wait" / "go").touch()
    process.communicate(timeout=WITHIN_S)  # of OpenTofu, too: it has the same pipe
    left = (ana.folder / "errored.tfstate").readlink()
    assert left.is_relative_to("/dev/shm") and left.stat().st_mode & 0o77 == 0
    try:
        code, _, err = ana.tofu("plan")
        assert code == 1 and "a state that could not be kept is here" in err
        ana.desk.must("store", "lock", "--break", "--yes")
        ana.must("state", "push", "errored.tfstate")
    finally:
        left.unlink()
    assert "No changes" in ana.must("plan", f"-var=wait_in={tmp_path / 'wait'}")
    assert len(ben.must("state", "list").split()) == 2
