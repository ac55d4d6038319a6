"""Who is in the team, what each may do, and who may read what: `team.yaml`."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable
from typing import Any

import pydantic

from disco.stack.model import Model, var
from disco.stack.typed import typed_text
from disco.store.team import layout
from disco.store.team.keys import PublicKey
from disco.store.team.roles import Role

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
HEADER = "# Who may read and write this store. Changed by `disco team`, signed in team.yaml.sig.\n"


class Member(Model):
    role: Role
    """What the member may do."""
    keys: tuple[str, ...] = var(min_length=1)
    """SSH public keys sign, and open too if they are ed25519 or RSA; age recipients open."""

    @pydantic.field_validator("keys")
    @classmethod
    def _are_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(PublicKey.parse(k)) for k in keys)

    @pydantic.model_validator(mode="after")
    def _can_do_it(self) -> Member:
        if not any(k.opens for k in self.public):
            raise ValueError("none of the keys opens secrets: add an age recipient")
        if self.role is not Role.READER and not any(k.signs for k in self.public):
            raise ValueError(f"a member who is {self.role} signs commits: add an SSH key")
        return self

    @property
    def public(self) -> tuple[PublicKey, ...]:
        return tuple(PublicKey(k) for k in self.keys)


class Team(Model):
    team: str = var(pattern=r"[a-z][a-z0-9-]{0,31}")
    """The team's name."""
    version: int = var(ge=1)
    """Goes up by one with each change of this file."""
    members: dict[str, Member] = var(min_length=1)
    """By name."""
    access: dict[str, tuple[str, ...]] = var({})
    """Who may read the secrets whose path fits a pattern; the first that fits decides. All may read
    what fits none."""

    @pydantic.model_validator(mode="after")
    def _holds_together(self) -> Team:
        for name in self.members:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name: lower-case letters, digits and -")
        if not any(m.role is Role.ADMIN for m in self.members.values()):
            raise ValueError("nobody in it is an admin")
        owners: dict[str, str] = {}
        for name, member in self.members.items():
            for key in member.keys:
                if owners.setdefault(key, name) != name:
                    raise ValueError(f"{owners[key]} and {name} have the same key")
        for pattern, names in self.access.items():
            if not names:
                raise ValueError(f"nobody may read {pattern}")
            if unknown := [n for n in names if n not in self.members]:
                raise ValueError(f"{', '.join(unknown)} may read {pattern}, and is no member")
        return self

    @classmethod
    def read(cls, content: bytes, where: str) -> Team:
        """Raises StackProblems."""
        return typed_text(content, where, cls)

    def text(self) -> bytes:
        """The file, always the same for the same team."""
        lines = [HEADER, f"team: {self.team}\n", f"version: {self.version}\n", "members:\n"]
        for name, member in sorted(self.members.items()):
            lines += [f"  {name}:\n", f"    role: {member.role}\n", "    keys:\n"]
            lines += [f"      - {json.dumps(k)}\n" for k in member.keys]
        if self.access:
            lines.append("access:\n")
            for pattern, names in self.access.items():
                lines.append(f"  {json.dumps(pattern)}: [{', '.join(names)}]\n")
        return "".join(lines).encode()

    def changed(self, **fields: Any) -> Team:
        """The next version. Raises ValueError when it does not hold together."""
        return Team.model_validate({**self._plain(), **fields, "version": self.version + 1})

    def _plain(self) -> dict[str, Any]:
        return self.model_dump(mode="python")

    def who_can_read(self, path: str) -> tuple[str, ...]:
        """Names of members. path: of a secret, `STACK/COMPONENT/NAME`. A share of a vault's key is
        its holder's alone, whatever the patterns say; nobody's when that member left."""
        if (holder := layout.holder_of(path)) is not None:
            return (holder,) if holder in self.members else ()
        for pattern, names in self.access.items():
            if fnmatch.fnmatchcase(path, pattern):
                return tuple(sorted(names))
        return tuple(sorted(self.members))

    def who_can_write(self, path: str) -> tuple[str, ...]:
        """Names of members. Shares are made by who begins the vault: by those who may read its
        other keys."""
        if layout.holder_of(path) is None:
            return self.who_can_read(path)
        keys = f"{path.partition('/')[0]}/{layout.VAULT_KEYS}"
        return tuple(sorted({*self.who_can_read(path), *self.who_can_read(keys)}))

    def recipients(self, path: str) -> tuple[PublicKey, ...]:
        """Every key that must open a secret."""
        return tuple(
            key
            for name in self.who_can_read(path)
            for key in self.members[name].public
            if key.opens
        )

    def signers(self) -> dict[bytes, str]:
        """SSH key, as it stands in signatures -> member."""
        return {
            key.blob: name
            for name, member in self.members.items()
            for key in member.public
            if key.signs
        }

    def name_of(self, keys: Iterable[PublicKey]) -> str | None:
        """The member who has one of these keys."""
        mine = {str(k) for k in keys}
        return next((n for n, m in self.members.items() if mine & set(m.keys)), None)
