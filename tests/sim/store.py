"""The real store, with points at which it can be killed, and secrets that tell where they leaked.

What a generator would draw at random is a function of the secret's name and of how often it was
made before. So two runs of one stack can be compared, and a secret that is made twice shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path

from disco.engine.errors import NotThere
from disco.engine.gate import Report
from disco.engine.place import Place, write_atomically
from disco.store.actions import Remember, remember
from disco.store.generate import Generator
from disco.store.redact import PUBLIC_FIELDS
from disco.store.store import Store
from disco.store.team import layout
from disco.store.team.sealed import Content
from sim import certificates, listing
from sim.simulation import Simulation

CANARY = "CANARY"


class Folder:
    """A shelf of plain files; the real one is proven by itself, and takes git some milliseconds."""

    is_there = True

    def __init__(self, top: Path) -> None:
        self._top = top

    def begin(self) -> None:
        """There is nothing to make."""

    def secrets(self) -> list[str]:
        return list(_secrets_among(listing.files_below(self._top)))

    def files(self) -> list[str]:
        return list(listing.files_below(self._top))

    def content(self, secret: str) -> Content:
        """Its version is made of its value: the same in two runs that are compared."""
        content = self.file(layout.file_of(secret))
        if content is None:
            raise NotThere(f"there is no secret {secret}")
        return Content(json.loads(content), hashlib.sha256(content).hexdigest()[:16])

    def contents(self, secrets: Iterable[str]) -> dict[str, Content]:
        return {s: self.content(s) for s in secrets}

    def owed(self) -> dict[str, str]:
        return {s: "somebody left" for p in self.files() if (s := layout.owing(p))}

    def file(self, path: str) -> bytes | None:
        try:
            return (self._top / path).read_bytes()
        except FileNotFoundError:
            return None

    def agreed(self, path: str, *, ask: bool) -> bytes | None:
        return self.file(path)

    def write(
        self,
        message: str,
        secrets: Mapping[str, Content | None] | None = None,
        files: Mapping[str, bytes | None] | None = None,
        pays: bool = True,
    ) -> None:
        contents = dict(files or {})
        for secret, new in (secrets or {}).items():
            contents[layout.file_of(secret)] = new and json.dumps(new.fields).encode()
            contents[layout.owed_of(secret)] = None
        try:
            for path, content in contents.items():
                if content is None:
                    (self._top / path).unlink(missing_ok=True)
                else:
                    write_atomically(self._top / path, content)
        finally:
            listing.changed(self._top)


@lru_cache(maxsize=64)
def _secrets_among(files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(s for s in map(layout.secret_of, files) if s)


def simulated(place: Place) -> Store:
    """Opened anew, as another process would."""
    return Store(place, Folder(place.root / "store"))


class SimulatedStore(Store):
    def __init__(self, place: Place, simulation: Simulation) -> None:
        super().__init__(place, Folder(place.root / "store"))
        self._simulation = simulation

    def put(self, name: str, fields: dict[str, str]) -> None:
        self._simulation.tick(f"before the secret {name} is written")
        super().put(name, fields)
        del self._opened[name]  # with a version at random, which is the shelf's here
        self._simulation.count(f"secret {name}")
        self._simulation.tick(f"after the secret {name} was written")

    def put_all(
        self,
        secrets: Mapping[str, dict[str, str] | None],
        why: str,
        as_sealed: Mapping[str, bytes] | None = None,
        kept: Mapping[str, bytes | None] | None = None,
    ) -> None:
        names = ", ".join(sorted(n for n, f in secrets.items() if f is not None))
        self._simulation.tick(f"before the secrets {names} are written")
        super().put_all(secrets, why, as_sealed, kept)
        for name in secrets:
            self._opened.pop(name, None)
            self._simulation.count(f"secret {name}")
        self._simulation.tick(f"after the secrets {names} were written")

    def forget(self, name: str) -> None:
        super().forget(name)
        self._simulation.tick(f"after the secret {name} was forgotten")

    def keep(self, name: str, content: bytes) -> None:
        self._simulation.tick(f"before the file {name} is kept")
        super().keep(name, content)
        self._simulation.tick(f"after the file {name} was kept")

    def discard(self, name: str) -> None:
        super().discard(name)
        self._simulation.tick(f"after the file {name} was discarded")


@dataclasses.dataclass(frozen=True)
class Canary(Generator):
    """Fields like those of the real generator; secret ones hold the word CANARY."""

    name: str
    fields: tuple[str, ...]
    nth: int

    def describe(self) -> str:
        return "a secret of the simulation"

    def make(self) -> dict[str, str]:
        made = {
            f: f"{'public' if f in PUBLIC_FIELDS else CANARY}:{self.name}:{f}:{self.nth}"
            for f in self.fields
        }
        if set(made) == {"crt", "key"}:
            made["crt"] = certificates.authority(self.name, self.nth)
        return made


@cache
def fields_of(generator: Generator) -> tuple[str, ...]:
    """What a real generator gives; asked once, since some take a tenth of a second."""
    return tuple(generator.make())


async def remember_canary(
    action: Remember, store: Store, simulation: Simulation, report: Report
) -> None:
    """The real executor, with a generator that can be recognised."""
    nth = simulation.state.counts[f"secret {action.secret}"] + 1
    same = _without_parameters(action.generate)
    canary = Canary(action.secret, fields_of(same), nth)
    await remember(dataclasses.replace(action, generate=canary), store, report)


def _without_parameters(generator: Generator) -> Generator:
    """One of each kind is enough to learn its fields."""
    return _FIRST.setdefault(type(generator), generator)


_FIRST: dict[type[Generator], Generator] = {}
