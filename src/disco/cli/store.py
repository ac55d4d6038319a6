"""`disco store`: the repository that a team's secrets, state and lock are in."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]

from disco.cli import speak
from disco.cli.opened import opened
from disco.cli.stored import commit_data, place_of, repository_of, said
from disco.engine.errors import DiscoError, Exit, WrongUse
from disco.engine.place import write_atomically
from disco.store import opening, shared
from disco.store.store import Store
from disco.store.team import layout
from disco.store.team.keys import PublicKey
from disco.store.team.remote_lock import TeamLock
from disco.store.team.repository import Repository

LOG_HEADINGS = ["when", "who", "what", "commit"]
LOCK_HEADINGS = ["when", "act", "by", "holder", "command", "token"]
ENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
SOPS_S = 120


def join(file: Path, remote: str, root: str, keys: tuple[Path, ...]) -> int:
    """Take part in a team's store."""
    place = place_of(file)
    if not re.fullmatch(r"[0-9a-f]{40}", root):
        raise WrongUse(
            "a store is known by its first commit, 40 hex digits",
            where=root,
            fix="a member has it from: disco store status",
        )
    joined = opening.join_team(place, remote, root, keys)
    shared.take_id(Store(place), makes=False)
    team = joined.team()
    me = team.name_of(joined.own.public)
    told = f"you are {me}, {team.members[me].role}" if me else "none of your keys is a member's"
    speak.talk(f"Joined {team.team}: {told}.", "green" if me else "yellow")
    return int(Exit.DONE)


def status(file: Path, as_json: bool) -> int:
    """Where the store is, how far it is shared, who I am in it, who has the lock."""
    place, repository = place_of(file), repository_of(file)
    team, known = repository.team(), repository.memory.known
    waiting = len(repository.git.between(known.shared, repository.head())) if repository.url else 0
    holder = _lock(place.root.name, repository).last_holder() if repository.url else None
    found: dict[str, Any] = {
        "team": team.team,
        "version": team.version,
        "me": team.name_of(repository.own.public) or "nobody in it",
        "remote": repository.url or "none: on this machine alone",
        "first commit": known.root,
        "newest commit": repository.head(),
        "commits to push": waiting,
        "secrets": len([s for s in repository.secrets() if s.startswith(f"{place.root.name}/")]),
        "secrets to change": len(repository.owed()),
        "lock": f"{holder.who} runs `disco {holder.what}`" if holder and holder.alive else "free",
    }
    if as_json:
        speak.data_json({k.replace(" ", "_"): v for k, v in found.items()})
    else:
        speak.data_lines([[k, str(v)] for k, v in found.items()])
    return int(Exit.DONE)


def sync(file: Path, mine: tuple[str, ...], theirs: tuple[str, ...], as_json: bool) -> int:
    """Take what the others did, give them what was done here."""
    place = place_of(file)
    store = Store(place)
    opened(store)
    repository = shared.repository(store)
    if repository is None:
        raise WrongUse("the stack has no team's store", fix="disco team init, or disco store join")
    choose = {_path(place.root.name, n): True for n in mine}
    choose |= {_path(place.root.name, n): False for n in theirs}
    done = repository.sync(choose)
    if as_json:
        speak.data_json({"pulled": done.pulled, "pushed": done.pushed})
    else:
        speak.talk(f"{done.pulled} commits came, {done.pushed} went.", "green")
    return int(Exit.DONE)


def _path(stack: str, name: str) -> str:
    """A path in the repository, of a secret with or without its stack, or as it is."""
    if name.startswith((layout.SECRETS, layout.KEPT)) or name in ("team.yaml",):
        return name
    whole = name if name.startswith(f"{stack}/") else f"{stack}/{name}"
    return layout.file_of(whole)


def log(file: Path, as_json: bool) -> int:
    """Every change, verified, with the member who signed it."""
    commits = repository_of(file).log()
    if as_json:
        speak.data_json([commit_data(c) for c in commits])
    else:
        rows = [[f"{c.at:%Y-%m-%d %H:%M:%S}", c.by, said(c), c.id[:12]] for c in commits]
        speak.data_table(LOG_HEADINGS, rows)
    return int(Exit.DONE)


def lock(file: Path, breaks: bool, yes: bool, as_json: bool) -> int:
    """What was done to the stack's lock; or break it."""
    place, repository = place_of(file), repository_of(file)
    if not repository.url:
        raise WrongUse("a stack of this machine alone frees its lock by itself")
    team_lock = _lock(place.root.name, repository)
    if breaks:
        return _break(team_lock, yes)
    acts = team_lock.acts()
    if as_json:
        speak.data_json([vars(a) for a in acts])
    else:
        rows = [
            [_when(a.at), a.act, a.by, f"{a.who} ({a.pid})", a.what, str(a.token)] for a in acts
        ]
        speak.data_table(LOCK_HEADINGS, rows)
    return int(Exit.DONE)


def _break(team_lock: TeamLock, yes: bool) -> int:
    holder = team_lock.last_holder()
    if holder is None or not holder.alive:
        speak.talk("Nobody holds it.")
        return int(Exit.DONE)
    speak.talk(f"{holder.who} runs `disco {holder.what}` (process {holder.pid}).", "yellow")
    question = "Is that run dead for sure? What it still does is stopped at its next action. [y/N] "
    if not yes and speak.ask(question).lower() != "y":
        speak.talk("Nothing was changed.")
        return int(Exit.FAILED)
    team_lock.break_it()
    speak.talk("Broken; the next run has it. The act is signed: disco store lock", "green")
    return int(Exit.DONE)


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _lock(stack: str, repository: Repository) -> TeamLock:
    return TeamLock(repository, stack)


def export(file: Path, to: Path, recipients: tuple[str, ...]) -> int:
    """All secrets that I may read, as one age file of JSON for somebody else's key."""
    place = place_of(file)
    store = Store(place)
    opened(store)
    try:
        keys = [PublicKey.parse(r).recipient() for r in recipients]
    except ValueError as error:
        raise WrongUse("that is no key that secrets can be sealed for", why=str(error)) from None
    if to.exists():
        raise WrongUse("there is a file already", where=str(to))
    names = [n for n in sorted(store.names()) if not layout.is_state(f"{store.stack}/{n}")]
    content = json.dumps({n: store.fields(n) for n in names}, indent=1).encode()
    write_atomically(to, pyrage.encrypt(content, keys))
    speak.talk(f"{len(names)} secrets are in {to}; `age -d` with that key shows them.", "green")
    return int(Exit.DONE)


def take_in(file: Path, source: str, what: str, under: str) -> int:
    """Secrets from a sops file, a .env file, or the cluster: one commit."""
    place = place_of(file)
    store = Store(place)
    opened(store)
    secrets = {f"{under}/{n}" if under else n: f for n, f in SOURCES[source](file, what).items()}
    if not secrets:
        raise WrongUse("there is nothing in it", where=what)
    wrong = [n for n in secrets if not layout.is_name(n)]
    if wrong:
        raise WrongUse(f"{wrong[0]!r} can't be the name of a secret", fix="see --under")
    there = sorted(secrets.keys() & store.names())
    if there:
        raise WrongUse(f"there is a secret {there[0]} already", fix="see --under")
    store.put_all(secrets, f"Import {len(secrets)} secrets from {source}")
    speak.data_lines([[n, ", ".join(sorted(f))] for n, f in sorted(secrets.items())])
    speak.talk(f"{len(secrets)} secrets are in the store.", "green")
    return int(Exit.DONE)


Found = dict[str, dict[str, str]]


def _env(_: Path, what: str) -> Found:
    """Each variable is a secret of its own."""
    found: Found = {}
    for number, line in enumerate(_text(Path(what)).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parsed = ENV_LINE.fullmatch(line.strip())
        if not parsed:
            raise WrongUse("that is no NAME=VALUE", where=f"{what}:{number}")
        value = parsed[2]
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[parsed[1].lower().replace("_", "-").strip("-")] = {"value": value}
    return found


def _sops(_: Path, what: str) -> Found:
    """Each leaf of the file is a secret; sops opens it with the keys that it knows."""
    try:
        words = ["sops", "--decrypt", "--output-type", "json", what]
        done = subprocess.run(words, capture_output=True, timeout=SOPS_S)
    except FileNotFoundError:
        raise DiscoError("sops is not installed", fix="install it; it has the keys") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")[-300:]
        raise DiscoError("sops could not open the file", where=what, why=said)
    found: Found = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, dict | list):
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in parts:
                walk(inner, (*path, str(key)))
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            name = "/".join(re.sub(r"[^a-z0-9]+", "-", p.lower()).strip("-") for p in path)
            found[name] = {"value": text}

    walk(json.loads(done.stdout), ())
    return found


def _kubernetes(file: Path, what: str) -> Found:
    """NAMESPACE/NAME of a Secret of the stack's cluster, with its fields; or all of a namespace."""
    from disco.cli.target import cluster_of, must_have_cluster
    from disco.cli.wiring import open_stack

    namespace, _, name = what.partition("/")

    async def look() -> list[dict[str, Any]]:
        async with open_stack(file) as session:
            cluster = must_have_cluster(cluster_of(await session.components()))
            path = f"/api/v1/namespaces/{namespace}/secrets"
            if name:
                return [await session.kube.get(cluster, f"{path}/{name}")]
            return list((await session.kube.get(cluster, path))["items"])

    return {
        f"{namespace}/{s['metadata']['name']}".replace(".", "-"): {
            k: base64.b64decode(v).decode(errors="surrogateescape")
            for k, v in s.get("data", {}).items()
        }
        for s in asyncio.run(look())
        if s.get("data")
    }


SOURCES: dict[str, Callable[[Path, str], Found]] = {
    "env": _env,
    "sops": _sops,
    "kubernetes": _kubernetes,
}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse("a file can't be read", where=str(path), why=type(error).__name__) from None
