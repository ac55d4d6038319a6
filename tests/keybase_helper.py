"""A stand-in for Keybase's own remote helper of git, which can't be run without its servers.

It says and takes what that one does (capabilities, options, answers), and its remote is as that
one's library keeps it: what is pushed has to have a name, and nothing but a branch is compared
before it is overwritten. Run as a program it is `git-remote-keybase`; the repositories are bare
ones of this machine, with their path in the URL.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from pathlib import Path

BRANCHES = "refs/heads/"
NAME = "git-remote-keybase"
# Names of files: the first says that a push was listed, the second lets it go on.
LISTED, GO_ON = "KEYBASE_LISTED", "KEYBASE_GO_ON"
WITHIN_S = 30


def install(folder: Path) -> None:
    """Make it a program in a folder, for the search path."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / NAME
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    program.chmod(0o755)


def url_of(repository: Path) -> str:
    return f"keybase://team/acme/{str(repository).encode().hex()}"


def _git(repository: str, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return subprocess.run(
        ["git", f"--git-dir={repository}", *words], env=environ, capture_output=True, text=True
    )


def _list(remote: str, for_push: bool) -> str:
    listed = _git(remote, "for-each-ref", "--format=%(objectname) %(refname)").stdout
    if for_push and (waits := os.environ.get(GO_ON)):
        Path(os.environ[LISTED]).touch()
        end = time.monotonic() + WITHIN_S
        while not Path(waits).exists() and time.monotonic() < end:
            time.sleep(0.02)
    return f"{listed}@refs/heads/main HEAD\n" if listed else ""


def _push(remote: str, local: str, spec: str) -> str:
    source, _, to = spec.lstrip("+").partition(":")
    new = _git(local, "rev-parse", "--verify", "--quiet", source).stdout.strip()
    if not source.startswith("refs/") or not new:
        return f"error {to} couldn't find remote ref {source}"
    _git(remote, "fetch", "--no-tags", "--no-write-fetch-head", local, source)
    with Path(remote, "keybase.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = _git(remote, "rev-parse", "--verify", "--quiet", to).stdout.strip()
        is_forward = _git(remote, "merge-base", "--is-ancestor", old, new).returncode == 0
        if old and to.startswith(BRANCHES) and not is_forward:
            return f"error {to} some refs were not updated"
        _git(remote, "update-ref", to, new)
    return f"ok {to}"


def _answers(remote: str, local: str) -> None:
    pushes: list[str] = []
    fetches: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        answer = None
        if word == "capabilities":
            answer = "fetch\npush\noption\n\n"
        elif word == "option":
            is_known = re.match(r"verbosity|progress|cloning", rest)
            answer = "ok\n" if is_known else "unsupported\n"
        elif word == "list":
            answer = _list(remote, rest == "for-push") + "\n"
        elif word == "push":
            pushes.append(rest)
        elif word == "fetch":
            fetches.append(rest.split()[1])
        elif pushes:
            answer = "".join(f"{_push(remote, local, spec)}\n" for spec in pushes) + "\n"
            pushes = []
        elif fetches:
            _git(local, "fetch", "--no-tags", "--no-write-fetch-head", remote, *fetches)
            answer, fetches = "\n", []
        else:
            return
        if answer is not None:
            print(answer, end="", flush=True)


if __name__ == "__main__":
    _answers(bytes.fromhex(sys.argv[2].rpartition("/")[2]).decode(), os.environ["GIT_DIR"])
