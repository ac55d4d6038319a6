"""The age identity that opens a stack's secrets: made once, at the first write, owner only."""

from __future__ import annotations

import os
from pathlib import Path

import pyrage  # type: ignore[import-untyped]

from disco.engine.errors import DiscoError
from disco.engine.place import write_atomically

OTHERS = 0o077


class NotOpened(Exception):
    """A ciphertext that was changed, cut short, or sealed for someone else."""


class Identity:
    """An age x25519 pair: seals for itself, opens what was sealed for it. Does not print itself."""

    def __init__(self, key: pyrage.x25519.Identity) -> None:
        self._key = key

    @classmethod
    def new(cls) -> Identity:
        return cls(pyrage.x25519.Identity.generate())

    @classmethod
    def parse(cls, text: str) -> Identity:
        """From `AGE-SECRET-KEY-1…`; ValueError, without the text, when it is not one."""
        try:
            return cls(pyrage.x25519.Identity.from_str(text))
        except pyrage.IdentityError as error:
            raise ValueError(str(error)) from None

    @property
    def recipient(self) -> str:
        """The public half, `age1…`."""
        return str(self._key.to_public())

    def reveal(self) -> str:
        return str(self._key)

    def seal(self, plain: bytes) -> bytes:
        sealed: bytes = pyrage.encrypt(plain, [self._key.to_public()])
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """Raises NotOpened."""
        try:
            plain: bytes = pyrage.decrypt(sealed, [self._key])
        except pyrage.DecryptError as error:
            raise NotOpened(str(error)) from None
        return plain


def load(path: Path) -> Identity:
    """The identity in a file; refused when it is missing, readable by others, or not one."""
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except FileNotFoundError:
        raise DiscoError(
            "the identity that opens the secrets is missing",
            where=str(path),
            fix="restore the file from a backup; without it the secrets can't be read",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, type(error).__name__) from None
    if mode & OTHERS:
        raise DiscoError(
            "the identity that opens the secrets is open to other users of this machine",
            where=str(path),
            why=f"its mode is {mode & 0o777:04o}",
            fix=f"chmod 600 {path}, and think about who may have read it",
        )
    return _parse(path, text)


def load_or_make(path: Path, sealed: Path) -> Identity:
    """The identity, made if this is the first use: never while `sealed` already holds secrets."""
    if path.exists() or any(sealed.rglob("*.age")):
        return load(path)
    identity = Identity.new()
    text = f"# public key: {identity.recipient}\n{identity.reveal()}\n"
    _write_once(path, text.encode())
    return load(path)


def _write_once(path: Path, content: bytes) -> None:
    """Like `write_atomically`, but the first writer wins: a lost identity is lost secrets."""
    candidate = path.with_name(f".{path.name}.{os.getpid()}")
    write_atomically(candidate, content)
    try:
        path.hardlink_to(candidate)
    except FileExistsError:
        return
    finally:
        candidate.unlink()
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make names that were added to or removed from a folder survive a power cut."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parse(path: Path, text: str) -> Identity:
    keys = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    if len(keys) != 1:
        raise _unreadable(path, f"it holds {len(keys)} keys, one is expected")
    try:
        return Identity.parse(keys[0])
    except ValueError:
        raise _unreadable(path, "its key is not an age x25519 identity") from None


def _unreadable(path: Path, why: str) -> DiscoError:
    return DiscoError(
        "the identity that opens the secrets can't be read",
        where=str(path),
        why=why,
        fix="restore the file from a backup",
    )
