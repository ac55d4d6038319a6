"""A way into the vault for the night on which all others fail, and that nobody takes unseen.

As many holders as unseal the vault give their shares, each from a process of its own; the process
that gives the last one is told a root token. It makes one with it that ends by itself after a
quarter of an hour, writes that into a file for its owner alone, and revokes the other. It asks as
DISCO's role: OpenBao takes shares for a root token from nobody who is not logged in (since 2.5.3;
the endpoints are of 2.6).

Who began it and why is kept in the store before the first share is given. While a token lives that
may do everything, whoever made it, a check is red. Killed anywhere, it is begun again: a root token
that was told to a process that died is known to nobody, and goes when the next one is made.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from disco.checks.counted import counted
from disco.engine.check import Answer
from disco.engine.errors import DiscoError, WrongUse
from disco.engine.gate import Report
from disco.engine.place import write_atomically
from disco.engine.secret import SecretRef
from disco.kube.reader import Kube
from disco.layers.platform import vault_access
from disco.layers.platform.openbao import KEYS, NAMESPACE, OpenBao, VaultAction
from disco.store.store import Store

GENERATE = "sys/generate-root-token"
TWICE = "already been provided"
LASTS_S = 15 * 60
OTP = "vault/break-glass"  # secret: what the vault's answer is hidden with
NOTE = "vault/break-glass"  # kept: who began it, when and why
NAME = "break-glass"  # of the token


@dataclass(frozen=True)
class BreakGlass(VaultAction):
    """One member's share for a token that may do everything, for a quarter of an hour; the last one
    that is needed gets it."""

    kind: ClassVar[str] = "vault-break-glass"
    member: str
    share: SecretRef
    reason: str
    to: str

    @property
    def touches(self) -> str:
        return f"{super().touches}/{self.member}"

    def describe(self) -> str:
        return (
            f"give {self.member}'s share for a root token of {LASTS_S // 60} minutes in {self.to}: "
            f"{self.reason}"
        )

    def command(self) -> str:
        return (
            f"bao operator generate-root -init\nbao operator generate-root - <<< '{self.share}'\n"
            f"bao token create -policy=root -explicit-max-ttl={LASTS_S}s\nbao token revoke -self"
        )


@dataclass(frozen=True)
class EndBreakGlass(VaultAction):
    """Every token that may do everything is revoked, and shares that were given are forgotten."""

    kind: ClassVar[str] = "vault-end-break-glass"

    def describe(self) -> str:
        return "revoke every root token of the vault, and forget shares that were given for one"

    def command(self) -> str:
        return "bao operator generate-root -cancel\nbao token revoke -accessor …"


@dataclass(frozen=True)
class Attempt:
    """What the vault has under way."""

    started: bool
    nonce: str = ""
    given: int = 0
    required: int = 1

    @classmethod
    async def read(cls, bao: OpenBao, token: str) -> Attempt:
        return cls.of((await bao.call(token, "GET", f"{GENERATE}/attempt"))["data"])

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Attempt:
        return cls(
            bool(data["started"]),
            str(data.get("nonce", "")),
            int(data.get("progress", 0)),
            int(data.get("required", 1)),
        )


@dataclass(frozen=True)
class RootToken:
    """One that lives. until: UTC, empty for one that does not end."""

    accessor: str
    name: str
    until: str
    meta: Mapping[str, str]

    def __str__(self) -> str:
        by, why = self.meta.get("by"), self.meta.get("reason")
        told = f", by {by}: {why}" if by else ""
        return f"may do everything until {self.until or 'it is revoked'}{told}"


class Glass:
    """Carries it out."""

    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube, self._store = kube, store

    async def breaks(self, action: BreakGlass, report: Report) -> None:
        bao, token = await self._entered(action)
        key = self._store.lookup(action.share)
        nonce, otp = await self._under_way(bao, token, action)
        told = await self._give(bao, token, nonce, key)
        if not told.get("complete"):
            return
        root = decoded(str(told["encoded_token"]), otp)
        report("making a token that ends by itself", None)
        await self._revoke(bao, root, await alive(bao, root), but=root)
        body = {
            "policies": ["root"],
            "ttl": f"{LASTS_S}s",
            "explicit_max_ttl": f"{LASTS_S}s",
            "renewable": False,
            "no_parent": True,
            "no_default_policy": True,
            "display_name": NAME,
            "meta": {"by": action.member, "reason": action.reason},
        }
        made = (await bao.call(root, "POST", "auth/token/create", body))["auth"]
        write_atomically(Path(action.to), f"{made['client_token']}\n".encode())
        await bao.call(root, "POST", "auth/token/revoke-self")
        self._store.put_all({OTP: None}, "Forget what a root token was hidden with")

    async def _entered(self, action: VaultAction) -> tuple[OpenBao, str]:
        """As DISCO's role. Raises WrongUse for a vault whose first root token is needed yet: it
        would be revoked with the others."""
        keys = self._store.fields(KEYS)
        if vault_access.ROOT in keys:
            raise WrongUse(
                "the vault is not set up yet, and its root token is in the store",
                where=f"{NAMESPACE}: {KEYS}",
                fix="disco apply",
            )
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        return bao, await vault_access.login(bao, keys)

    async def _under_way(self, bao: OpenBao, token: str, action: BreakGlass) -> tuple[str, str]:
        """The nonce and the one-time pad of what is under way, begun if nothing is. One whose pad
        nobody kept is of no use to anybody."""
        now = await Attempt.read(bao, token)
        kept = self._store.fields(OTP) if self._store.has(OTP) else {}
        if now.started and kept.get("nonce") == now.nonce:
            return now.nonce, kept["otp"]
        if now.started:
            await bao.call(token, "DELETE", f"{GENERATE}/attempt")
        note = {
            "by": action.member,
            "reason": action.reason,
            "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        }
        noted = {NOTE: json.dumps(note).encode() + b"\n"}
        self._store.put_all({OTP: None}, f"Begin to break the glass: {action.member}", kept=noted)
        made = (await bao.call(token, "POST", f"{GENERATE}/attempt", {}))["data"]
        nonce, otp = str(made["nonce"]), str(made["otp"])
        self._store.put(OTP, {"otp": otp, "nonce": nonce})
        return nonce, otp

    async def _give(self, bao: OpenBao, token: str, nonce: str, key: str) -> Mapping[str, Any]:
        body = {"key": key, "nonce": nonce}
        try:
            found = await bao.call(token, "POST", f"{GENERATE}/update", body)
        except DiscoError as error:
            if TWICE in error.why:
                return {}
            raise
        data: Mapping[str, Any] = found["data"]
        return data

    async def ends(self, action: EndBreakGlass, report: Report) -> None:
        bao, token = await self._entered(action)
        if (await Attempt.read(bao, token)).started:
            await bao.call(token, "DELETE", f"{GENERATE}/attempt")
        await self._revoke(bao, token, await alive(bao, token))
        self._store.put_all({OTP: None}, "End what broke the glass", kept={NOTE: None})

    async def _revoke(
        self, bao: OpenBao, token: str, found: Sequence[RootToken], but: str = ""
    ) -> None:
        own = ""
        if but:
            own = str((await bao.call(but, "GET", "auth/token/lookup-self"))["data"]["accessor"])
        for one in found:
            if one.accessor != own:
                body = {"accessor": one.accessor}
                await bao.call(token, "POST", "auth/token/revoke-accessor", body)


def decoded(encoded: str, otp: str) -> str:
    """A root token as the vault hides it: each byte with one of the pad, by exclusive or, in base64
    (OpenBao, api-docs/system/generate-root-token). Raises DiscoError for another one's pad."""
    hidden = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    pad = otp.encode()
    if len(hidden) != len(pad):
        raise DiscoError("the root token does not fit what it is hidden with", NAMESPACE)
    return bytes(a ^ b for a, b in zip(hidden, pad, strict=True)).decode()


async def alive(bao: OpenBao, token: str) -> list[RootToken]:
    """Tokens that may do everything. Raises DiscoError."""
    try:
        found = await bao.call(token, "LIST", "auth/token/accessors")
    except DiscoError as error:
        if "(404)" in error.why:  # there is none at all
            return []
        raise
    looked = await asyncio.gather(*(_looked_up(bao, token, a) for a in found["data"]["keys"]))
    return [_root(x) for x in looked if "root" in (x.get("policies") or ())]


async def _looked_up(bao: OpenBao, token: str, accessor: str) -> dict[str, Any]:
    """What is known of a token; nothing of one that ended just now."""
    body = {"accessor": accessor}
    try:
        found: dict[str, Any] = (await bao.call(token, "POST", "auth/token/lookup-accessor", body))[
            "data"
        ]
    except DiscoError as error:
        if "(403)" in error.why and "permission denied" not in error.why:
            return {}
        if "(404)" in error.why or "invalid accessor" in error.why:
            return {}
        raise
    return found


def _root(data: Mapping[str, Any]) -> RootToken:
    until = str(data.get("expire_time") or "")[:16].replace("T", " ")
    name = str(data.get("display_name", "")).removeprefix("token-")
    return RootToken(str(data["accessor"]), name, until, data.get("meta") or {})


async def ask(bao: OpenBao, token: str, store: Store) -> Answer:
    """Whether nobody may do everything, and nobody is about to."""
    found, attempt = await alive(bao, token), await Attempt.read(bao, token)
    return judged(found, attempt, noted(store))


def noted(store: Store) -> dict[str, str]:
    """Who began it last, when and why."""
    content = store.kept(NOTE)
    found: dict[str, str] = json.loads(content) if content else {}
    return found


def judged(found: Sequence[RootToken], attempt: Attempt, note: Mapping[str, str]) -> Answer:
    """found: tokens that may do everything. note: who began it last."""
    faults = {f"{t.name or 'a token'} {t.accessor[:6]}": str(t) for t in found}
    who = f"{note['by']} at {note['at']} UTC: {note['reason']}" if note else ""
    if attempt.started:
        faults["shares"] = f"{attempt.given} of {attempt.required} given for a root token" + (
            f", begun by {who}" if who else ", begun by nobody who said so"
        )
    if any(faults.values()):
        return counted(faults, "no token may do everything", "")
    last = f"; last by {who}" if who else ""
    return Answer(True, f"no token of {NAMESPACE} may do everything{last}")
