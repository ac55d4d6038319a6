"""Giving a member's share of the vault's key, and sealing the vault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.engine.secret import SecretRef
from disco.kube.reader import Kube
from disco.layers.platform import vault_access, vault_rekey, vault_restoring
from disco.layers.platform.openbao import (
    KEYS,
    NAME,
    NAMESPACE,
    POD_S,
    OpenBao,
    SealStatus,
    VaultAction,
)
from disco.layers.platform.quorum import REKEYING, Quorum
from disco.layers.platform.vault_pods import restart, statuses
from disco.store.store import Store

WRONG = "(400)"


@dataclass(frozen=True)
class GiveShare(VaultAction):
    """One member's share, to every pod that is sealed. A pod counts the same share once."""

    kind: ClassVar[str] = "vault-give-share"
    replicas: int
    member: str
    share: SecretRef

    @property
    def touches(self) -> str:
        return f"{super().touches}/{self.member}"

    def describe(self) -> str:
        return f"give {self.member}'s share to each pod of the vault that is sealed"

    def command(self) -> str:
        return "\n".join(
            f"kubectl -n {NAMESPACE} exec -i {NAME}-{i} -- bao operator unseal - <<< '{self.share}'"
            for i in range(self.replicas)
        )


@dataclass(frozen=True)
class SealVault(VaultAction):
    """Every pod of the vault forgets the key that opens its data."""

    kind: ClassVar[str] = "vault-seal"
    replicas: int

    def describe(self) -> str:
        return f"seal the vault's {self.replicas} pod(s): the one that leads, then the others"

    def command(self) -> str:
        others = f"kubectl -n {NAMESPACE} delete pod -l openbao-sealed=false"
        return f"bao operator seal\n{others}"


class ShareExecutors:
    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube, self._store = kube, store

    async def give(self, action: GiveShare, report: Report) -> None:
        bao, key = (
            OpenBao(self._kube, action.cluster, self._store.lookup),
            self._store.lookup(action.share),
        )
        await vault_restoring.settle(
            self._kube, action.cluster, self._store, action.replicas, bao, report
        )
        wrong: list[tuple[int, DiscoError]] = []
        opened = False
        for pod, seal in (await statuses(bao, action.replicas)).items():
            if not isinstance(seal, SealStatus) or not (seal.sealed and seal.initialized):
                continue
            try:
                opened = not (await bao.unseal(pod, key)).sealed or opened
            except DiscoError as error:
                if WRONG not in error.why:
                    raise
                wrong.append((pod, error))  # each of them has to forget what it was given
                continue
            report(f"{NAME}-{pod} has it", None)
        if wrong:
            if vault_rekey.put_back(self._store):
                raise vault_rekey.before_again(wrong[0][1].why)
            raise _refused(wrong[0][0], action.member)
        if opened:
            self._store.discard(REKEYING)  # these are the right ones
            self._store.discard(vault_restoring.RESTORING)

    async def seal(self, action: SealVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        token = await vault_access.token(bao, self._store.fields(KEYS))
        open_ = await _unsealed(bao, action.replicas)
        for pod in open_:
            if await bao.leads(pod):
                await bao.seal(pod, token)
        for pod in await _unsealed(bao, action.replicas):  # only who leads can be asked to
            report(f"{NAME}-{pod} starts anew, sealed", None)
            await restart(self._kube, action.cluster, pod)

        async def test() -> str:
            found = [await bao.seal_status(pod) for pod in range(action.replicas)]
            left = [f"{NAME}-{i} is not" for i, s in enumerate(found) if not s.sealed]
            return ", ".join(left)

        await self._kube.until(
            action.cluster, "the vault is sealed", test, POD_S * 2, lambda n: report(n, None)
        )


async def _unsealed(bao: OpenBao, replicas: int) -> list[int]:
    found = await statuses(bao, replicas)
    return [i for i, s in found.items() if isinstance(s, SealStatus) and not s.sealed]


def told(found: Mapping[int, SealStatus | DiscoError], quorum: Quorum, me: str = "") -> list[str]:
    """How far each sealed pod is, in plain words. me: whose share was given just now."""
    lines = []
    others = [n for n in quorum.holders if n != me]
    for pod, seal in found.items():
        if isinstance(seal, DiscoError):
            lines.append(f"{NAME}-{pod} does not answer: {seal.why or seal.what}")
        elif not seal.initialized:
            lines.append(f"{NAME}-{pod} has no data: it joins a pod that is unsealed")
        elif seal.sealed and seal.auto:
            lines.append(f"{NAME}-{pod} is sealed, and opens itself when it starts: disco apply")
        elif seal.sealed:
            missing = seal.threshold - seal.given
            names = " or ".join(others) if missing == 1 else f"{missing} of {', '.join(others)}"
            needed = f"; still needed: {names}" if others else ""
            lines.append(f"{NAME}-{pod}: {seal.given} of {seal.threshold} given{needed}")
    return lines


def _refused(pod: int, member: str) -> DiscoError:
    """A pod tells only when it has enough of them that one of them was wrong."""
    return DiscoError(
        f"the shares that {NAME}-{pod} was given do not open it",
        where=f"{NAMESPACE}/{NAME}-{pod}",
        why=f"one of them, {member}'s or an earlier one, is of another vault, or from before the "
        "vault was begun anew; it has forgotten them all",
        fix="each holder once more, beginning with another one: disco vault unseal; disco secrets "
        f"history vault/share-{member} tells who wrote it",
    )
