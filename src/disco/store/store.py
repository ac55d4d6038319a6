"""One stack's part of the store: named secrets, and files that are not secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from disco.engine.errors import DiscoError, NotThere
from disco.engine.place import Place
from disco.engine.secret import KeptRef, SecretRef, VersionRef
from disco.store import opening
from disco.store.redact import PUBLIC_FIELDS
from disco.store.team import layout
from disco.store.team.sealed import Content

Fields = dict[str, str]


class Shelf(Protocol):
    """Where the secrets and files of all stacks of a team are. Paths begin with a stack's name."""

    @property
    def is_there(self) -> bool: ...

    def begin(self) -> None:
        """Make it, where there is none yet."""

    def secrets(self) -> list[str]:
        """Paths of all secrets; nothing is opened."""

    def content(self, secret: str) -> Content:
        """Raises NotThere; DiscoError for what can't be opened, or is not to be believed."""

    def contents(self, secrets: Iterable[str]) -> dict[str, Content]:
        """Of those among them that this person may read."""

    def owed(self) -> Mapping[str, str]:
        """Secret -> why it has to be changed."""

    def files(self) -> Iterable[str]: ...

    def file(self, path: str) -> bytes | None: ...

    def agreed(self, path: str, *, ask: bool) -> bytes | None:
        """A file as everybody has it: what only this machine has of it yet does not count.

        ask: the others, now. Raises DiscoError where they can't be, or where both changed it.
        """

    def write(
        self,
        message: str,
        secrets: Mapping[str, Content | None] | None = None,
        files: Mapping[str, bytes | None] | None = None,
        pays: bool = True,
    ) -> None:
        """All of it or nothing; None removes. pays: what has another value is not owed any more."""


class Store:
    """Reads secrets and kept files of one stack, and writes them whole or not at all.

    A secret is a mapping of named fields. Values that were opened stay in this object's memory.
    """

    def __init__(self, place: Place, shelf: Shelf | None = None) -> None:
        self.place = place
        self._shelf = shelf
        self._opened: dict[str, Content] = {}

    @property
    def shelf(self) -> Shelf:
        """Looked for when it is needed first. Raises DiscoError, or PermissionError."""
        if self._shelf is None:
            self._shelf = opening.repository(self.place)
        return self._shelf

    @property
    def stack(self) -> str:
        return self.place.root.name

    def names(self) -> set[str]:
        """The secrets that exist; nothing is opened."""
        if not self.shelf.is_there:
            return set()
        mine = f"{self.stack}/"
        return {s.removeprefix(mine) for s in self.shelf.secrets() if s.startswith(mine)}

    def owed(self) -> dict[str, str]:
        """Those that have to be changed -> why: who may not read them any more knows them."""
        mine = f"{self.stack}/"
        found = self.shelf.owed() if self.shelf.is_there else {}
        return {s.removeprefix(mine): why for s, why in found.items() if s.startswith(mine)}

    def has(self, name: str) -> bool:
        return _checked(name) in self.names()

    def lookup(self, ref: SecretRef) -> str:
        """What a reference stands for. Only executors call this."""
        if isinstance(ref, VersionRef):
            return self.version(ref.name)
        if isinstance(ref, KeptRef):
            return self._kept_text(ref.name)
        fields = self.fields(ref.name)
        if ref.field not in fields:
            raise DiscoError(
                f"the secret {ref.name} has no field {ref.field}",
                where=self._path(ref.name),
                why=f"its fields are {', '.join(sorted(fields)) or 'none'}",
                fix="an older DISCO may have made it: see `disco plan` for what makes it anew",
            )
        return fields[ref.field]

    def fields(self, name: str) -> Fields:
        """All fields of a secret, with their values. Only executors call this."""
        return dict(self.content(name).fields)

    def version(self, name: str) -> str:
        """Another one with each other value of the secret; it tells nothing of the value."""
        return self.content(name).version

    def content(self, name: str) -> Content:
        """Raises NotThere; DiscoError for what can't be opened."""
        if name not in self._opened:
            path = self._path(name)
            if not self.shelf.is_there:
                raise _missing(path)
            try:
                self._opened[name] = self.shelf.content(path)
            except NotThere:
                raise _missing(path) from None
        return self._opened[name]

    def all_fields(self, names: Iterable[str]) -> dict[str, Fields]:
        """Of many at once; those that this person may not read have none."""
        paths = {self._path(n): n for n in names}
        if not self.shelf.is_there:
            return {}
        found = {paths[p]: c for p, c in self.shelf.contents(paths).items()}
        self._opened |= found
        return {n: dict(c.fields) for n, c in found.items()}

    def put(self, name: str, fields: Fields, *, pays: bool = True) -> None:
        """Write a secret, replacing what it was; a reader sees the old or the new, never less.

        pays: whether who knew the old value knows nothing of the new one; else it stays owed.
        """
        self._put({name: fields}, f"Set {self._path(name)}", pays)

    def put_all(
        self,
        secrets: Mapping[str, Fields | None],
        why: str,
        as_sealed: Mapping[str, bytes] | None = None,
        kept: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Write several at once: all of them or none. None removes.

        as_sealed: files of secrets as they were once, which may be for others than this person.
        kept: files that are not secret.
        """
        files = {self._kept(n): c for n, c in (kept or {}).items()}
        self._put(secrets, why, as_sealed=as_sealed, files=files)

    def sealed(self, name: str) -> bytes | None:
        """The file of a secret, as it is; also where it is not for this person."""
        return self.shelf.file(layout.file_of(self._path(name))) if self.has(name) else None

    def _put(
        self,
        secrets: Mapping[str, Fields | None],
        message: str,
        pays: bool = True,
        as_sealed: Mapping[str, bytes] | None = None,
        files: Mapping[str, bytes | None] | None = None,
    ) -> None:
        self.shelf.begin()
        contents = {
            n: None if f is None else Content.of(f, self._now(n)) for n, f in secrets.items()
        }
        sealed = {layout.file_of(self._path(n)): f for n, f in (as_sealed or {}).items()}
        named = {self._path(n): c for n, c in contents.items()}
        self.shelf.write(message, named, {**sealed, **(files or {})}, pays)
        for name in as_sealed or {}:
            self._opened.pop(name, None)
        for name, content in contents.items():
            if content is None:
                self._opened.pop(name, None)
            else:
                self._opened[name] = content

    def _now(self, name: str) -> Content | None:
        """None for what is not there or can't be opened: whatever is written is another value."""
        try:
            return self.content(name) if self.has(name) else None
        except DiscoError:
            return None

    def forget(self, name: str) -> None:
        """Remove a secret; nothing happens when there is none."""
        self._opened.pop(name, None)
        if self.has(name):
            path = self._path(name)
            self.shelf.write(f"Forget {path}", secrets={path: None})

    def has_kept(self, name: str) -> bool:
        path = self._kept(name)
        return self.shelf.is_there and path in self.shelf.files()

    def kept(self, name: str) -> bytes | None:
        """A file that is not secret, as it was kept, or None."""
        path = self._kept(name)
        return self.shelf.file(path) if self.shelf.is_there else None

    def _kept_text(self, name: str) -> str:
        content = self.kept(name)
        if content is None:
            raise NotThere(f"the file {name} is not kept yet", where=self.stack)
        return content.decode()

    def keep(self, name: str, content: bytes) -> None:
        """Keep a file that is not secret and can't be made again without the secrets."""
        path = self._kept(name)
        self.shelf.begin()
        self.shelf.write(f"Keep {path}", files={path: content})

    def discard(self, name: str) -> None:
        """Remove a kept file; nothing happens when there is none."""
        if self.has_kept(name):
            path = self._kept(name)
            self.shelf.write(f"Discard {path}", files={path: None})

    def revealed(self) -> tuple[str, ...]:
        """Every secret value that this process has opened, without public fields; for `redact`."""
        return tuple(
            value
            for content in self._opened.values()
            for field, value in content.fields.items()
            if field not in PUBLIC_FIELDS
        )

    def _path(self, name: str) -> str:
        return f"{self.stack}/{_checked(name)}"

    def _kept(self, name: str) -> str:
        return f"{layout.KEPT}{self.stack}/{_checked(name)}"


def _missing(path: str) -> NotThere:
    return NotThere(
        f"there is no secret {path}",
        fix="`disco plan` shows the step that makes it, `disco apply` makes it",
    )


def _checked(name: str) -> str:
    """A name that stays inside its folder, and whose file can't be another name's folder."""
    if not layout.is_name(name):
        raise DiscoError(
            f"{name!r} can't be the name of a secret or of a kept file",
            fix="use lower-case words joined by - . _ and /, for example kubernetes/ca",
        )
    return name
