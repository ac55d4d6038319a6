"""Where things are in the repository.

team.yaml, team.yaml.sig        who is in it, and an admin's signature over that
secrets/STACK/COMPONENT/NAME.age   one age file per secret
kept/STACK/…                    files that are not secret: a genesis, a certificate
secrets/STACK/vault/share-MEMBER.age   a share of the vault's key, for that member alone
owed/STACK/COMPONENT/NAME.owed  a secret that somebody who left could read, and nobody changed yet
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FILE, SIGNATURE = "team.yaml", "team.yaml.sig"
NAMESPACE = "disco-team"  # of the SSH signature over team.yaml
SECRETS, SUFFIX = "secrets/", ".age"
STATE, FIELD = "state", "json"  # of a stack; sealed like secrets
DECLARED, RUNS = f"{STATE}/declared", f"{STATE}/runs"
VAULT_KEYS, SHARE = "vault/init", "vault/share-"
KEPT, OWED, MARK = "kept/", "owed/", ".owed"
NAME = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def is_name(name: str) -> bool:
    """Whether it stays inside its folder, and its file can't be another name's folder."""
    parts = name.split("/")
    return bool(NAME.fullmatch(name)) and not any(p.endswith((SUFFIX, MARK)) for p in parts)


def is_path(path: str) -> bool:
    """Whether it can be the path of a file of the store: none that leaves, hides or paints."""
    return bool(NAME.fullmatch(path))


def is_state(secret: str) -> bool:
    """Whether DISCO keeps it of a stack's runs, and it is nothing of a person's or component's."""
    return secret.partition("/")[2].startswith(f"{STATE}/")


def share_of(member: str) -> str:
    """The secret, within its stack, that is a member's share of the vault's key."""
    return f"{SHARE}{member}"


def holder_of(secret: str) -> str | None:
    """The member whose share it is, or None. secret: STACK/COMPONENT/NAME."""
    name = secret.partition("/")[2]
    return name.removeprefix(SHARE) if name.startswith(SHARE) else None


def file_of(secret: str) -> str:
    return f"{SECRETS}{secret}{SUFFIX}"


def secret_of(path: str) -> str | None:
    """The secret whose file it is, STACK/COMPONENT/NAME, or None."""
    if not (path.startswith(SECRETS) and path.endswith(SUFFIX)):
        return None
    return path.removeprefix(SECRETS).removesuffix(SUFFIX)


def owed_of(secret: str) -> str:
    return f"{OWED}{secret}{MARK}"


def owing(path: str) -> str | None:
    """The secret that a file says is owed, or None."""
    if not (path.startswith(OWED) and path.endswith(MARK)):
        return None
    return path.removeprefix(OWED).removesuffix(MARK)


def nested(paths: Iterable[str]) -> tuple[str, str] | None:
    """A path and another one that is its folder: git has room for one of them only."""
    there = set(paths)
    for path in there:
        for at, letter in enumerate(path):
            if letter == "/" and path[:at] in there:
                return path, path[:at]
    return None
