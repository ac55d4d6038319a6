"""OpenBao over its HTTP API, and what is done with it in a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from disco.engine.action import Action, made_from
from disco.engine.errors import DiscoError, Retry
from disco.engine.secret import Lookup, SecretRef, Text
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.kube.rollout import behind
from disco.kube.tunnel import Server
from disco.layers.platform import vault_access
from disco.layers.platform.quorum import KEYS as KEYS
from disco.layers.platform.quorum import OWN_KEY, Quorum
from disco.layers.platform.vault_pki import Issues
from disco.layers.platform.vault_roles import Role
from disco.store.store import Store

NAMESPACE = "vault"
NAME = "openbao"
PORT = 8200
AUTHORITY, CERTIFICATE = "vault/ca", "vault/tls"  # secrets
ACTIVE = f"{NAME}-active"  # the service, and the label, of who leads
URL = f"https://{ACTIVE}.{NAMESPACE}.svc:{PORT}"
POD_HOST = f"{NAME}.{NAMESPACE}.svc"
HOSTS = (
    f"{ACTIVE}.{NAMESPACE}.svc",
    *(f"{ACTIVE}{rest}" for rest in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc.cluster.local")),
    *(f"*.{NAME}{rest}" for rest in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc")),
    f"*.{POD_HOST}.cluster.local",
    "localhost",
    "127.0.0.1",
)
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
    """Initialise an empty vault and keep its keys: one action, because the answer comes once.

    seal: what opens it by itself; its keys are recovery keys then.
    """

    kind: ClassVar[str] = "vault-init"
    replicas: int
    quorum: Quorum = field(default_factory=Quorum)
    seal: str = ""

    def describe(self) -> str:
        begin = "initialise the vault" if self.seal else "initialise the vault and unseal it once"
        if self.quorum.holders:
            kind = "recovery share" if self.seal else "share"
            return (
                f"{begin}; {', '.join(self.quorum.holders)} get a {kind} each, sealed for that "
                f"member alone, and its root token goes to {KEYS}"
            )
        key = "recovery key" if self.seal else "unseal key"
        return f"initialise the vault; its {key} and root token go to the store as {KEYS}"

    def command(self) -> str:
        kind = "recovery" if self.seal else "key"
        return (
            f"kubectl -n {NAMESPACE} exec {NAME}-0 -- bao operator init "
            f"-{kind}-shares={self.quorum.shares} -{kind}-threshold={self.quorum.threshold}"
        )


@dataclass(frozen=True)
class UnsealVault(VaultAction):
    """Unseal every pod that is sealed, until all of them are as the release says and unsealed: a
    release that changed replaces them one by one, and each comes up sealed.

    seal: what opens each by itself, when it starts.
    """

    kind: ClassVar[str] = "vault-unseal"
    replicas: int
    quorum: Quorum = field(default_factory=Quorum)
    seal: str = ""

    def describe(self) -> str:
        if self.seal:
            return f"see that the vault's {self.replicas} pod(s) were unsealed by {self.seal}"
        if self.quorum.holders:
            return f"see that the vault is unsealed by {self.quorum}: disco vault unseal"
        return f"unseal the vault's {self.replicas} pod(s)"

    def command(self) -> str:
        if self.seal:
            return f"kubectl -n {NAMESPACE} rollout restart statefulset/{NAME}"
        if self.quorum.holders:
            return "disco vault unseal"
        key = SecretRef(KEYS, OWN_KEY)
        return "\n".join(
            f"kubectl -n {NAMESPACE} exec -i {NAME}-{i} -- bao operator unseal - <<< '{key}'"
            for i in range(self.replicas)
        )


@dataclass(frozen=True)
class SetUpVault(VaultAction):
    """A role for DISCO itself, key-value store, Kubernetes login, policies, roles, first secrets;
    then the root token is revoked, and goes from the store.

    secrets: path -> fields. gone: roles of components that nobody declares any more. keys: that
    components sign with. issues: what they get certificates for.
    """

    kind: ClassVar[str] = "vault-setup"
    roles: tuple[Role, ...]
    secrets: dict[str, dict[str, SecretRef | Text | str]] = field(hash=False)
    gone: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    issues: tuple[Issues, ...] = ()

    def describe(self) -> str:
        names = ", ".join(r.name for r in self.roles)
        more = f"; keys {', '.join(self.keys)}" if self.keys else ""
        if self.issues:
            told = (f"{i.role} for {', '.join(i.names)}" for i in self.issues)
            more += f"; certificates {', '.join(told)}"
        more += f"; remove {', '.join(self.gone)}" if self.gone else ""
        return f"set up the vault: kv, Kubernetes login, roles {names}{more}; revoke its root token"

    def command(self) -> str:
        lines = [
            "bao auth enable approle",
            f"bao policy write {vault_access.ROLE} -",
            f"bao write auth/approle/role/{vault_access.ROLE} token_policies={vault_access.ROLE} …",
            "bao secrets enable -path=kv -version=2 kv",
            "bao auth enable kubernetes",
            "bao write auth/kubernetes/config kubernetes_host=https://kubernetes.default.svc",
        ]
        for role in self.roles:
            lines += [
                f"bao policy write {role.name} - <<< '{role.policy}'",
                f"bao write auth/kubernetes/role/{role.name} "
                f"bound_service_account_names={role.account} "
                f"bound_service_account_namespaces={role.namespace} policies={role.name}",
            ]
        for name in self.gone:
            lines += [f"bao policy delete {name}", f"bao delete auth/kubernetes/role/{name}"]
        if self.keys:
            lines += ["bao secrets enable transit"]
            lines += [f"bao write -f transit/keys/{k} type=ed25519" for k in self.keys]
        if self.issues:
            lines += ["bao secrets enable pki", "bao pki issue …"]
            lines += [f"bao write pki/roles/{i.role} …" for i in self.issues]
        puts = (f"bao kv put kv/{p} …" for p in self.secrets)
        return "\n".join([*lines, *puts, "bao token revoke -self"])


@dataclass(frozen=True)
class SealStatus:
    """given: shares since it was sealed, of the threshold that are needed of all of them. auto: it
    opens by itself, and its shares are recovery shares."""

    initialized: bool
    sealed: bool
    given: int = 0
    threshold: int = 1
    shares: int = 1
    version: str = ""
    auto: bool = False

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
            bool(answer.get("recovery_seal", False)),
        )


class OpenBao:
    """The dozen calls that are used, over TLS: each pod has to show a certificate that the stack's
    authority signed. `token` calls go to the leader only: a standby may not know a new mount yet.

    lookup: of the store.
    """

    def __init__(self, kube: Kube, cluster: Cluster, lookup: Lookup) -> None:
        self._kube, self._cluster, self._lookup = kube, cluster, lookup

    async def seal_status(self, pod: int) -> SealStatus:
        answer = await self._call(f"{NAME}-{pod}", "GET", "/v1/sys/seal-status")
        return SealStatus.of(answer)

    async def shown(self, pod: int) -> str:
        """The certificate that it shows, PEM, whatever it is worth. Raises DiscoError."""
        return await self._kube.shown(self._cluster, self._server(f"{NAME}-{pod}"))

    async def is_open(self) -> bool:
        """Whether one of them is unsealed, and leads."""
        try:
            return not (await self.call("", "GET", "sys/seal-status"))["sealed"]
        except DiscoError:  # nobody leads
            return False

    async def opens_itself(self) -> bool:
        """Whether its shares are recovery shares. Raises DiscoError."""
        return SealStatus.of(await self.call("", "GET", "sys/seal-status")).auto

    async def leads(self, pod: int) -> bool:
        """Whether it is the one that answers; asked of those that are unsealed."""
        answer = await self._call(f"{NAME}-{pod}", "GET", "/v1/sys/leader")
        return bool(answer["is_self"])

    async def init(self, quorum: Quorum) -> dict[str, Any]:
        kind = "recovery" if (await self.seal_status(0)).auto else "secret"
        body = {f"{kind}_shares": quorum.shares, f"{kind}_threshold": quorum.threshold}
        return await self._call(f"{NAME}-0", "PUT", "/v1/sys/init", body)

    async def unseal(self, pod: int, key: str) -> SealStatus:
        answer = await self._call(f"{NAME}-{pod}", "PUT", UNSEAL, {"key": key})
        return SealStatus.of(answer)

    async def seal(self, pod: int, token: str) -> None:
        """Only the one that leads takes it."""
        await self._call(f"{NAME}-{pod}", "PUT", SEAL, None, token)

    async def call(self, token: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return await self._call(await self._leader(), method, f"/v1/{path}", body, token)

    async def snapshot(self, token: str) -> bytes:
        """All that it holds, under its own keys. Raises DiscoError."""
        leader = await self._leader()
        answer = await self._kube.secured(
            self._cluster,
            self._server(leader),
            f"/v1/{SNAPSHOT}",
            headers={"X-Vault-Token": token},
            timeout=SNAPSHOT_S,
        )
        if answer.status_code != 200:
            raise _refused(f"GET vault/v1/{SNAPSHOT}", leader, answer)
        return answer.content

    async def restore(self, token: str, content: bytes) -> bool:
        """Make it what it was. False where it does not take this token, or nothing, being sealed:
        it may be what it was already. Raises DiscoError."""
        try:
            leader = await self._leader()
        except DiscoError:  # it is sealed
            return False
        answer = await self._kube.secured(
            self._cluster,
            self._server(leader),
            f"/v1/{SNAPSHOT}-force",
            "POST",
            content=content,
            headers={"X-Vault-Token": token},
            timeout=SNAPSHOT_S,
        )
        if answer.status_code >= 400 and answer.status_code not in (403, 503):
            raise _refused(f"POST vault/v1/{SNAPSHOT}-force", leader, answer)
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
        self, pod: str, method: str, path: str, body: Any = None, token: str = ""
    ) -> dict[str, Any]:
        headers = {"X-Vault-Token": token} if token else {}
        answer = await self._kube.secured(
            self._cluster, self._server(pod), path, method, json=body, headers=headers
        )
        if answer.status_code >= 400:
            raise _refused(f"{method} vault{path}", pod, answer)
        return answer.json() if answer.content else {}

    def _server(self, pod: str) -> Server:
        authority = self._lookup(SecretRef(AUTHORITY, "crt"))
        return Server(f"{NAMESPACE}/{pod}", PORT, f"{pod}.{POD_HOST}", authority)

    async def _leader(self) -> str:
        """The pod that leads, by the label that it gives itself. Raises DiscoError for none."""
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        found = await self._kube.get(self._cluster, pods, labelSelector=f"{ACTIVE}=true")
        for pod in found["items"]:
            if "deletionTimestamp" not in pod["metadata"]:
                return str(pod["metadata"]["name"])
        raise DiscoError(
            "nobody leads the vault",
            where=f"{NAMESPACE}/{ACTIVE}",
            why="no pod is unsealed and in touch with most of the others (503)",
            retry=Retry.LIKELY,
        )


def _refused(doing: str, target: str, answer: Any) -> DiscoError:
    return DiscoError(
        f"the vault refused: {doing}",
        where=f"{NAMESPACE}/{target}",
        why=f"{answer.text[:300]} ({answer.status_code})",
        retry=Retry.LIKELY if answer.status_code >= 500 else Retry.NEVER,
    )


def setup_digest(action: SetUpVault, store: Store) -> str:
    """What a vault was set up with: the values of its secrets, and what DISCO's role may, too."""
    digest = replace(action, gone=()).digest
    declared = hashlib.sha256(f"{digest}\n{vault_access.POLICY}".encode()).hexdigest()
    return made_from(declared, action.secrets, store.lookup)


async def rolling_out(kube: Kube, cluster: Cluster) -> str:
    """What is missing until the vault's pods are all as its release says; empty when nothing is."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
    found = await kube.find(cluster, path)
    return behind(found) if found else f"{NAME} is not there"
