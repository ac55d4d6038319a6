"""OpenBao over its HTTP API, through the cluster's API server: init, unseal, set up.

A vault makes its own keys and tells them once. If DISCO is killed between that answer and the
store, they are lost; so it is noted beforehand that an init was begun, and a vault that is found
initialised with such a note and no keys has never held anything: it is emptied and begun again.
A vault that is initialised without a note is somebody's, and is left alone.

Where members of the team hold shares of its key, the init's process has all of them in memory: it
keeps them, each sealed for its holder, in one commit, and unseals the new vault with them. No other
process ever has more than its own member's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from disco.engine.action import Action, made_from
from disco.engine.errors import DiscoError, Retry
from disco.engine.gate import Report
from disco.engine.secret import SecretRef, Text
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.kube.revealing import reveal
from disco.kube.rollout import behind
from disco.layers.platform.quorum import KEYS as KEYS
from disco.layers.platform.quorum import (
    OWN_KEY,
    REKEYING,
    Quorum,
    kept,
    refuse_strangers,
    sealed,
    secrets_of,
    share,
)
from disco.store.store import Store

NAMESPACE = "vault"
NAME = "openbao"
PORT = 8200
BEGUN = "vault/init-begun"
SETUP = "disco/setup"
UNSEAL, SEAL = "/v1/sys/unseal", "/v1/sys/seal"
SNAPSHOT = "sys/storage/raft/snapshot"
SNAPSHOT_S = 120.0
POD_S = 60.0  # for each pod to be unsealed, and once for them to find a leader


@dataclass(frozen=True)
class VaultAction(Action):
    cluster: Cluster

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:vault/{self.kind}"


@dataclass(frozen=True)
class InitVault(VaultAction):
    """Initialise an empty vault and keep its keys: one action, because the answer comes once."""

    kind: ClassVar[str] = "vault-init"
    replicas: int
    quorum: Quorum = field(default_factory=Quorum)

    def describe(self) -> str:
        if self.quorum.holders:
            return (
                f"initialise the vault and unseal it once; {', '.join(self.quorum.holders)} get a "
                f"share each, sealed for that member alone, and its root token goes to {KEYS}"
            )
        return f"initialise the vault; its unseal key and root token go to the store as {KEYS}"

    def command(self) -> str:
        return (
            f"kubectl -n {NAMESPACE} exec {NAME}-0 -- bao operator init "
            f"-key-shares={self.quorum.shares} -key-threshold={self.quorum.threshold}"
        )


@dataclass(frozen=True)
class UnsealVault(VaultAction):
    """Unseal every pod that is sealed, until all of them are as the release says and unsealed: a
    release that changed replaces them one by one, and each comes up sealed."""

    kind: ClassVar[str] = "vault-unseal"
    replicas: int
    quorum: Quorum = field(default_factory=Quorum)

    def describe(self) -> str:
        if self.quorum.holders:
            return f"see that the vault is unsealed by {self.quorum}: disco vault unseal"
        return f"unseal the vault's {self.replicas} pod(s)"

    def command(self) -> str:
        if self.quorum.holders:
            return "disco vault unseal"
        key = SecretRef(KEYS, OWN_KEY)
        return "\n".join(
            f"kubectl -n {NAMESPACE} exec -i {NAME}-{i} -- bao operator unseal - <<< '{key}'"
            for i in range(self.replicas)
        )


@dataclass(frozen=True)
class SetUpVault(VaultAction):
    """Key-value store, Kubernetes login, policies, roles and first secrets.

    roles: name -> (namespace, service account, paths that it may read).
    secrets: path -> fields.
    """

    kind: ClassVar[str] = "vault-setup"
    roles: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    secrets: dict[str, dict[str, SecretRef | Text | str]] = field(hash=False)

    def describe(self) -> str:
        names = ", ".join(r[0] for r in self.roles)
        return f"set up the vault: kv, Kubernetes login, roles {names}"

    def command(self) -> str:
        lines = [
            "bao secrets enable -path=kv -version=2 kv",
            "bao auth enable kubernetes",
            "bao write auth/kubernetes/config kubernetes_host=https://kubernetes.default.svc",
        ]
        for name, namespace, account, _ in self.roles:
            lines += [
                f"bao policy write {name} -",
                f"bao write auth/kubernetes/role/{name} bound_service_account_names={account} "
                f"bound_service_account_namespaces={namespace} policies={name}",
            ]
        return "\n".join([*lines, *(f"bao kv put kv/{p} …" for p in self.secrets)])


@dataclass(frozen=True)
class SealStatus:
    """given: shares since it was sealed, of the threshold that are needed of all of them."""

    initialized: bool
    sealed: bool
    given: int = 0
    threshold: int = 1
    shares: int = 1
    version: str = ""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> SealStatus:
        """answer: of `sys/seal-status`; a pod that is empty has no shares yet."""
        return cls(
            bool(answer["initialized"]),
            bool(answer["sealed"]),
            int(answer.get("progress", 0)),
            int(answer.get("t", 1)),
            int(answer.get("n", 1)),
            str(answer.get("version", "")),
        )


class OpenBao:
    """The dozen calls that are used. `token` calls go to the leader only: a standby may not know
    a new mount yet."""

    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self._kube, self._cluster = kube, cluster

    async def seal_status(self, pod: int) -> SealStatus:
        answer = await self._call(f"pods/{NAME}-{pod}", "GET", "/v1/sys/seal-status")
        return SealStatus.of(answer)

    async def is_open(self) -> bool:
        """Whether one of them is unsealed, and leads."""
        try:
            return not (await self.call("", "GET", "sys/seal-status"))["sealed"]
        except DiscoError:  # nobody leads: the service has no pod behind it
            return False

    async def leads(self, pod: int) -> bool:
        """Whether it is the one that answers; asked of those that are unsealed."""
        answer = await self._call(f"pods/{NAME}-{pod}", "GET", "/v1/sys/leader")
        return bool(answer["is_self"])

    async def init(self, quorum: Quorum) -> dict[str, Any]:
        body = {"secret_shares": quorum.shares, "secret_threshold": quorum.threshold}
        return await self._call(f"pods/{NAME}-0", "PUT", "/v1/sys/init", body)

    async def unseal(self, pod: int, key: str) -> SealStatus:
        answer = await self._call(f"pods/{NAME}-{pod}", "PUT", UNSEAL, {"key": key})
        return SealStatus.of(answer)

    async def seal(self, pod: int, token: str) -> None:
        """Only the one that leads takes it."""
        await self._call(f"pods/{NAME}-{pod}", "PUT", SEAL, None, token)

    async def call(self, token: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return await self._call(f"services/{NAME}-active", method, f"/v1/{path}", body, token)

    async def snapshot(self, token: str) -> bytes:
        """All that it holds, under its own keys. Raises DiscoError."""
        answer = await self._kube.proxy(
            self._cluster,
            f"{NAMESPACE}/services/{NAME}-active:{PORT}",
            f"/v1/{SNAPSHOT}",
            headers={"X-Vault-Token": token},
            timeout=SNAPSHOT_S,
        )
        if answer.status_code != 200:
            raise _refused(f"GET vault/v1/{SNAPSHOT}", f"{NAME}-active", answer)
        return answer.content

    async def restore(self, token: str, content: bytes) -> bool:
        """Make it what it was. False where it does not take this token, or nothing, being sealed:
        it may be what it was already. Raises DiscoError."""
        answer = await self._kube.proxy(
            self._cluster,
            f"{NAMESPACE}/services/{NAME}-active:{PORT}",
            f"/v1/{SNAPSHOT}-force",
            "POST",
            content=content,
            headers={"X-Vault-Token": token},
            timeout=SNAPSHOT_S,
        )
        if answer.status_code >= 400 and answer.status_code not in (403, 503):
            raise _refused(f"POST vault/v1/{SNAPSHOT}-force", f"{NAME}-active", answer)
        return answer.status_code < 400

    async def read(self, token: str, path: str) -> dict[str, Any] | None:
        """A kv secret's fields, or None."""
        try:
            found = await self.call(token, "GET", f"kv/data/{path}")
        except DiscoError as error:
            if "(404)" in error.why:
                return None
            raise
        fields: dict[str, Any] = found["data"]["data"]
        return fields

    async def _call(
        self, target: str, method: str, path: str, body: Any = None, token: str = ""
    ) -> dict[str, Any]:
        headers = {"X-Vault-Token": token} if token else {}
        doing = f"{method} vault{path}"
        answer = await self._kube.proxy(
            self._cluster,
            f"{NAMESPACE}/{target}:{PORT}",
            path,
            method,
            json=body,
            headers=headers,
        )
        if answer.status_code >= 400:
            raise _refused(doing, target, answer)
        return answer.json() if answer.content else {}


def _refused(doing: str, target: str, answer: Any) -> DiscoError:
    return DiscoError(
        f"the vault refused: {doing}",
        where=f"{NAMESPACE}/{target}",
        why=f"{answer.text[:300]} ({answer.status_code})",
        retry=Retry.LIKELY if answer.status_code >= 500 else Retry.NEVER,
    )


def setup_digest(action: SetUpVault, store: Store) -> str:
    """What a vault was set up with, the values of its secrets included."""
    return made_from(action.digest, action.secrets, store.lookup)


async def rolling_out(kube: Kube, cluster: Cluster) -> str:
    """What is missing until the vault's pods are all as its release says; empty when nothing is."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
    found = await kube.find(cluster, path)
    return behind(found) if found else f"{NAME} is not there"


class VaultExecutors:
    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube, self._store = kube, store

    async def init(self, action: InitVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster)
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
        keys: list[str] = answer["keys_base64"]
        secrets = secrets_of(keys, answer["root_token"], action.quorum)
        stale = {share(n).name: None for n in kept(self._store).holders}
        no_note = {REKEYING: None}  # of a vault that is gone
        self._store.put_all({**stale, **secrets}, "Keep the keys of a new vault", kept=no_note)
        self._store.discard(BEGUN)
        if action.quorum.holders:
            enough = keys[: action.quorum.threshold]
            await self._until_unsealed(action, bao, enough, report, answer["root_token"])

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
        http = self._kube.http(action.cluster)
        core = f"/api/v1/namespaces/{NAMESPACE}"
        for path in (f"{core}/persistentvolumeclaims/data-{NAME}-0", f"{core}/pods/{NAME}-0"):
            with translated(action.cluster, f"delete {path}"):
                await http.delete(path, params={"gracePeriodSeconds": "0"})

        async def test() -> str:
            return "the old one answers" if (await bao.seal_status(0)).initialized else ""

        await self._kube.until(
            action.cluster, "the vault is empty", test, 90, lambda n: report(n, None)
        )

    async def unseal(self, action: UnsealVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster)
        fields = self._store.fields(KEYS)
        keys = [fields[OWN_KEY]] if OWN_KEY in fields else []
        await self._until_unsealed(action, bao, keys, report, fields["root_token"])

    async def _until_unsealed(
        self,
        action: InitVault | UnsealVault,
        bao: OpenBao,
        keys: Sequence[str],
        report: Report,
        token: str,
    ) -> None:
        """And until one of them leads: what was put back seals itself after a moment.

        keys: that together unseal it; none where its holders have to. Raises DiscoError.
        """
        refused: list[DiscoError] = []

        async def test() -> str:
            try:
                left = await self._unseal_once(action, bao, keys)
            except DiscoError as error:
                if error.retry is Retry.LIKELY or "(404)" in error.why:  # it is being replaced
                    raise
                refused.append(error)  # a wrong key, say: no other comes of waiting
                return ""
            left = left or await rolling_out(self._kube, action.cluster)
            if not left:
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
        self, action: InitVault | UnsealVault, bao: OpenBao, keys: Sequence[str]
    ) -> str:
        """Those that have data; the others join only somebody who is unsealed. What is missing."""
        left, waiting, threshold = [], [], 1
        for pod in range(action.replicas):
            try:
                seal = await bao.seal_status(pod)
            except DiscoError:  # being replaced, maybe
                left.append(f"{NAME}-{pod} does not answer")
                continue
            if seal.sealed and seal.initialized and not keys:
                waiting.append(f"{NAME}-{pod}")
                threshold = seal.threshold
            elif seal.sealed and seal.initialized:
                for key in keys:
                    await bao.unseal(pod, key)
            if seal.sealed:
                why = "is sealed" if seal.initialized else "has not joined raft"
                left.append(f"{NAME}-{pod} {why}")
        if waiting:
            raise sealed(f"{NAMESPACE}/{NAME}", waiting, kept(self._store, threshold))
        return ", ".join(left)

    async def set_up(self, action: SetUpVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster)
        token = self._store.lookup(SecretRef(KEYS, "root_token"))
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
        for name, namespace, account, paths in action.roles:
            report(f"role {name}", None)
            await self._role(bao, token, name, namespace, account, paths)
        for path, fields in action.secrets.items():
            data = {"data": reveal(fields, self._store.lookup)}
            await self._write(bao, token, path, data)
        await self._write(
            bao, token, SETUP, {"data": {"digest": setup_digest(action, self._store)}}
        )

    async def _role(
        self,
        bao: OpenBao,
        token: str,
        name: str,
        namespace: str,
        account: str,
        paths: tuple[str, ...],
    ) -> None:
        rules = "\n".join(f'path "kv/data/{p}" {{ capabilities = ["read"] }}' for p in paths)
        await bao.call(token, "POST", f"sys/policies/acl/{name}", {"policy": rules})
        role = {
            "bound_service_account_names": [account],
            "bound_service_account_namespaces": [namespace],
            "audience": NAME,
            "token_policies": [name],
            "token_ttl": "10m",
        }
        await bao.call(token, "POST", f"auth/kubernetes/role/{name}", role)

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
