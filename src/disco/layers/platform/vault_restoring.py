"""How the pods of a vault that is put back come to have one key, however often a run dies.

A leader gives a snapshot to the pods that follow it. Where its keys are others, these seal
themselves; the leader has nobody to lead then, and would keep the keys of before for good: it
starts anew. The store has a note of it until the vault was opened: whoever does that looks first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.layers.platform import vault_access
from disco.layers.platform.openbao import KEYS, NAME, OpenBao, SealStatus
from disco.layers.platform.vault_pods import leader, restart, statuses
from disco.store.store import Store

RESTORING = "vault/restoring"  # kept
SEALS_S = 20.0  # for pods to have the snapshot, and to see that its keys are others
TAKEN = "taken"


def note(sha256: str, taken: bool = False) -> bytes:
    """That an unsealed vault is given this snapshot. taken: the store has the snapshot's keys."""
    return f"{TAKEN + ' ' if taken else ''}{sha256}\n".encode()


def is_noted(store: Store, sha256: str, taken: bool = False) -> bool:
    return store.kept(RESTORING) == note(sha256, taken)


def is_taken(store: Store) -> bool:
    return (store.kept(RESTORING) or b"").startswith(TAKEN.encode())


async def takes(bao: OpenBao, keys: Mapping[str, str]) -> bool:
    """Whether somebody leads, and lets DISCO in with these."""
    try:
        return bool(await vault_access.token(bao, keys))
    except DiscoError:
        return False


async def settle(
    kube: Kube, cluster: Cluster, store: Store, pods: int, bao: OpenBao, report: Report
) -> bool:
    """Go on where a run died that had put it back. Whether it waits to be opened, with the store's
    keys.

    pods: how many it has. Raises DiscoError.
    """
    if not is_taken(store):
        return False
    auto = any(isinstance(s, SealStatus) and s.auto for s in (await statuses(bao, pods)).values())
    if not auto and await takes(bao, store.fields(KEYS)):
        store.discard(RESTORING)
        return False
    return await seal_the_rest(kube, cluster, pods, bao, report)


async def seal_the_rest(
    kube: Kube, cluster: Cluster, pods: int, bao: OpenBao, report: Report
) -> bool:
    """Wait a moment until some are sealed, and start the others anew. Whether some were.

    Those that open themselves stay open, and answer as before but for the leader: they start anew.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + SEALS_S
    while loop.time() < ends:
        found = await statuses(bao, pods)
        if any(isinstance(s, SealStatus) and s.auto for s in found.values()):
            leads = await leader(bao, found)
            for pod in set(found) - {leads}:
                report(f"{NAME}-{pod} starts anew", None)
                await restart(kube, cluster, pod)
            return False
        if any(isinstance(s, SealStatus) and s.sealed for s in found.values()):
            for pod in [n for n, s in found.items() if not _is_sealed(s)]:
                report(f"{NAME}-{pod} starts anew, sealed", None)
                await restart(kube, cluster, pod)
            return True
        await asyncio.sleep(0.5)
    return False


async def left_alone(bao: OpenBao, store: Store, pods: int) -> bool:
    """Whether some are sealed, and who leads is of no use with the store's keys."""
    found = await statuses(bao, pods)
    return any(map(_is_sealed, found.values())) and not await takes(bao, store.fields(KEYS))


def _is_sealed(seal: SealStatus | DiscoError) -> bool:
    return isinstance(seal, SealStatus) and seal.sealed
