"""The secrets of one stack on this machine: one age file each, opened where a value is used."""

from __future__ import annotations

import json
import re
from pathlib import Path

from disco.engine.errors import DiscoError, NotThere
from disco.engine.place import Place, write_atomically
from disco.engine.secret import SecretRef
from disco.store import identity
from disco.store.generate import PUBLIC_FIELDS

SUFFIX = ".age"
NAME = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


class Store:
    """Reads secrets and kept files, and writes them whole or not at all.

    A secret is a mapping of named fields. Values that were opened stay in this object's memory.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._opened: dict[str, dict[str, str]] = {}

    def names(self) -> set[str]:
        """The secrets that exist; nothing is opened."""
        top = self.place.secrets
        found = (p.relative_to(top).as_posix() for p in top.rglob(f"*{SUFFIX}"))
        return {n.removesuffix(SUFFIX) for n in found if NAME.fullmatch(n)}

    def has(self, name: str) -> bool:
        return self._path(name).is_file()

    def lookup(self, ref: SecretRef) -> str:
        """The value of one field. Only executors call this."""
        fields = self.fields(ref.name)
        if ref.field not in fields:
            raise DiscoError(
                f"the secret {ref.name} has no field {ref.field}",
                where=str(self._path(ref.name)),
                why=f"its fields are {', '.join(sorted(fields)) or 'none'}",
                fix="an older DISCO may have made it: see `disco plan` for what makes it anew",
            )
        return fields[ref.field]

    def fields(self, name: str) -> dict[str, str]:
        """All fields of a secret, with their values. Only executors call this."""
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return dict(self._opened[name])

    def put(self, name: str, fields: dict[str, str]) -> None:
        """Write a secret, replacing what it was; a reader sees the old or the new, never less."""
        path = self._path(name)
        key = identity.load_or_make(self.place.identity, self.place.secrets)
        write_atomically(path, key.seal(json.dumps(fields, sort_keys=True).encode()))
        self._opened[name] = dict(fields)

    def forget(self, name: str) -> None:
        """Remove a secret; nothing happens when there is none."""
        self._opened.pop(name, None)
        _remove(self._path(name))

    def has_kept(self, name: str) -> bool:
        return self._kept_path(name).is_file()

    def kept(self, name: str) -> bytes | None:
        """A file that is not secret, as it was kept, or None."""
        try:
            return self._kept_path(name).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, name: str, content: bytes) -> None:
        """Keep a file that is not secret and can't be made again without the secrets."""
        write_atomically(self._kept_path(name), content)

    def discard(self, name: str) -> None:
        """Remove a kept file; nothing happens when there is none."""
        _remove(self._kept_path(name))

    def revealed(self) -> tuple[str, ...]:
        """Every secret value that this process has opened, without public fields; for `redact`."""
        return tuple(
            value
            for fields in self._opened.values()
            for field, value in fields.items()
            if field not in PUBLIC_FIELDS
        )

    def _open(self, name: str) -> dict[str, str]:
        path = self._path(name)
        try:
            sealed = path.read_bytes()
        except FileNotFoundError:
            raise NotThere(
                f"there is no secret {name}",
                where=str(path),
                fix="`disco plan` shows the step that makes it, `disco apply` makes it",
            ) from None
        key = identity.load(self.place.identity)
        try:
            plain = key.open(sealed)
        except identity.NotOpened as error:
            raise _damaged(path, str(error), self.place.identity) from None
        fields = _parse(plain)
        if fields is None:
            raise _damaged(path, "its content is not named fields", self.place.identity)
        return fields

    def _path(self, name: str) -> Path:
        return self.place.secrets / f"{_checked(name)}{SUFFIX}"

    def _kept_path(self, name: str) -> Path:
        return self.place.kept / _checked(name)


def _checked(name: str) -> str:
    """A name that stays inside its folder, and whose file can't be another name's folder."""
    if not NAME.fullmatch(name) or any(part.endswith(SUFFIX) for part in name.split("/")):
        raise DiscoError(
            f"{name!r} can't be the name of a secret or of a kept file",
            fix="use lower-case words joined by - . _ and /, for example kubernetes/ca",
        )
    return name


def _parse(plain: bytes) -> dict[str, str] | None:
    """The fields, or None: an error raised in here would carry the plain text with it."""
    try:
        fields = json.loads(plain)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not all(isinstance(v, str) for v in fields.values()):
        return None
    return fields


def _damaged(path: Path, why: str, key: Path) -> DiscoError:
    return DiscoError(
        "a secret can't be opened: its file is damaged, or sealed for another identity",
        where=str(path),
        why=why,
        fix=f"restore {path.name} and {key.name} from the same backup",
    )


def _remove(path: Path) -> None:
    if path.exists():
        path.unlink()
        identity.sync_folder(path.parent)
