"""New shares of the vault's key, made by as many holders of the old ones as it takes.

Each holder gives a share to a rotation that the vault has under way; the process that gives the
last one is told the new shares. It keeps them, each sealed for its holder, in one commit with a
note that has the files of the old ones, as they were sealed; only then it verifies the new ones,
and from then on they open the vault.

Killed before the commit, the old ones go on to hold, and the rotation is begun again. Killed after
it, the next rekey finishes the verification. Where the vault was restarted meanwhile, it can't be
known which of them open it until as many as it takes were given: when these do not, the store takes
the others, and notes these.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.engine.secret import SecretRef
from disco.kube.reader import Kube
from disco.layers.platform import vault_access
from disco.layers.platform.openbao import NAME, NAMESPACE, OpenBao, VaultAction
from disco.layers.platform.quorum import (
    KEYS,
    REKEYING,
    Quorum,
    kept,
    refuse_strangers,
    secrets_of,
    share,
)
from disco.store.store import Store
from disco.store.team.layout import share_of

TWICE = "already been provided"


@dataclass(frozen=True)
class RekeyVault(VaultAction):
    """One member's share for a rekey to these holders; the last one that is needed ends it."""

    kind: ClassVar[str] = "vault-rekey"
    member: str
    share: SecretRef
    quorum: Quorum

    @property
    def touches(self) -> str:
        return f"{super().touches}/{self.member}"

    def describe(self) -> str:
        return f"give {self.member}'s share for new ones, of which {self.quorum} open the vault"

    def command(self) -> str:
        return (
            f"bao operator rotate-keys -init -verify -key-shares={self.quorum.shares} "
            f"-key-threshold={self.quorum.threshold}\nbao operator rotate-keys - <<< '{self.share}'"
        )


@dataclass(frozen=True)
class Rotation:
    """What the vault has under way. verifies: the new shares were told, and are to be proven."""

    started: bool
    nonce: str = ""
    given: int = 0
    required: int = 1
    verifies: str = ""

    @classmethod
    async def read(cls, bao: OpenBao, token: str) -> tuple[Rotation, tuple[int, int]]:
        """And how many shares it makes, and how many of them it will take."""
        data = (await bao.call(token, "GET", f"{await rotates(bao)}/init"))["data"]
        made = cls(
            bool(data["started"]),
            str(data.get("nonce", "")),
            int(data.get("progress", 0)),
            int(data.get("required", 1)),
            str(data.get("verification_nonce", "")),
        )
        return made, (int(data["n"]), int(data["t"]))


class Rekeyer:
    """Carries it out."""

    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube, self._store = kube, store

    async def __call__(self, action: RekeyVault, report: Report) -> None:
        refuse_strangers(self._store, action.quorum)
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        token = await vault_access.token(bao, self._store.fields(KEYS))
        key = self._store.lookup(action.share)
        now, asks = await Rotation.read(bao, token)
        if now.verifies and now.verifies == noted(self._store):
            report("an earlier rekey was cut off: proving its shares", None)
            await self._prove(bao, token, now.verifies, [key])
            return
        if now.started and (
            now.verifies or asks != (action.quorum.shares, action.quorum.threshold)
        ):
            report("an earlier rekey was cut off: beginning again", None)
            await bao.call(token, "DELETE", f"{await rotates(bao)}/init")
            now = Rotation(False)
        if not now.started:
            body = {
                "secret_shares": action.quorum.shares,
                "secret_threshold": action.quorum.threshold,
                "require_verification": True,
            }
            await bao.call(token, "POST", f"{await rotates(bao)}/init", body)
            now, _ = await Rotation.read(bao, token)
        told = await self._give(bao, token, now.nonce, key, action.member)
        if not told.get("complete"):
            return
        keys: list[str] = told["keys_base64"]
        nonce = str(told["verification_nonce"])
        self._keep(keys, nonce, action.quorum)
        await self._prove(bao, token, nonce, keys[: action.quorum.threshold])

    async def _give(
        self, bao: OpenBao, token: str, nonce: str, key: str, member: str
    ) -> Mapping[str, Any]:
        body = {"key": key, "nonce": nonce}
        try:
            path = f"{await rotates(bao)}/update"
            found: Mapping[str, Any] = (await bao.call(token, "POST", path, body))["data"]
            return found
        except DiscoError as error:
            if TWICE in error.why:
                return {}
            if "(400)" in error.why and put_back(self._store):
                raise before_again(error.why) from None
            raise

    def _keep(self, keys: list[str], nonce: str, quorum: Quorum) -> None:
        """In one commit: the new shares, none of the old ones, and the note that has these."""
        store = self._store
        new = secrets_of(keys, store.fields(KEYS), quorum)
        owed = [n for n in store.owed() if n.startswith(share_of(""))]
        old = [share(n).name for n in kept(store).holders]
        gone = dict.fromkeys(n for n in (*old, *owed) if n not in new)
        note = _noting(store, nonce)
        store.put_all({**gone, **new}, "Keep new shares of the vault's key", kept=note)

    async def _prove(self, bao: OpenBao, token: str, nonce: str, keys: list[str]) -> None:
        """Give new shares back to the vault; with enough of them it is done."""
        for key in keys:
            body = {"key": key, "nonce": nonce}
            try:
                path = f"{await rotates(bao)}/verify"
                told = (await bao.call(token, "POST", path, body))["data"]
            except DiscoError as error:
                if TWICE not in error.why:
                    raise
                continue
            if told.get("complete"):
                self._store.discard(REKEYING)


async def rotates(bao: OpenBao) -> str:
    """Where new shares are made: of the key that opens it, or of one that does not."""
    return "sys/rotate/recovery" if await bao.opens_itself() else "sys/rotate/root"


def noted(store: Store) -> str:
    """Of the rekey whose shares the store has, and nobody knows whether they were proven."""
    return str(_note(store).get("nonce", ""))


def _note(store: Store) -> dict[str, Any]:
    content = store.kept(REKEYING)
    found: dict[str, Any] = json.loads(content) if content else {}
    return found


def _noting(store: Store, nonce: str) -> dict[str, bytes | None]:
    """The note with the keys as they are in the store now, each sealed as it is."""
    now = {n: store.sealed(n) for n in (KEYS, *(share(h).name for h in kept(store).holders))}
    before = {n: base64.b64encode(c).decode() for n, c in now.items() if c}
    return {REKEYING: json.dumps({"nonce": nonce, "before": before}).encode() + b"\n"}


def put_back(store: Store) -> bool:
    """Take the shares of the note, and note those of the store: those that are there do not open
    the vault. Once more, and they are back. False where there is no note."""
    before = {n: base64.b64decode(c) for n, c in _note(store).get("before", {}).items()}
    if not before:
        return False
    gone = {share(n).name: None for n in kept(store).holders if share(n).name not in before}
    why = "Take the shares from before a rekey that was cut off"
    store.put_all(gone, why, before, _noting(store, ""))
    return True


def before_again(why: str) -> DiscoError:
    return DiscoError(
        "the vault does not take these shares, and a rekey was cut off before it was done",
        where=f"{NAMESPACE}/{NAME}",
        why=why,
        fix="the others of before and after it are in the store now: each holder once more",
    )
