"""People's keys: the public ones in team.yaml, and one's own, which sign and open."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]

from disco.engine.errors import DiscoError, WrongUse
from disco.store.team import plugins
from disco.store.team.plugins import Ask

VARIABLE = "DISCO_IDENTITY"
AGE, AGE_SECRET = "age1", "AGE-SECRET-KEY-"
SSH_OPENS = ("ssh-ed25519", "ssh-rsa")
SSH_SIGNS = (
    *SSH_OPENS,
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
OF_PLUGINS = "plugin"  # a stanza of a kind that only its plugin knows
OTHERS = 0o077
KEYGEN_S = 30


class NotOpened(Exception):
    """A ciphertext that was changed, cut short, or sealed for someone else."""


@dataclass(frozen=True)
class PublicKey:
    """`ssh-ed25519 AAAA…`, `age1…` or, of a plugin, `age1NAME1…`, without a comment."""

    text: str

    @classmethod
    def parse(cls, line: str) -> PublicKey:
        """Raises ValueError, with what is wrong, for anything that can neither sign nor open."""
        words = line.split()
        if not words:
            raise ValueError("it is empty")
        if words[0].startswith(AGE):
            key = cls(words[0])
        elif words[0] in SSH_SIGNS and len(words) > 1:
            key = cls(f"{words[0]} {words[1]}")
            if not key.blob.startswith(_string(words[0].encode())):
                raise ValueError(f"it is no {words[0]} key")
        else:
            raise ValueError(f"it is no SSH key and no age recipient: {line[:40]!r}")
        if key.opens:
            key.check()
        return key

    @property
    def is_ssh(self) -> bool:
        return not self.text.startswith(AGE)

    @property
    def signs(self) -> bool:
        return self.is_ssh

    @property
    def opens(self) -> bool:
        return not self.is_ssh or self.text.split()[0] in SSH_OPENS

    @property
    def blob(self) -> bytes:
        """An SSH key as it stands in signatures. Raises ValueError."""
        try:
            return base64.b64decode(self.text.split()[1], validate=True)
        except binascii.Error as error:
            raise ValueError(f"its base64 is damaged ({error})") from None

    @property
    def stanza(self) -> tuple[str, str]:
        """How an age header names this recipient: its type, and for SSH keys a tag."""
        if not self.is_ssh:
            return (OF_PLUGINS if plugins.is_plugins(self.text) else "X25519", "")
        tag = base64.b64encode(hashlib.sha256(self.blob).digest()[:4]).decode().rstrip("=")
        return (self.text.split()[0], tag)

    def check(self) -> None:
        """Raises ValueError for what can't be sealed for. No plugin is asked."""
        try:
            if self.is_ssh or not plugins.is_plugins(self.text):
                self.recipient()
            else:
                plugins.check(self.text)
        except pyrage.RecipientError as error:
            raise ValueError(str(error)) from None

    def recipient(self) -> Any:
        """For `pyrage.encrypt`. Raises WrongUse where a plugin is missing."""
        if self.is_ssh:
            return pyrage.ssh.Recipient.from_str(self.text)
        if plugins.is_plugins(self.text):
            return plugins.recipient(self.text)
        return pyrage.x25519.Recipient.from_str(self.text)

    def __str__(self) -> str:
        return self.text


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


class Own:
    """One person's keys on this machine: files that are read when a key is needed, not before.

    files: SSH private keys, SSH public keys whose private half an agent has, age identities, also
           those of plugins.
    ask:   for a passphrase or a PIN, by what it is for.
    """

    def __init__(self, files: Iterable[Path], ask: Ask | None = None) -> None:
        self.files = tuple(files)
        self._ask = plugins.Answers(ask) if ask else None

    @classmethod
    def from_environment(cls, default: Iterable[Path], ask: Ask) -> Own:
        """$DISCO_IDENTITY (files, separated by `:`), or else these."""
        named = os.environ.get(VARIABLE, "")
        files = [Path(p).expanduser().resolve() for p in named.split(os.pathsep) if p]
        return cls(files or default, ask)

    @cached_property
    def public(self) -> tuple[PublicKey, ...]:
        """The public halves, in the order of the files."""
        return tuple(key for path in self.files for key in _public(path))

    def signs_as(self, keys: Iterable[PublicKey]) -> Path | None:
        """The file of the first key that signs as one of these."""
        known = set(keys)
        for path in self.files:
            if any(k.signs and k in known for k in _public(path)):
                return path
        return None

    def open(self, sealed: bytes) -> bytes:
        """What an age file holds. Raises NotOpened."""
        try:
            plain: bytes = pyrage.decrypt(sealed, self._identities)
        except pyrage.DecryptError as error:
            self._answered(False)
            raise NotOpened(str(error)) from None
        self._answered(True)
        return plain

    def _answered(self, opened: bool) -> None:
        if self._ask:
            self._ask.opened(opened)

    @cached_property
    def _identities(self) -> list[Any]:
        found = [i for path in self.files for i in self._identities_in(path)]
        if not found:
            raise WrongUse(
                "no key on this machine can open secrets",
                where=":".join(map(str, self.files)),
                fix=f"name an SSH private key or an age identity in {VARIABLE}",
            )
        return found

    def _identities_in(self, path: Path) -> list[Any]:
        if _is_public(path):
            return []
        text = _private(path)
        if AGE_SECRET in text or plugins.SECRET in text:
            plain, of_plugins = _age_keys(path, text)
            try:
                return [*plain, *plugins.identities(of_plugins, str(path), self._ask)]
            except pyrage.IdentityError:
                raise _no_identity(path) from None
        try:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        except pyrage.IdentityError:
            return [self._with_passphrase(path, text)]

    def _with_passphrase(self, path: Path, text: str) -> Any:
        """An encrypted SSH key, opened in memory."""
        import asyncssh  # takes a moment, and is needed for few keys

        if self._ask is None:
            raise _unusable(path, "it has a passphrase, and nobody can be asked for it")
        try:
            key = asyncssh.import_private_key(text, self._ask(f"passphrase of {path}"))
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
            raise _unusable(path, str(error)) from None
        try:
            return pyrage.ssh.Identity.from_buffer(key.export_private_key("openssh"))
        except pyrage.IdentityError as error:
            raise _unusable(path, str(error)) from None


def make(path: Path, name: str) -> None:
    """A new SSH key of its own in a file, without a passphrase; the first writer wins."""
    candidate = path.with_name(f".{path.name}.{os.getpid()}")
    for old in (candidate, candidate.with_name(f"{candidate.name}.pub")):
        old.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(candidate)]
    subprocess.run(words, check=True, timeout=KEYGEN_S, stdin=subprocess.DEVNULL)
    try:
        path.hardlink_to(candidate)
    except FileExistsError:
        return
    finally:
        candidate.unlink()
        candidate.with_name(f"{candidate.name}.pub").unlink()


def _public(path: Path) -> list[PublicKey]:
    """The public halves in a file: of an SSH key the one beside it, or the one inside."""
    if _is_public(path):
        return [_parsed(path, _text(path))]
    text = _private(path)
    if AGE_SECRET in text or plugins.SECRET in text:
        plain, of_plugins = _age_keys(path, text)
        named = [_parsed(path, r) for r in plugins.named_in(text)] if of_plugins else []
        if of_plugins and not any(k.stanza[0] == OF_PLUGINS for k in named):
            raise _unusable(path, "no comment in it names the recipient: # recipient: age1…")
        mine = [PublicKey(str(key.to_public())) for key in plain]
        return list(dict.fromkeys([*mine, *named]))
    return [_parsed(path, _inside(path, text))]


def _parsed(path: Path, line: str) -> PublicKey:
    try:
        return PublicKey.parse(line)
    except ValueError as error:
        raise _unusable(path, str(error)) from None


def _inside(path: Path, text: str) -> str:
    """An OpenSSH private key file has its public half in clear, also when it is encrypted."""
    import asyncssh

    beside = path.with_name(f"{path.name}.pub")
    if beside.is_file():
        return _text(beside)
    try:
        return str(asyncssh.import_private_key(text).export_public_key("openssh").decode())
    except asyncssh.KeyEncryptionError:
        raise _unusable(path, f"it is encrypted, and {beside.name} is not beside it") from None
    except (asyncssh.KeyImportError, ValueError) as error:
        raise _unusable(path, str(error)) from None


def _age_keys(path: Path, text: str) -> tuple[list[Any], list[str]]:
    """The age identities in a file, and the lines of plugins'; an error never has its text."""
    lines = [x.strip() for x in text.splitlines() if x.strip() and not x.startswith("#")]
    if not lines:
        raise _unusable(path, "it holds no key")
    of_plugins = [line for line in lines if line.startswith(plugins.SECRET)]
    try:
        plain = [pyrage.x25519.Identity.from_str(x) for x in lines if x not in of_plugins]
    except pyrage.IdentityError:
        raise _no_identity(path) from None
    return plain, of_plugins


def _no_identity(path: Path) -> DiscoError:
    return _unusable(path, "it holds something that is no age identity")


def _is_public(path: Path) -> bool:
    return path.suffix == ".pub"


def _private(path: Path) -> str:
    text = _text(path)
    mode = path.stat().st_mode
    if mode & OTHERS:
        raise DiscoError(
            "a private key is open to other users of this machine",
            where=str(path),
            why=f"its mode is {mode & 0o777:04o}",
            fix=f"chmod 600 {path}, and think about who may have read it",
        )
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise WrongUse(
            "there is no such key",
            where=str(path),
            fix=f"ssh-keygen -t ed25519 makes one; {VARIABLE} names the one to use",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, type(error).__name__) from None


def _unusable(path: Path, why: str) -> DiscoError:
    return DiscoError("a key can't be used", where=str(path), why=why, fix=f"see {VARIABLE}")
