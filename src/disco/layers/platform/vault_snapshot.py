"""A vault's snapshot: all that it holds, in one file with the keys that open it.

The file is sealed as a secret of the store is, for whom may read the vault's keys. It outlives the
cluster: a vault that is begun anew takes it, and is opened again by the keys in it. Shares of a key
are in it as they are in the store, each sealed for its holder: it takes these holders, again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from disco.engine.component import Step
from disco.engine.errors import DiscoError, Retry, WrongUse
from disco.engine.gate import Report
from disco.engine.place import write_atomically
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.layers.platform import vault_access, vault_restoring
from disco.layers.platform.openbao import (
    KEYS,
    NAME,
    NAMESPACE,
    OpenBao,
    SealStatus,
    VaultAction,
)
from disco.layers.platform.quorum import OWN_KEY, REKEYING, kept
from disco.layers.platform.vault import Vault
from disco.layers.platform.vault_pods import restart, statuses
from disco.layers.platform.vault_restoring import RESTORING
from disco.store.store import Store
from disco.store.team.layout import share_of
from disco.store.team.repository import Repository
from disco.store.team.sealed import Content, seal, unseal

CONTENT, AT = "snapshot", "at"
SEALED = "sealed/"  # and a holder's name: the file of that share, in base64


@dataclass(frozen=True)
class Snapshot:
    """content: as the vault gave it, under its own keys. keys: fields of the secret that opens it.
    at: when it was taken (UTC). sha256: of the file. shares: by holder, sealed for that member."""

    content: bytes = field(repr=False)
    keys: Mapping[str, str] = field(repr=False)
    at: str
    sha256: str
    shares: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class RestoreVault(VaultAction):
    """All that a vault holds becomes what it held when a snapshot was taken, its keys too."""

    kind: ClassVar[str] = "vault-restore"
    path: str
    sha256: str
    at: str

    def describe(self) -> str:
        return f"put the vault back as it was at {self.at}"

    def command(self) -> str:
        return "bao operator raft snapshot restore -force snapshot.gz"

    @property
    def destroys(self) -> tuple[str, ...]:
        return (f"what the vault ({NAMESPACE}/{NAME}) holds now, and its keys",)


async def take(kube: Kube, cluster: Cluster, store: Store, path: Path) -> Snapshot:
    """Write the file, whole or not at all, for its owner alone. Raises DiscoError."""
    keys = store.fields(KEYS)
    bao = OpenBao(kube, cluster, store.lookup)
    content = await bao.snapshot(await vault_access.token(bao, keys))
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    shares = {n: store.sealed(share_of(n)) or b"" for n in kept(store).holders}
    fields = {**keys, CONTENT: base64.b64encode(content).decode(), AT: at}
    fields |= {f"{SEALED}{n}": base64.b64encode(s).decode() for n, s in shares.items()}
    repository = _repository(store)
    recipients = repository.team().recipients(f"{store.stack}/{KEYS}")
    sealed = seal(_name(store), Content.of(fields), recipients)
    write_atomically(path, sealed)
    return Snapshot(content, keys, at, hashlib.sha256(sealed).hexdigest(), shares)


def opened(store: Store, path: Path) -> Snapshot:
    """What a file holds, without shares of who left: nobody else could open them. Raises WrongUse
    for what is none of this stack, or not for me, or can't be opened by anybody any more."""
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise WrongUse("the snapshot can't be read", where=str(path), why=str(error)) from None
    try:
        fields = dict(unseal(_name(store), sealed, _repository(store).own).fields)
        content, at = base64.b64decode(fields.pop(CONTENT), validate=True), fields.pop(AT)
        names = [n for n in fields if n.startswith(SEALED)]
        shares = {
            n.removeprefix(SEALED): base64.b64decode(fields.pop(n), validate=True) for n in names
        }
    except DiscoError as error:
        raise WrongUse("that is no snapshot for you", where=str(path), why=error.why) from None
    except (KeyError, binascii.Error):
        raise WrongUse("that is no snapshot", where=str(path)) from None
    members = _repository(store).team().members if shares else {}
    left = {n: s for n, s in shares.items() if n in members}
    if shares and not left:
        raise WrongUse(
            "nobody holds a share of the snapshot's key any more",
            where=f"{NAMESPACE}/{NAME}",
            why=f"they were {', '.join(shares)}'s, who left",
        )
    return Snapshot(content, fields, at, hashlib.sha256(sealed).hexdigest(), left)


def steps(vault: Vault, snapshot: Snapshot, path: Path) -> list[Step]:
    """Put it back; then unseal, and set up what may have been declared since, as apply does."""
    cluster = vault.kubernetes.cluster
    back = RestoreVault(cluster, str(path.resolve()), snapshot.sha256, snapshot.at)
    title = f"put the vault back as it was at {snapshot.at}"
    return [
        Step("restore", title, (back,), (), 6),
        Step("open", "unseal and set up the vault", vault.opens(), ("restore",), 2),
    ]


class Restorer:
    """Carries it out. opens: the snapshot in a file."""

    def __init__(
        self, kube: Kube, store: Store, opens: Callable[[Store, Path], Snapshot] = opened
    ) -> None:
        self._kube, self._store, self._opens = kube, store, opens

    async def __call__(self, action: RestoreVault, report: Report) -> None:
        """Killed anywhere and run again, it ends the same: the vault has the old keys or those of
        the snapshot, and both are tried; the store takes those of the snapshot when it was sent,
        and then no pod goes on with the old ones."""
        snapshot = self._opens(self._store, Path(action.path))
        if snapshot.sha256 != action.sha256:
            raise WrongUse("the snapshot is another one now", where=action.path)
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        pods = await self._pods(action)
        taken = vault_restoring.is_noted(self._store, snapshot.sha256, taken=True)
        settled = await vault_restoring.settle(
            self._kube, action.cluster, self._store, pods, bao, report
        )
        if settled and taken:
            return
        here = self._store.fields(KEYS)
        gone_through = await self._died_sealed(bao, snapshot, pods)
        report("sending the snapshot", None)
        if not gone_through and not await _sent(bao, here, snapshot):
            await self._again(action, bao, snapshot, pods, report)
        self._take_keys(snapshot, vault_restoring.note(snapshot.sha256, taken=True))
        if pods > 1:
            await vault_restoring.seal_the_rest(self._kube, action.cluster, pods, bao, report)

    def _take_keys(self, snapshot: Snapshot, note: bytes) -> None:
        """One commit: the store has the snapshot's keys and shares, and a note that it has."""
        shares = {share_of(n): s for n, s in snapshot.shares.items()}
        stale = {share_of(n): None for n in kept(self._store).holders if share_of(n) not in shares}
        why = f"Take the vault's keys of {snapshot.at}"
        notes = {RESTORING: note, REKEYING: None}
        self._store.put_all({KEYS: dict(snapshot.keys), **stale}, why, shares, notes)

    async def _pods(self, action: RestoreVault) -> int:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
        return int((await self._kube.get(action.cluster, path))["spec"]["replicas"])

    async def _died_sealed(self, bao: OpenBao, snapshot: Snapshot, pods: int) -> bool:
        """Whether a run put it back and died: it noted that it would, of a vault that was unsealed,
        and now it is sealed, which only holders of the snapshot's shares can change, or only who
        led it is not, with keys that are of use no more. Raises DiscoError for one that is sealed
        without such a note."""
        if not snapshot.shares:
            return False
        noted = vault_restoring.is_noted(self._store, snapshot.sha256)
        if noted and await vault_restoring.left_alone(bao, self._store, pods):
            return True
        if await bao.is_open():
            self._store.keep(RESTORING, vault_restoring.note(snapshot.sha256))
            return False
        if not noted:
            raise _sealed("it is sealed")
        return True

    async def _again(
        self, action: RestoreVault, bao: OpenBao, snapshot: Snapshot, pods: int, report: Report
    ) -> None:
        """It was put back by a run that died, is sealed since, and has the keys of the snapshot."""
        if await _sent(bao, snapshot.keys, snapshot):
            return
        if OWN_KEY not in snapshot.keys:
            raise _sealed("it takes the keys neither of the store nor of the snapshot")
        sealed, others = _apart(await statuses(bao, pods))
        for pod in sealed:
            await self._unseal(bao, pod, snapshot)
        for pod in others if sealed else ():
            report(f"{NAME}-{pod} starts anew, with the keys of the snapshot", None)
            await restart(self._kube, action.cluster, pod)

        async def test() -> str:
            for pod in _apart(await statuses(bao, pods))[0]:
                await self._unseal(bao, pod, snapshot)
            sent = await _sent(bao, snapshot.keys, snapshot)
            return "" if sent else "it has no leader yet"

        await self._kube.until(
            action.cluster, "the vault takes it", test, 60, lambda note: report(note, None)
        )

    async def _unseal(self, bao: OpenBao, pod: int, snapshot: Snapshot) -> None:
        """Raises DiscoError for a vault with other keys: those in the store must not be lost."""
        try:
            await bao.unseal(pod, snapshot.keys[OWN_KEY])
        except DiscoError as error:
            raise _sealed(error.why) from None


def _apart(found: Mapping[int, SealStatus | DiscoError]) -> tuple[list[int], list[int]]:
    """Pods that take a key, and pods that are unsealed."""
    answered = {n: s for n, s in found.items() if isinstance(s, SealStatus)}
    sealed = [n for n, s in answered.items() if s.sealed and s.initialized]
    return sealed, [n for n, s in answered.items() if not s.sealed]


async def _sent(bao: OpenBao, keys: Mapping[str, str], snapshot: Snapshot) -> bool:
    """Put it back as whom these keys let in. False where they don't, or it is sealed."""
    try:
        token = await vault_access.token(bao, keys)
    except DiscoError as error:
        if any(code in error.why for code in (*vault_access.REFUSED, "(503)")):
            return False
        raise
    return await bao.restore(token, snapshot.content)


def _sealed(why: str) -> DiscoError:
    return DiscoError(
        "the vault takes no snapshot while it is sealed",
        where=f"{NAMESPACE}/{NAME}",
        why=why,
        fix="disco apply or, where it has holders, disco vault unseal; then once more",
        retry=Retry.NEVER,
    )


def _repository(store: Store) -> Repository:
    shelf = store.shelf
    assert isinstance(shelf, Repository)
    return shelf


def _name(store: Store) -> str:
    return f"{store.stack}/vault/snapshot"
