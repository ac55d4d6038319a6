"""A team's store of 1,000 secrets and 1,000 commits, beside `sops updatekeys` on as many files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import Took, disco, line, load, process
from disco.engine.place import Place
from disco.store import opening
from disco.store.store import Store
from disco.store.team import keys
from disco.store.team.git import ZERO
from disco.store.team.history import verified
from disco.store.team.repository import Repository
from disco.store.team.roles import Role
from disco.store.team.team import Member

SECRETS = 1_000
COMMITS = 1_000
MEMBERS = 5
STACK = "name: dev\nservers: {provider: local, count: 1}\n"


def run() -> None:
    print(f"## the team's store: {SECRETS} secrets, {COMMITS} commits ({load()})")
    with TemporaryDirectory(prefix="disco-bench-") as folder:
        top = Path(folder)
        os.environ["HOME"] = os.environ["XDG_STATE_HOME"] = folder
        store = _filled(top)
        file = top / "stack.yaml"
        bare = process(disco("--version"), times=5)
        shown = process(disco("secrets", "list", "-f", str(file)), times=5)
        _told("secrets list", shown, bare, "300 ms")
        shown = process(disco("secrets", "get", "bench/s-500", "-f", str(file)), times=5)
        _told("secrets get", shown, bare, "150 ms")
        repository = store.shelf
        assert isinstance(repository, Repository)
        ours_s = _seconds(lambda: _remove(repository, "m1"))
        line(f"member removed, {SECRETS} secrets sealed anew", f"{ours_s:.2f} s", "aim: ≤ 3 s")
        repository.url = ""
        for n in range(COMMITS - len(repository.log())):
            repository.write(f"Set {n}", files={f"kept/dev/f-{n}": b"x"})
        root, head = repository.memory.known.root, repository.head()
        commits: list[object] = []
        took_s = _seconds(lambda: commits.extend(verified(repository.git, ZERO, head, root)[0]))
        line(f"verify {len(commits)} commits", f"{took_s:.2f} s", "aim: ≤ 5 s")
        _sops(top, ours_s)


def _told(what: str, shown: Took, bare: Took, aim: str) -> None:
    over_ms = (shown.cpu_s - bare.cpu_s) * 1000
    line(f"disco {what}, CPU over `disco --version`", f"{over_ms:.0f} ms", f"aim: ≤ {aim}")
    line(f"disco {what}, the whole process", f"{shown.wall_s * 1000:.0f} ms")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _filled(top: Path) -> Store:
    """A team of five at a bare remote here."""
    remote = top / "team.git"
    words = ["git", "init", "-q", "--bare", "--initial-branch=main", str(remote)]
    subprocess.run(words, check=True)
    (top / "stack.yaml").write_text(STACK)
    place = Place.of(top / "stack.yaml", "dev")
    place.open()
    key = top / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    keys.make(key, "bench")
    new = opening.begin_team(place, Store(place), "bench", "m0", str(remote), (key,))
    members = {}
    for n in range(1, MEMBERS):
        keys.make(top / f"m{n}", f"m{n}")
        public = tuple(str(k) for k in keys.Own([top / f"m{n}"]).public)
        members[f"m{n}"] = Member(role=Role.OPERATOR, keys=public)
    team = new.team()
    new.change_team(team.changed(members={**team.members, **members}), "Add members")
    store = Store(place)
    store.put_all({f"bench/s-{n}": {"value": f"value {n}"} for n in range(SECRETS)}, "Fill")
    return store


def _remove(repository: Repository, name: str) -> None:
    before = repository.team()
    members = {n: m for n, m in before.members.items() if n != name}
    repository.change_team(before.changed(members=members), f"Remove {name}")


def _sops(top: Path, ours_s: float) -> None:
    """The same values, a file each, as sops keeps them; one recipient of five goes."""
    if not shutil.which("sops"):
        print("   sops updatekeys: not run, sops is not installed")
        return
    folder = top / "sops"
    folder.mkdir()
    pairs = [subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
             for _ in range(MEMBERS)]  # fmt: skip
    public = [p.split("public key: ")[1].split()[0] for p in pairs]
    (top / "keys.txt").write_text("".join(pairs))
    environ = {**os.environ, "SOPS_AGE_KEY_FILE": str(top / "keys.txt")}
    config = folder / ".sops.yaml"

    def rule(recipients: list[str]) -> None:
        config.write_text(json.dumps({"creation_rules": [{"age": ",".join(recipients)}]}))

    rule(public)
    for n in range(SECRETS):
        path = folder / f"s-{n}.json"
        path.write_text(json.dumps({"value": f"value {n}"}))
    every = sorted(folder.glob("s-*.json"))
    for path in every:
        words = ["sops", "encrypt", "--in-place", str(path)]
        subprocess.run(words, check=True, cwd=folder, env=environ)
    rule(public[1:])

    def update() -> None:
        for path in every:
            words = ["sops", "updatekeys", "--yes", str(path)]
            subprocess.run(words, check=True, cwd=folder, env=environ, capture_output=True)

    theirs_s = _seconds(update)
    line("sops updatekeys on as many files", f"{theirs_s:.2f} s")
    line("ours / sops updatekeys", f"{ours_s / theirs_s:.2f}×", "ours also commits and pushes")
