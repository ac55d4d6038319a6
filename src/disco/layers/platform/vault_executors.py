"""How a vault is initialised, unsealed and set up.

A vault makes its own keys and tells them once. If DISCO is killed between that answer and the
store, they are lost; so it is noted beforehand that an init was begun, and a vault that is found
initialised with such a note and no keys has never held anything: it is emptied and begun again.
A vault that is initialised without a note is somebody's, and is left alone.

Where something else opens it (`vault_seal`), its keys are recovery keys, kept in the same way; a
pod that is sealed though it could ask is started anew.

Where members of the team hold shares of its key, the init's process has all of them in memory: it
keeps them, each sealed for its holder, in one commit, and unseals the new vault with them. No other
process ever has more than its own member's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from disco.engine.errors import DiscoError, Retry
from disco.engine.gate import Report
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.kube.revealing import reveal
from disco.layers.platform import (
    vault_access,
    vault_keys,
    vault_pki,
    vault_restoring,
    vault_roles,
)
from disco.layers.platform.openbao import (
    BEGUN,
    KEYS,
    NAME,
    NAMESPACE,
    POD_S,
    SETUP,
    InitVault,
    OpenBao,
    SetUpVault,
    UnsealVault,
    rolling_out,
    setup_digest,
)
from disco.layers.platform.quorum import (
    OWN_KEY,
    REKEYING,
    kept,
    refuse_strangers,
    sealed,
    secrets_of,
    share,
)
from disco.layers.platform.vault_access import ROOT, SECRET_ID
from disco.layers.platform.vault_pki import Signs
from disco.layers.platform.vault_pods import restart
from disco.store import certificates
from disco.store.store import Store

# So often a pod is looked at, each half a second or second, before it is taken for one that has
# joined another whose data went meanwhile, or that was sealed by hand and asks nobody.
LOOKS = 20


class VaultExecutors:
    """signs: the request of an authority inside of the vault."""

    def __init__(
        self, kube: Kube, store: Store, signs: Signs = certificates.inner_authority
    ) -> None:
        self._kube, self._store, self._signs = kube, store, signs

    async def init(self, action: InitVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        refuse_strangers(self._store, action.quorum)
        has_data = await self._has_data(action, bao, report)
        if has_data and self._store.has(KEYS):
            self._store.discard(BEGUN)  # a stale note would empty a vault that lost its keys
            return
        if has_data:
            await self._empty(action, bao, report)
        self._store.forget(KEYS)  # those of a vault that is gone would pass for this one's
        self._store.keep(BEGUN, b"begun\n")
        report("initialising", None)
        answer = await bao.init(action.quorum)
        keys: list[str] = answer.get("recovery_keys_base64") or answer["keys_base64"]
        access = {ROOT: str(answer["root_token"]), **vault_access.fresh()}
        secrets = secrets_of(keys, access, action.quorum)
        stale = {share(n).name: None for n in kept(self._store).holders}
        no_note = {REKEYING: None, vault_restoring.RESTORING: None}  # of a vault that is gone
        self._store.put_all({**stale, **secrets}, "Keep the keys of a new vault", kept=no_note)
        self._store.discard(BEGUN)
        if action.quorum.holders and not action.seal:
            enough = keys[: action.quorum.threshold]
            await self._until_unsealed(action, bao, enough, report)

    async def _has_data(self, action: InitVault, bao: OpenBao, report: Report) -> bool:
        """Whether any pod has: one that lost its volume joins the others again, it is not
        initialised. All have to answer before this can be denied."""
        found = False

        async def test() -> str:
            nonlocal found
            silent: list[DiscoError] = []
            for pod in range(action.replicas):
                try:
                    found = found or (await bao.seal_status(pod)).initialized
                except DiscoError as error:
                    silent.append(error)
            return str(silent[0]) if silent and not found else ""

        await self._kube.until(
            action.cluster, f"{NAME} answers", test, 120, lambda n: report(n, None)
        )
        return found

    async def _empty(self, action: InitVault, bao: OpenBao, report: Report) -> None:
        """Make an initialised vault whose keys were lost in an interrupted init empty again."""
        if not self._store.has_kept(BEGUN):
            raise DiscoError(
                "the vault is initialised, and the store does not have its keys",
                where=f"{NAMESPACE}/{NAME}",
                fix=f"put its unseal key and root token into the store as {KEYS}, or remove the "
                "vault from the cluster with its volumes",
            )
        report("an earlier init was cut off: emptying the vault", None)
        await self._remove_data(action)
        looked = 0

        async def test() -> str:
            nonlocal looked
            looked += 1
            found = [await bao.seal_status(pod) for pod in range(action.replicas)]
            old = [f"{NAME}-{pod}" for pod, seal in enumerate(found) if seal.initialized]
            if old and looked % LOOKS == 0:
                await self._remove_data(action)
            return f"{', '.join(old)} answer with the old data" if old else ""

        await self._kube.until(
            action.cluster, "the vault is empty", test, 120, lambda n: report(n, None)
        )

    async def _remove_data(self, action: InitVault) -> None:
        """Of all pods, as those that opened themselves may have joined the first; that one last:
        while it has data, a run that was cut off here is seen."""
        http = self._kube.http(action.cluster)
        core = f"/api/v1/namespaces/{NAMESPACE}"
        for pod in reversed(range(action.replicas)):
            name = f"{NAME}-{pod}"
            for path in (f"{core}/persistentvolumeclaims/data-{name}", f"{core}/pods/{name}"):
                with translated(action.cluster, f"delete {path}"):
                    await http.delete(path, params={"gracePeriodSeconds": "0"})

    async def unseal(self, action: UnsealVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        fields = self._store.fields(KEYS)
        keys = [fields[OWN_KEY]] if OWN_KEY in fields else []
        await vault_restoring.settle(
            self._kube, action.cluster, self._store, action.replicas, bao, report
        )
        await self._until_unsealed(action, bao, keys, report)
        self._store.discard(vault_restoring.RESTORING)

    async def _until_unsealed(
        self,
        action: InitVault | UnsealVault,
        bao: OpenBao,
        keys: Sequence[str],
        report: Report,
    ) -> None:
        """And until one of them leads: what was put back seals itself after a moment.

        keys: that together unseal it; none where its holders have to. Raises DiscoError.
        """
        refused: list[DiscoError] = []
        looks: Counter[int] = Counter()

        async def test() -> str:
            try:
                left = await self._unseal_once(action, bao, keys, looks)
            except DiscoError as error:
                if error.retry is Retry.LIKELY or "(404)" in error.why:  # it is being replaced
                    raise
                refused.append(error)  # a wrong key, say: no other comes of waiting
                return ""
            left = left or await rolling_out(self._kube, action.cluster)
            if not left:
                token = await vault_access.token(bao, self._store.fields(KEYS))
                await bao.call(token, "GET", "sys/mounts")
            return left

        await self._kube.until(
            action.cluster,
            f"{NAME} is unsealed and has a leader",
            test,
            POD_S * (action.replicas + 1),
            lambda n: report(n, None),
            pause_s=0.5,
        )
        if refused:
            raise refused[0]

    async def _unseal_once(
        self,
        action: InitVault | UnsealVault,
        bao: OpenBao,
        keys: Sequence[str],
        looks: Counter[int],
    ) -> str:
        """Those that have data; the others join only somebody who is unsealed. What is missing.

        looks: at pods that open themselves, and are sealed; one that was sealed by hand does not
        ask again until it is started anew.
        """
        left, waiting, threshold = [], [], 1
        for pod in range(action.replicas):
            try:
                seal = await bao.seal_status(pod)
            except DiscoError:  # being replaced, maybe
                left.append(f"{NAME}-{pod} does not answer")
                continue
            if seal.sealed and seal.initialized and seal.auto:
                looks[pod] += 1
                if looks[pod] % LOOKS == 0:
                    await restart(self._kube, action.cluster, pod)
            elif seal.sealed and seal.initialized and not keys:
                waiting.append(f"{NAME}-{pod}")
                threshold = seal.threshold
            elif seal.sealed and seal.initialized:
                for key in keys:
                    await bao.unseal(pod, key)
            if seal.sealed:
                why = "is sealed" if seal.initialized else "has not joined raft"
                if seal.auto and seal.initialized:
                    why = f"is sealed; {action.seal or 'what opens it'} has not opened it yet"
                left.append(f"{NAME}-{pod} {why}")
        if waiting:
            raise sealed(f"{NAMESPACE}/{NAME}", waiting, kept(self._store, threshold))
        return ", ".join(left)

    async def set_up(self, action: SetUpVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)
        keys = self._store.fields(KEYS)
        if SECRET_ID not in keys:  # a vault from before DISCO had a role of its own
            keys |= vault_access.fresh()
            self._store.put(KEYS, keys)
        token = await vault_access.grant(bao, keys)
        mounts = (await bao.call(token, "GET", "sys/mounts"))["data"]
        if "kv/" not in mounts:
            await bao.call(
                token, "POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}}
            )
        logins = (await bao.call(token, "GET", "sys/auth"))["data"]
        if "kubernetes/" not in logins:
            await bao.call(token, "POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        api = {"kubernetes_host": "https://kubernetes.default.svc"}
        await bao.call(token, "POST", "auth/kubernetes/config", api)
        for role in action.roles:
            report(f"role {role.name}", None)
            await vault_roles.write(bao, token, role)
        for name in action.gone:
            report(f"role {name} goes", None)
            await vault_roles.remove(bao, token, name)
        await vault_keys.make(bao, token, action.keys)
        await vault_pki.make(bao, token, self._store.lookup, action.issues, self._signs)
        for path, fields in action.secrets.items():
            data = {"data": reveal(fields, self._store.lookup)}
            await self._write(bao, token, path, data)
        await self._write(
            bao, token, SETUP, {"data": {"digest": setup_digest(action, self._store)}}
        )
        if ROOT in keys:
            report("revoking the root token", None)
            await vault_access.revoke_root(bao, keys)
            self._store.put(KEYS, {name: keys[name] for name in keys if name != ROOT})

    async def _write(self, bao: OpenBao, token: str, path: str, data: dict[str, Any]) -> None:
        """A kv mount answers 400 while it is being upgraded to version 2, for a second or so."""
        for attempt in range(20):
            try:
                await bao.call(token, "POST", f"kv/data/{path}", data)
                return
            except DiscoError as error:
                if "pgrad" not in error.why or attempt == 19:
                    raise
                await asyncio.sleep(0.25)
