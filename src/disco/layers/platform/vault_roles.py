"""Who gets into the vault from the cluster: a role for one service account, with its own policy.

Roles of components begin with `component-`. Those are DISCO's alone: one that nobody declares goes,
and one that is otherwise than declared is written again. Others are somebody's, and are left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from disco.engine.errors import DiscoError

if TYPE_CHECKING:
    from disco.layers.platform.openbao import OpenBao

PREFIX = "component-"
AUDIENCE = "openbao"
TOKEN_S = 60  # an agent whose token is of no use any more logs in again when that has ended
LOGIN, POLICIES = "auth/kubernetes/role", "sys/policies/acl"


@dataclass(frozen=True)
class Role:
    """rules: path in the vault's API -> what may be done there. account: in that namespace."""

    name: str
    namespace: str
    account: str
    rules: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def policy(self) -> str:
        """As the vault takes it."""
        return "\n".join(_rule(path, may) for path, may in self.rules)

    @property
    def login(self) -> dict[str, Any]:
        """Fields of the login's role; those that could let in others are said, too."""
        return {
            "bound_service_account_names": [self.account],
            "bound_service_account_namespaces": [self.namespace],
            "audience": AUDIENCE,
            "token_policies": [self.name],
            "token_ttl": TOKEN_S,
            "token_max_ttl": 0,
            "token_period": 0,
            "token_explicit_max_ttl": 0,
        }


def _rule(path: str, may: Sequence[str]) -> str:
    told = ", ".join(f'"{m}"' for m in may)
    return f'path "{path}" {{ capabilities = [{told}] }}'


async def write(bao: OpenBao, token: str, role: Role) -> None:
    """Its policy first: a login without one gets a token of no use. Raises DiscoError."""
    await bao.call(token, "POST", f"{POLICIES}/{role.name}", {"policy": role.policy})
    await bao.call(token, "POST", f"{LOGIN}/{role.name}", role.login)


async def remove(bao: OpenBao, token: str, name: str) -> None:
    """Tokens that were given by it may nothing from then on. Raises DiscoError."""
    await bao.call(token, "DELETE", f"{POLICIES}/{name}")
    await bao.call(token, "DELETE", f"{LOGIN}/{name}")


async def strangers(bao: OpenBao, token: str, declared: Iterable[Role]) -> tuple[str, ...]:
    """Roles or policies of components that nobody declares. Raises DiscoError."""
    there = {*await _names(bao, token, LOGIN), *await _names(bao, token, POLICIES)}
    known = {r.name for r in declared}
    return tuple(sorted(n for n in there - known if n.startswith(PREFIX)))


async def wrong(bao: OpenBao, token: str, roles: Sequence[Role]) -> dict[str, str]:
    """Each role -> how it is otherwise than declared; empty where it is not. Raises DiscoError."""
    found = await asyncio.gather(*(_wrong(bao, token, r) for r in roles))
    return {r.name: w for r, w in zip(roles, found, strict=True)}


async def others(bao: OpenBao, token: str, roles: Sequence[Role]) -> dict[str, str]:
    """Logins that are not DISCO's and get what a component may -> what. Raises DiscoError."""
    ours = {r.name for r in roles}
    names = [n for n in await _names(bao, token, LOGIN) if n not in ours]
    logins = await asyncio.gather(*(_read(bao, token, f"{LOGIN}/{n}") for n in names))
    return {n: told for n, x in zip(names, logins, strict=True) if (told := _takes(x, ours))}


def _takes(login: Mapping[str, Any], ours: set[str]) -> str:
    taken = sorted(p for p in login.get("token_policies") or () if p in ours)
    return f"is no role of a component and has the policy {', '.join(taken)}" if taken else ""


async def _wrong(bao: OpenBao, token: str, role: Role) -> str:
    policy, login = await asyncio.gather(
        _read(bao, token, f"{POLICIES}/{role.name}"), _read(bao, token, f"{LOGIN}/{role.name}")
    )
    return judged(role, policy, login)


def judged(role: Role, policy: Mapping[str, Any], login: Mapping[str, Any]) -> str:
    """What differs; policy, login: as the vault has them, empty where it has none."""
    if not policy or not login:
        return f"has no {'policy' if not policy else 'role'}"
    if str(policy.get("policy", "")).split() != role.policy.split():
        return "its policy is not as declared"
    for field, wanted in role.login.items():
        if (now := login.get(field)) != wanted:
            return f"{field} is {_told(now)}, not {_told(wanted)}"
    return ""


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


async def _read(bao: OpenBao, token: str, path: str) -> dict[str, Any]:
    """What is there, or nothing."""
    try:
        found: dict[str, Any] = (await bao.call(token, "GET", path))["data"]
    except DiscoError as error:
        if "(404)" in error.why:
            return {}
        raise
    return found


async def _names(bao: OpenBao, token: str, path: str) -> list[str]:
    try:
        found: list[str] = (await bao.call(token, "LIST", path))["data"]["keys"]
    except DiscoError as error:
        if "(404)" in error.why:  # there is none
            return []
        raise
    return found
