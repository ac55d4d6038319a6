"""Which store a stack uses: its team's, or one of its own that is made at the first secret."""

from __future__ import annotations

import getpass
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from disco.engine.errors import DiscoError, WrongUse
from disco.engine.place import Place, write_atomically
from disco.store.team import keys, layout
from disco.store.team.git import BRANCH, ZERO
from disco.store.team.keys import Own
from disco.store.team.layout import DECLARED, FIELD
from disco.store.team.memory import Memory
from disco.store.team.repository import Repository, begin, join
from disco.store.team.sealed import Content

if TYPE_CHECKING:
    from disco.store.store import Store

ALONE = "local"  # the member of a store that was made by itself
SETTINGS = "store.json"
REPOSITORY, SEEN = "store.git", "store-seen.json"
TEAM_REPOSITORY, TEAM_SEEN = "team.git", "team-seen.json"
DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_rsa")


class StackRepository(Repository):
    """A stack's own store, made at the first secret: a team of one, on this machine."""

    def __init__(self, place: Place) -> None:
        memory = Memory(place.root / SEEN)
        super().__init__(place.root / REPOSITORY, Own([place.identity]), memory)
        self._place = place

    def begin(self) -> None:
        if self.is_there:
            return
        self._place.open()
        if not self._place.identity.exists():
            keys.make(self._place.identity, f"disco {self._place.root.name}")
        begin(self, self._place.root.name, ALONE)


def repository(place: Place) -> Repository:
    """A stack's store. Raises DiscoError for settings that can't be read, or PermissionError."""
    settings = _settings(place)
    if settings is None:
        return StackRepository(place)
    return team_repository(place, settings.remote, settings.root, settings.keys)


def team_repository(place: Place, url: str, root: str, files: Iterable[str] = ()) -> Repository:
    """A clone of a team's store. root: its first commit, empty for one to be begun. files: of the
    person's keys; $DISCO_IDENTITY goes before them."""
    if url.startswith("-"):
        raise WrongUse("a remote can't begin with -: git would take it for an option", where=url)
    own = own_of(tuple(Path(f) for f in files))
    newest = Memory(seen_file(root)) if root else None
    memory = Memory(place.root / TEAM_SEEN)
    return Repository(place.root / TEAM_REPOSITORY, own, memory, url, newest)


def own_of(files: Iterable[Path]) -> Own:
    named = [f.expanduser().resolve() for f in files]
    return Own.from_environment(named or default_keys(), ask_passphrase)


def begin_team(
    place: Place, old: Store, team: str, name: str, url: str, files: tuple[Path, ...]
) -> Repository:
    """A team's store, with everything that the stack's own has, in one commit; then the own one
    goes. Killed anywhere, the stack has the one or the other."""
    new = team_repository(place, url, "", map(str, files))
    if not new.is_there:
        new.git.init()
        if new.git.remote_ref(url, BRANCH) != ZERO:
            raise WrongUse("the remote has a store already", where=url, fix="disco store join")
        begin(new, team, name)
    secrets = {f"{old.stack}/{n}": old.content(n) for n in old.names()}
    own = old.shelf
    kept = {p: own.file(p) for p in own.files() if p.startswith(layout.KEPT)} if secrets else {}
    kept[f"{layout.KEPT}{old.stack}/id"] = f"{place.id}\n".encode()
    if place.declared.exists():
        secrets[f"{old.stack}/{DECLARED}"] = Content.of({FIELD: place.declared.read_text()})
    new.write("Take over what the stack had for itself", secrets, kept)
    remember_team(place, url, new.memory.known.root, files)
    Memory(seen_file(new.memory.known.root)).note(shared=new.memory.known.shared)
    shutil.rmtree(place.root / REPOSITORY, ignore_errors=True)
    (place.root / SEEN).unlink(missing_ok=True)
    place.identity.unlink(missing_ok=True)
    return new


def join_team(place: Place, url: str, root: str, files: tuple[Path, ...]) -> Repository:
    """A clone of a team's store, for a stack that has no secrets of its own here."""
    if StackRepository(place).is_there:
        raise WrongUse(
            "the stack has a store of its own on this machine",
            where=str(place.root),
            fix="disco team init makes a team's of it; or join where the stack was not up yet",
        )
    place.open()
    shutil.rmtree(place.root / TEAM_REPOSITORY, ignore_errors=True)
    (place.root / TEAM_SEEN).unlink(missing_ok=True)
    joined = team_repository(place, url, root, map(str, files))
    join(joined, root)
    remember_team(place, url, root, files)
    return joined


def use_keys(place: Place, files: tuple[Path, ...]) -> None:
    """Open the team's store with other keys from here on."""
    if settings := _settings(place):
        remember_team(place, settings.remote, settings.root, files)


def default_keys() -> list[Path]:
    """The first of ssh's usual keys that is there, or the first of all."""
    usual = [Path(p).expanduser() for p in DEFAULT_KEYS]
    return [next((p for p in usual if p.exists()), usual[0])]


def seen_file(root: str) -> Path:
    """What this account has seen of a store at its remote: outside of any clone of it."""
    return platformdirs.user_state_path("disco") / "stores" / f"{root}.json"


def remember_team(place: Place, url: str, root: str, files: Iterable[Path]) -> None:
    settings = Settings(
        remote=url, root=root, keys=tuple(str(f.expanduser().resolve()) for f in files)
    )
    write_atomically(place.root / SETTINGS, settings.content())


@dataclass(frozen=True)
class Settings:
    """Where a team's store is, its first commit, and with which keys this person opens it."""

    remote: str
    root: str
    keys: tuple[str, ...] = ()

    @classmethod
    def parse(cls, content: bytes) -> Settings:
        """Raises ValueError."""
        try:
            found = json.loads(content)
            remote, root, keys = found["remote"], found["root"], found.get("keys", [])
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is no settings ({type(error).__name__})") from None
        if not isinstance(keys, list):
            raise ValueError("its keys are no list")
        if not all(isinstance(x, str) for x in (remote, root, *keys)):
            raise ValueError("a value in it is no text")
        if remote.startswith("-"):
            raise ValueError("its remote begins with -, which git would take for an option")
        return cls(remote, root, tuple(keys))

    def content(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode() + b"\n"


def _settings(place: Place) -> Settings | None:
    path = place.root / SETTINGS
    try:
        return Settings.parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise DiscoError(
            "the settings of the stack's store can't be read",
            where=str(path),
            why=str(error),
            fix="restore the file from a backup, or join the team's store again: disco store join",
        ) from None


def ask_passphrase(what: str) -> str:
    return getpass.getpass(f"{what}: ")


def _whole(path: Path) -> str:
    return str(path.expanduser().resolve())
