"""`disco team`: who may read and change the store of a stack."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pydantic

from disco.cli import speak
from disco.cli.opened import opened
from disco.cli.stored import place_of, repository_of
from disco.engine.errors import Exit, WrongUse
from disco.store import opening, shared
from disco.store.store import Store
from disco.store.team import layout
from disco.store.team.keys import PublicKey
from disco.store.team.repository import Repository
from disco.store.team.roles import Role
from disco.store.team.team import Member, Team

HEADINGS = ["member", "role", "keys", "secrets it may read"]


def init(file: Path, team: str, name: str, remote: str, keys: tuple[Path, ...]) -> int:
    """Begin a team's store, with what the stack has kept for itself until now."""
    place = place_of(file)
    place.open()
    old = Store(place)
    opened(old)
    if shared.repository(old):
        raise WrongUse("the stack has a team's store already", where=str(place.root))
    new = opening.begin_team(place, old, team, name, remote, keys)
    speak.talk(f"{name} is the first admin of {team}.", "green")
    speak.talk(f"Others join with: disco store join {remote} --root {new.memory.known.root}")
    return int(Exit.DONE)


def add(file: Path, name: str, keys: tuple[str, ...], role: Role) -> int:
    """Add a member, or give one other keys or another role."""
    team_store = repository_of(file)
    before = team_store.team()
    member = _member(role, [_key(k) for k in keys])
    after = _changed(before, members={**before.members, name: member})
    verb = "Change" if name in before.members else "Add"
    sealed, owed = team_store.change_team(after, f"{verb} {name}")
    speak.talk(f"{name} is {role}; {sealed} secrets were sealed anew.", "green")
    _told(owed)
    return int(Exit.DONE)


def remove(file: Path, name: str, yes: bool) -> int:
    """Take a member out: seal all anew, and say what somebody has to change."""
    team_store = repository_of(file)
    before = team_store.team()
    if name not in before.members:
        raise WrongUse(f"{name} is no member", why=f"members are {', '.join(before.members)}")
    access = _access_without(team_store, name)
    read = [s for s in _secrets(team_store) if name in before.who_can_read(s)]
    speak.data_lines([[s] for s in read])
    speak.talk(f"{name} could read these {len(read)}; each has to be changed where it is used.")
    if not yes and speak.ask(f"Take {name} out of {before.team}? [y/N] ").lower() != "y":
        speak.talk("Nothing was changed.")
        return int(Exit.FAILED)
    members = {n: m for n, m in before.members.items() if n != name}
    after = _changed(before, members=members, access=access)
    sealed, owed = team_store.change_team(after, f"Remove {name}")
    speak.talk(f"{name} is out; {sealed} secrets were sealed anew.")
    _told(owed)
    return int(Exit.DONE)


def _access_without(repository: Repository, name: str) -> dict[str, tuple[str, ...]]:
    """The patterns when somebody has left; one that was for him alone goes. Raises WrongUse where
    nobody could read a secret any more."""
    team = repository.team()
    only = [
        s
        for s in _secrets(repository)
        if team.who_can_read(s) == (name,) and layout.holder_of(s) is None
    ]
    if only:
        raise WrongUse(
            f"nobody but {name} may read {', '.join(only)}",
            fix=f"ask for the values; disco secrets forget {only[0].partition('/')[2]} gives one "
            "up, and it can be set again when everybody may read it",
        )
    rules = {p: tuple(n for n in names if n != name) for p, names in team.access.items()}
    return {p: names for p, names in rules.items() if names}


def access(file: Path, pattern: str, names: tuple[str, ...]) -> int:
    """Say who may read the secrets that fit a pattern; nobody named: all members again."""
    team_store = repository_of(file)
    before = team_store.team()
    rules = {p: n for p, n in before.access.items() if p != pattern}
    after = _changed(before, access={**rules, pattern: names} if names else rules)
    told = ", ".join(names) or "everybody"
    sealed, owed = team_store.change_team(after, f"Let {told} read {pattern}")
    speak.talk(f"{told} may read {pattern}; {sealed} secrets were sealed anew.", "green")
    _told(owed)
    return int(Exit.DONE)


def rotate(file: Path, keys: tuple[Path, ...]) -> int:
    """Take other keys for myself; the old ones open nothing that is sealed from here on."""
    team_store = repository_of(file)
    if not team_store.url:
        raise WrongUse("the stack has no team's store", fix="disco team init")
    before, me = team_store.team(), team_store.me()
    fresh = opening.own_of(keys).public
    member = _member(before.members[me].role, fresh)
    after = _changed(before, members={**before.members, me: member})
    sealed, _ = team_store.change_team(after, f"Change the keys of {me}")
    speak.talk(f"{me} has other keys; {sealed} secrets were sealed anew.", "green")
    opening.use_keys(place_of(file), keys)
    return int(Exit.DONE)


def list_all(file: Path, as_json: bool) -> int:
    """Print the members, their roles and keys."""
    team_store = repository_of(file)
    team, secrets = team_store.team(), _secrets(team_store)
    if as_json:
        speak.data_json(team.model_dump(mode="json"))
        return int(Exit.DONE)
    rows = [
        [
            name,
            member.role.value,
            ", ".join(_short(k) for k in member.public),
            f"{sum(name in team.who_can_read(s) for s in secrets)} of {len(secrets)}",
        ]
        for name, member in sorted(team.members.items())
    ]
    speak.data_table(HEADINGS, rows)
    return int(Exit.DONE)


def verify(file: Path, as_json: bool) -> int:
    """Believe nothing that was looked at before: every commit, every secret's recipients."""
    team_store = repository_of(file)
    with speak.doing("verifying every commit"):
        commits, wrong = team_store.log(), team_store.wrong()
    team = team_store.team()
    if as_json:
        told = {"commits": len(commits), "root": team_store.memory.known.root, "wrong": wrong}
        speak.data_json({**told, "team": team.team, "version": team.version})
    for secret, why in wrong.items():
        speak.talk(f"{secret}: {why}", "red")
    if wrong:
        speak.talk("Whoever may read them seals them anew by setting them: disco secrets set")
        return int(Exit.RED)
    if not as_json:
        speak.talk(
            f"{len(commits)} commits since {team_store.memory.known.root[:12]}, each signed by a "
            f"member who may do what it does; {len(_secrets(team_store))} secrets sealed for whom "
            f"{team.team} names.",
            "green",
        )
    return int(Exit.DONE)


def _told(owed: list[str]) -> None:
    if owed:
        speak.talk(
            f"{len(owed)} secrets are to be changed: somebody who may not any more knows them."
        )
        speak.talk("disco secrets list --owed names them; disco check is red until then.")
        speak.talk("disco plan shows those that DISCO makes anew itself, with what uses them.")


def _secrets(repository: Repository) -> list[str]:
    return [s for s in repository.secrets() if not layout.is_state(s)]


def _key(text: str) -> PublicKey:
    """A key as it is typed: itself, or a file that has it."""
    path = Path(text).expanduser()
    line = text
    if " " not in text and not text.startswith("age1"):
        try:
            line = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUse("a key can't be read", where=text, why=type(error).__name__) from None
    if "PRIVATE KEY" in line or "SECRET-KEY" in line:
        raise WrongUse("that is a private key", where=text, fix="name its public half")
    try:
        return PublicKey.parse(line)
    except ValueError as error:
        raise WrongUse("that is no key", where=text, why=str(error)) from None


def _member(role: Role, keys: Iterable[PublicKey]) -> Member:
    try:
        return Member(role=role, keys=tuple(str(k) for k in keys))
    except pydantic.ValidationError as error:
        raise WrongUse("that can't be a member", why=_first(error)) from None


def _changed(team: Team, **fields: object) -> Team:
    try:
        return team.changed(**fields)
    except pydantic.ValidationError as error:
        raise WrongUse("that can't be a team", why=_first(error)) from None


def _first(error: pydantic.ValidationError) -> str:
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")


def _short(key: PublicKey) -> str:
    kind, _, rest = str(key).partition(" ")
    return f"{kind} …{rest[-8:]}" if rest else f"{kind[:12]}…"
