"""Another key for what the vault writes from now on: that of its barrier, not that of its holders.

What was written before is still read with the older keys, which the vault keeps in its keyring. No
share, no snapshot and no client changes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from disco.engine.gate import Report
from disco.kube.reader import Kube
from disco.layers.platform import vault_access
from disco.layers.platform.openbao import KEYS, OpenBao, VaultAction
from disco.store.store import Store

STATUS, ROTATE = "sys/key-status", "sys/rotate/keyring"


@dataclass(frozen=True)
class RotateVault(VaultAction):
    """The vault writes with another key than the one with this number. Done once, however often it
    is tried."""

    kind: ClassVar[str] = "vault-rotate"
    term: int

    def describe(self) -> str:
        return f"have the vault write with another key than its number {self.term}"

    def command(self) -> str:
        return "bao operator rotate"


class Rotator:
    """Carries it out."""

    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube, self._store = kube, store

    async def __call__(self, action: RotateVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        token = await vault_access.token(bao, self._store.fields(KEYS))
        if await term(bao, token) <= action.term:
            await bao.call(token, "POST", ROTATE)


async def term(bao: OpenBao, token: str) -> int:
    """The number of the key that it writes with. Raises DiscoError."""
    return int((await bao.call(token, "GET", STATUS))["data"]["term"])
