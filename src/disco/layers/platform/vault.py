"""A vault for the network's secrets: OpenBao on raft, unsealed by what the store has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pydantic

from disco.engine.action import Action, secrets_in
from disco.engine.check import Check
from disco.engine.component import Component, Layer, Outputs, StatusLine, Step, World, pending
from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef, VersionRef
from disco.kube import charts
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.platform.fixed import SetThere, refused_storage, set_there
from disco.layers.platform.openbao import (
    BEGUN,
    KEYS,
    NAME,
    NAMESPACE,
    SETUP,
    InitVault,
    OpenBao,
    SealStatus,
    SetUpVault,
    UnsealVault,
    rolling_out,
    setup_digest,
)
from disco.layers.platform.quorum import Quorum, kept
from disco.layers.platform.seen import ClusterSeen, look
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.stack.model import Model, var
from disco.store.actions import Forget, Remember, told_anew
from disco.store.generate import Password
from disco.store.store import Store
from disco.store.team.layout import SHARE

PROBE = "vault-probe"
PROBE_SECRET = "vault/probe"
FETCHED = "disco.network/secret-version"


class VaultSpec(Model):
    """OpenBao."""

    replicas: Literal[1, 3, 5] = var(1)
    """Pods that hold the data; 3 survive the loss of one, 5 of two. They can become more."""
    storage: str = var("1Gi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of each pod's volume; it can't be changed later."""
    holders: tuple[str, ...] = var(())
    """Members of the team who get a share of its key each, which only they can read. None: the
    store has the key, and `disco apply` unseals by itself."""
    threshold: int = var(1, ge=1)
    """So many holders have to give their share, each with `disco vault unseal`."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""

    @pydantic.model_validator(mode="after")
    def _can_be_opened(self) -> VaultSpec:
        if len(set(self.holders)) < len(self.holders):
            raise ValueError("a holder is named twice")
        if self.threshold > max(len(self.holders), 1):
            raise ValueError(f"{self.threshold} shares need as many holders")
        if self.threshold < 2 <= len(self.holders):
            raise ValueError("with two holders or more, threshold is at least 2")
        return self

    @property
    def quorum(self) -> Quorum:
        return Quorum(tuple(sorted(self.holders)), self.threshold)


class VaultOutputs(Outputs):
    url: str


@dataclass(frozen=True)
class VaultSeen:
    """shares: who holds them by the store, of a vault that is there. waits: pods that are sealed
    until these give theirs. half_begun: an init was cut off before it was done with."""

    cluster: ClusterSeen = field(default_factory=ClusterSeen)
    sealed: bool = True
    is_set_up: bool = False
    shares: Quorum = field(default_factory=Quorum)
    waits: tuple[str, ...] = ()
    half_begun: bool = False


class Vault(Component):
    """A vault, its first secret, and a pod to which that secret is delivered."""

    layer = Layer.PLATFORM
    section = "vault"
    spec: VaultSpec
    kubernetes: KubernetesOutputs
    artifacts: ArtifactsOutputs

    @classmethod
    def wants(cls, spec: VaultSpec) -> tuple[str, ...]:
        return ("images/vault",)

    def outputs(self, seen: VaultSeen) -> VaultOutputs:
        return VaultOutputs(url=f"http://{NAME}-active.{NAMESPACE}:8200")

    def nothing(self) -> VaultSeen:
        return VaultSeen()

    async def observe(self, world: World) -> VaultSeen:
        cluster = self.kubernetes.cluster
        seen = await look(world, cluster, list(self._all_steps()))
        if KEYS not in seen.secrets or f"{NAMESPACE}/{NAME}" not in seen.releases:
            return VaultSeen(seen)
        bao, shares = OpenBao(world[Kube], cluster), Quorum()
        half = world[Store].has_kept(BEGUN)
        try:
            pods = range(self.spec.replicas)
            statuses = await asyncio.gather(*(bao.seal_status(i) for i in pods))
            shares, waits = _by_holders(statuses, world[Store])
            if any(s.sealed or not s.initialized for s in statuses):
                return VaultSeen(seen, shares=shares, waits=waits, half_begun=half)
            if await rolling_out(world[Kube], cluster):  # who is replaced comes up sealed
                return VaultSeen(seen, shares=shares, half_begun=half)
            token = world[Store].lookup(SecretRef(KEYS, "root_token"))
            setup = await bao.read(token, SETUP)
        except DiscoError:
            return VaultSeen(
                seen, shares=shares
            )  # pods that don't answer have yet to be waited for
        there = secrets_in(self._set_up) <= seen.secrets - seen.anew.keys()
        wanted = setup_digest(self._set_up, world[Store]) if there else ""
        is_set_up = there and (setup or {}).get("digest") == wanted
        return VaultSeen(seen, False, is_set_up, shares, half_begun=half)

    def notes(self, seen: VaultSeen) -> list[str]:
        told = told_anew(seen.cluster.anew)
        if seen.waits:
            told.append(
                f"{', '.join(seen.waits)} sealed: apply stops there until {seen.shares} gave their "
                "shares, each with disco vault unseal"
            )
        wanted = self.spec.quorum
        if _is_begun(seen) and seen.shares != wanted:
            now = str(seen.shares) if seen.shares.holders else "the store's key"
            told.append(
                f"{now} opens it, and the file says {wanted}: disco vault rekey, by the holders"
                if wanted.holders
                else f"{now} opens it, and the file names no holders: put them back"
            )
        return told

    def steps(self, seen: VaultSeen) -> Iterator[Step]:
        done = set(seen.cluster.done)
        if _is_begun(seen):
            done.add(self._init.identity)
        if not seen.sealed:
            if self._release.identity in done:  # else it replaces pods
                done.add(self._unseal.identity)
            if seen.is_set_up:
                done.add(self._set_up.identity)
        return pending(self._all_steps(), done)

    @property
    def _release(self) -> Release:
        source, values = charts.source(NAME), self._values()
        return Release(self.kubernetes.cluster, NAME, NAMESPACE, NAME, source, values, within_s=120)

    @property
    def _init(self) -> InitVault:
        return InitVault(self.kubernetes.cluster, self.spec.replicas, self.spec.quorum)

    @property
    def _unseal(self) -> UnsealVault:
        return UnsealVault(self.kubernetes.cluster, self.spec.replicas, self.spec.quorum)

    @property
    def _set_up(self) -> SetUpVault:
        return SetUpVault(
            self.kubernetes.cluster,
            ((PROBE, PROBE, PROBE, ("disco/probe",)),),
            {"disco/probe": {"value": SecretRef(PROBE_SECRET)}},
        )

    def opens(self) -> tuple[Action, ...]:
        """What makes a vault of use that has keys."""
        return (self._unseal, self._set_up)

    def _all_steps(self) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        first = Remember(PROBE_SECRET, Password(32), rotates=True)
        yield Step("secret", "make the vault's first secret", (first,))
        yield Step("release", "install OpenBao", (self._release,), (), 3)
        by = f", unsealed by {self.spec.quorum}" if self.spec.holders else ""
        yield Step(
            "open",
            f"initialise and set up the vault{by}"
            if by
            else "initialise, unseal and set up the vault",
            (
                self._init,
                self._unseal,
                self._set_up,
            ),
            ("release", "secret"),
            8,
        )
        yield Step(
            "probe",
            "deliver a secret to a pod",
            (
                Apply(cluster, PROBE, tuple(_probe(self._image))),
                AwaitRollout(cluster, f"deployments/{PROBE}/{PROBE}"),
            ),
            ("open",),
            4,
        )

    @property
    def _image(self) -> str:
        return self.artifacts.image("openbao")

    def _values(self) -> dict[str, Any]:
        return {
            "image": self._image,
            "replicas": self.spec.replicas,
            "storage": {"size": self.spec.storage},
            "networkPolicy": {
                "clientNamespaces": [PROBE],
                "cidrs": list(self.kubernetes.proxies),
            },
        }

    async def observe_left(self, world: World, was: Vault) -> SetThere | None:
        return await set_there(world, self.kubernetes.cluster, NAMESPACE, NAME)

    def refused(self, left: SetThere | None, was: Vault) -> list[DiscoError]:
        """Rather than failing in the middle of a run, or losing the majority of raft."""
        anew = f"take {self.section} out of the file and apply, which loses all secrets in it"
        errors = refused_storage(
            left, self.spec.storage, self.name, f"{anew}; then put it in again"
        )
        if left and left.replicas > self.spec.replicas:
            errors.append(
                DiscoError(
                    "replicas can't become fewer while the vault is there",
                    where=f"{self.name}.replicas",
                    why=f"its data is on {left.replicas} pods, which vote: without "
                    f"{left.replicas - self.spec.replicas} of them it could stop for good",
                    fix=f"put it back; for fewer, {anew}",
                )
            )
        return errors

    def removal(self, seen: VaultSeen, ground_goes: bool) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        keys = {n for n in seen.cluster.secrets if n == KEYS or n.startswith(SHARE)}
        forget = tuple(Forget(n) for n in sorted(keys, key=lambda n: (n == KEYS, n)))
        if forget and ground_goes:
            yield Step("keys", "forget the keys of the vault that goes", forget)
        # The keys go last: while they are there, an earlier way out was cut off.
        if ground_goes or not (forget or f"{NAMESPACE}/{NAME}" in seen.cluster.releases):
            return
        lost = (f"all secrets in the vault ({NAMESPACE}/{NAME}) on its volumes",)
        yield Step(
            "release",
            "uninstall OpenBao with its volumes",
            (
                Delete(cluster, f"/api/v1/namespaces/{PROBE}"),
                Uninstall(cluster, NAME, NAMESPACE),
                Delete(cluster, f"/api/v1/namespaces/{NAMESPACE}", lost),
                *forget,
            ),
            (),
            4,
        )

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import vault_checks

        return vault_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        bao = OpenBao(world[Kube], self.kubernetes.cluster)
        lines = []
        for pod in range(self.spec.replicas):
            seal = await bao.seal_status(pod)
            state = "sealed" if seal.sealed else "unsealed"
            lines.append(
                StatusLine(
                    f"{NAME}-{pod}",
                    state,
                    f"kubectl -n {NAMESPACE} port-forward svc/{NAME}-active 8200",
                    not seal.sealed,
                )
            )
        return lines


def _is_begun(seen: VaultSeen) -> bool:
    """Whether it has its key, as far as that can be seen."""
    return bool(seen.shares.holders or not seen.sealed) and not seen.half_begun


def _by_holders(statuses: Sequence[SealStatus], store: Store) -> tuple[Quorum, tuple[str, ...]]:
    """Who holds shares of a vault that has been begun, and its pods that wait for them."""
    there = [s for s in statuses if s.initialized]
    shares = kept(store, there[0].threshold) if there else Quorum()
    if not shares.holders:
        return Quorum(), ()
    waits = (f"{NAME}-{i}" for i, s in enumerate(statuses) if s.initialized and s.sealed)
    return shares, tuple(waits)


LOGIN = """set -eu; umask 077
token=$(bao write -field=token auth/kubernetes/login role=vault-probe jwt=@/token/vault)
BAO_TOKEN=$token bao kv get -field=value kv/disco/probe > /delivered/value
"""
PROVE = """set -e; busybox sha256sum < /delivered/value; exec sleep 2147483647"""


def _probe(image: str) -> Iterator[dict[str, Any]]:
    """A pod that logs in with its service account, fetches the secret, and tells only its hash."""
    labels = {"app.kubernetes.io/name": PROBE, "app.kubernetes.io/part-of": "disco"}
    meta = {"name": PROBE, "namespace": PROBE, "labels": labels}
    locked = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    small = {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "256Mi"}}
    delivered = {"name": "delivered", "mountPath": "/delivered"}
    fetch = {
        "name": "fetch",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", LOGIN],
        "env": [
            {"name": "BAO_ADDR", "value": f"http://{NAME}-active.{NAMESPACE}:8200"},
            {"name": "HOME", "value": "/delivered"},
        ],
        "securityContext": locked,
        "resources": small,
        "volumeMounts": [delivered, {"name": "token", "mountPath": "/token", "readOnly": True}],
    }
    prove = {
        "name": "prove",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", PROVE],
        "securityContext": locked,
        "resources": small,
        "volumeMounts": [delivered],
    }
    token = {"serviceAccountToken": {"path": "vault", "audience": NAME, "expirationSeconds": 600}}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROBE, "labels": labels}}
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": meta,
        "automountServiceAccountToken": False,
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": PROBE}},
            "template": {
                # it fetches what is in the vault when it starts
                "metadata": {"labels": labels, "annotations": {FETCHED: VersionRef(PROBE_SECRET)}},
                "spec": {
                    "serviceAccountName": PROBE,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 1000,
                        "runAsGroup": 1000,
                        "fsGroup": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "terminationGracePeriodSeconds": 0,
                    "initContainers": [fetch],
                    "containers": [prove],
                    "volumes": [
                        {"name": "delivered", "emptyDir": {"medium": "Memory"}},
                        {"name": "token", "projected": {"sources": [token]}},
                    ],
                },
            },
        },
    }
