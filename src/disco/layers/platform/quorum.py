"""Who opens the vault: a key in the store, or as many members of the team as are needed, each with
a share that is sealed for that member alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from disco.engine.errors import DiscoError, WrongUse
from disco.engine.secret import SecretRef
from disco.store.store import Store
from disco.store.team.layout import SHARE, VAULT_KEYS, share_of
from disco.store.team.repository import Repository
from disco.store.team.roles import Role

KEYS = VAULT_KEYS
OWN_KEY = "unseal_0"  # the field of KEYS that opens a vault without holders
REKEYING = "vault/rekeying"  # kept: a note of shares that nobody has proven yet
FIELD = "share"  # of the secret that is a member's share


@dataclass(frozen=True)
class Quorum:
    """holders: members of the team, each with a share; none: the store has the one key.
    threshold: so many of the shares open the vault."""

    holders: tuple[str, ...] = ()
    threshold: int = 1

    @property
    def shares(self) -> int:
        return len(self.holders) or 1

    def __str__(self) -> str:
        return f"{self.threshold} of {', '.join(self.holders)}"


def share(member: str) -> SecretRef:
    return SecretRef(share_of(member), FIELD)


def kept(store: Store, threshold: int = 1) -> Quorum:
    """Who holds a share by the store. threshold: as the vault tells it."""
    names = (n.removeprefix(SHARE) for n in store.names() if n.startswith(SHARE))
    holders = tuple(sorted(names))
    return Quorum(holders, threshold if holders else 1)


def secrets_of(
    keys: list[str], access: Mapping[str, str], quorum: Quorum
) -> dict[str, dict[str, str]]:
    """A vault's shares as they are kept, each for its holder, and what DISCO gets in by."""
    init = {name: value for name, value in access.items() if name != OWN_KEY}
    if not quorum.holders:
        return {KEYS: {**init, OWN_KEY: keys[0]}}
    shares = {share(n).name: {FIELD: k} for n, k in zip(quorum.holders, keys, strict=True)}
    return {KEYS: init, **shares}


def refuse_strangers(store: Store, quorum: Quorum, where: str = "vault.holders") -> None:
    """Raises WrongUse for holders that no share can be sealed for, before a vault is begun."""
    shelf = store.shelf
    if not quorum.holders or not isinstance(shelf, Repository):
        return
    if not shelf.url or not shelf.is_there:
        raise WrongUse("holders are members of a team", where=where, fix="disco team init")
    members = shelf.team().members
    for name in quorum.holders:
        if name not in members:
            raise WrongUse(
                f"{name} is to hold a share of the vault's key, and is no member",
                where=where,
                why=f"members are {', '.join(sorted(members))}",
                fix=f"disco team add {name} --key KEY, or take the name out",
            )
        if members[name].role is Role.READER:
            raise WrongUse(
                f"{name} is to hold a share of the vault's key, and is a reader",
                where=where,
                why="to give a share is a run, and a reader's runs are refused",
                fix=f"disco team add {name} --role operator --key KEY",
            )


def sealed(where: str, pods: list[str], quorum: Quorum) -> DiscoError:
    """What stops a run that can't unseal by itself."""
    return DiscoError(
        "the vault is sealed, and its holders have to open it",
        where=where,
        why=f"{', '.join(pods)} sealed; it takes {quorum}",
        fix="each of them, on their own machine: disco vault unseal; then disco apply",
    )
