"""A team's store is read and checked with git, ssh-keygen and age alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from people import SECRET, VALUE, People, founded

from disco.store.team.git import BRANCH, Git
from disco.store.team.layout import FILE, NAMESPACE, SIGNATURE, file_of


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    people = founded(tmp_path_factory.mktemp("store") / "top")
    ben = people.person("ben").repository()
    ben.write("Set another", {"dev/db/another": {"value": "another"}})
    return people


@pytest.fixture(scope="module")
def clone(people: People) -> Iterator[Path]:
    """As anybody would make it, with files."""
    path = people.top / "clone"
    run("git", "clone", "-q", "--branch", "main", people.url, str(path))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def signers(people: People, clone: Path) -> Path:
    """A file of allowed signers, from team.yaml: its format is that of the keys there."""
    import yaml

    team = yaml.safe_load((clone / FILE).read_text())
    path = people.top / "signers"
    path.write_text(
        "".join(
            f"{name}@disco {key}\n"
            for name, member in team["members"].items()
            for key in member["keys"]
            if not key.startswith("age1")
        )
    )
    return path


def run(*words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=60)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return (done.stdout + done.stderr).decode()


def test_git_says_who_signed_each_commit(clone: Path, signers: Path) -> None:
    trust = f"gpg.ssh.allowedSignersFile={signers}"
    said = run("git", "-C", str(clone), "-c", trust, "log", "--show-signature", "--format=%s")
    good = [x.split()[4] for x in said.splitlines() if x.startswith('Good "git" signature for')]
    assert good == ["ben@disco", "ana@disco", "ana@disco", "ana@disco"]
    told = run("git", "-C", str(clone), "-c", trust, "log", "--format=%G? %an")
    assert told.splitlines() == ["G ben", "G ana", "G ana", "G ana"]


def test_git_finds_nothing_wrong_with_it(clone: Path) -> None:
    assert "error" not in run("git", "-C", str(clone), "fsck", "--strict", "--full")


def test_git_says_of_a_forged_commit_that_nobody_signed_it(
    people: People, clone: Path, signers: Path
) -> None:
    """So that the two tests before this one can fail."""
    mallory = people.person("mallory")
    _ = mallory.own.public
    git = Git(clone / ".git")
    forged = git.commit(git.with_changes(BRANCH, {}), [BRANCH], "Forge\n", "ana", mallory.key)
    trust = f"gpg.ssh.allowedSignersFile={signers}"
    done = subprocess.run(
        ["git", "-C", str(clone), "-c", trust, "verify-commit", forged], capture_output=True
    )
    assert done.returncode != 0


@pytest.mark.parametrize(("who", "is_good"), [("ana", True), ("ben", False)])
def test_ssh_keygen_says_who_signed_the_team(
    clone: Path, signers: Path, who: str, is_good: bool
) -> None:
    words = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", f"{who}@disco",
             "-n", NAMESPACE, "-s", str(clone / SIGNATURE)]  # fmt: skip
    done = subprocess.run(words, input=(clone / FILE).read_bytes(), capture_output=True)
    assert (done.returncode == 0) is is_good, done.stderr
    other = subprocess.run(words, input=b"# " + (clone / FILE).read_bytes(), capture_output=True)
    assert other.returncode != 0


@pytest.mark.parametrize("who", ["ana", "ben", "eve"])
def test_age_opens_a_secret_with_each_members_key(people: People, clone: Path, who: str) -> None:
    if shutil.which("age") is None:
        pytest.skip("the program age is not here: apt install age")
    key = people.person(who).key
    plain = run("age", "-d", "-i", str(key), str(clone / file_of(SECRET)))
    found = json.loads(plain)
    assert re.fullmatch("[0-9a-f]{16}", found.pop("version"))
    assert found == {"path": SECRET, "fields": {"value": VALUE}}


def test_age_opens_nothing_with_a_strangers_key(people: People, clone: Path) -> None:
    if shutil.which("age") is None:
        pytest.skip("the program age is not here: apt install age")
    mallory = people.person("mallory")
    _ = mallory.own.public
    words = ["age", "-d", "-i", str(mallory.key), str(clone / file_of(SECRET))]
    done = subprocess.run(words, capture_output=True)
    assert done.returncode != 0
    assert VALUE.encode() not in done.stdout + done.stderr
