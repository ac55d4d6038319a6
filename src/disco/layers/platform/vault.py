"""A vault for the network's secrets: OpenBao on raft, unsealed by what the store has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from disco.dashboards import shipped
from disco.engine.action import Action, secrets_in
from disco.engine.check import Check
from disco.engine.component import Component, Layer, Outputs, StatusLine, Step, World, pending
from disco.engine.errors import DiscoError
from disco.engine.secret import Lookup, SecretRef, Text
from disco.kube import charts
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.platform import (
    vault_access,
    vault_certificate,
    vault_keys,
    vault_pki,
    vault_roles,
)
from disco.layers.platform.fixed import SetThere, refused_storage, set_there
from disco.layers.platform.openbao import (
    AUTHORITY,
    BEGUN,
    CERTIFICATE,
    KEYS,
    NAME,
    NAMESPACE,
    SETUP,
    URL,
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
from disco.layers.platform.vault_access import PROBE, ROOT
from disco.layers.platform.vault_agent import Agent
from disco.layers.platform.vault_certificate import CERTIFY, IN_CLUSTER, ReloadVault
from disco.layers.platform.vault_clients import VaultClient
from disco.layers.platform.vault_objects import LABELS, probe, reach
from disco.layers.platform.vault_roles import Role
from disco.layers.platform.vault_seal import secret
from disco.layers.platform.vault_spec import VaultSpec, VaultWithClients
from disco.layers.probed import Probed
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.store.actions import Forget, Remember, told_anew
from disco.store.generate import CertificateAuthority, Password
from disco.store.store import Store
from disco.store.team.layout import SHARE

PROBE_SECRET, PROBE_PATH = "vault/probe", "disco/probe"
PROBE_REFRESH = "5s"


class VaultOutputs(Outputs):
    url: str


@dataclass(frozen=True)
class VaultSeen:
    """shares: who holds them by the store, of a vault that is there. waits: pods that are sealed
    until these give theirs. begun: it has its key, of an init that was not cut off. shows_other:
    a pod shows another certificate than the store has. strangers: roles of components that nobody
    declares."""

    cluster: ClusterSeen = field(default_factory=ClusterSeen)
    sealed: bool = True
    is_set_up: bool = False
    shares: Quorum = field(default_factory=Quorum)
    waits: tuple[str, ...] = ()
    begun: bool = False
    shows_other: bool = False
    strangers: tuple[str, ...] = ()


@dataclass(frozen=True)
class VaultLeft:
    """begun: whether the store has its keys."""

    there: SetThere | None = None
    begun: bool = False


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

    @classmethod
    def dashboards(cls, spec: VaultSpec) -> Mapping[str, str]:
        return {"vault": shipped("vault")}

    @classmethod
    def probes(cls, spec: VaultSpec) -> Mapping[str, Probed]:
        """The pod that leads it, with its certificate."""
        return {
            "vault/health": Probed(http=f"{URL}/v1/sys/health", expect=200, authority=AUTHORITY)
        }

    def outputs(self, seen: VaultSeen) -> VaultOutputs:
        return VaultOutputs(url=URL)

    def nothing(self) -> VaultSeen:
        return VaultSeen()

    def exists_partly(self, seen: VaultSeen) -> bool:
        """What stands on it, or asks it, is on the same cluster: there or not without it."""
        return True

    async def observe(self, world: World) -> VaultSeen:
        cluster = self.kubernetes.cluster
        seen = await look(world, cluster, list(self._all_steps()))
        needed = {KEYS, AUTHORITY, CERTIFICATE}  # one from before it had a certificate is as silent
        if not needed <= seen.secrets or f"{NAMESPACE}/{NAME}" not in seen.releases:
            return VaultSeen(seen)
        store, shares, replicas = world[Store], Quorum(), self.spec.replicas
        bao, begun = OpenBao(world[Kube], cluster, store.lookup), False
        other = bool(await vault_certificate.others(bao, store, replicas))
        try:
            statuses = await asyncio.gather(*(bao.seal_status(i) for i in range(replicas)))
            begun = any(s.initialized for s in statuses) and not store.has_kept(BEGUN)
            shares, waits = _by_holders(statuses, store)
            if any(s.sealed or not s.initialized for s in statuses):
                return VaultSeen(seen, True, False, shares, waits, begun, other)
            if await rolling_out(world[Kube], cluster):  # who is replaced comes up sealed
                return VaultSeen(seen, True, False, shares, (), begun, other)
            keys = store.fields(KEYS)
            token = await vault_access.token(bao, keys)
            setup = await bao.read(token, SETUP)
            there = secrets_in(self.set_up) <= seen.secrets - seen.anew.keys()
            wanted = setup_digest(self.set_up, store) if there else ""
            same = there and (setup or {}).get("digest") == wanted
            strangers = await self._strangers(bao, token, setup)
            wrong = await self._wrong(bao, token, store.lookup) if same else {}
        except DiscoError:  # pods that don't answer have yet to be waited for
            return VaultSeen(seen, True, False, shares, (), begun, other)
        is_set_up = same and not any((*wrong.values(), *strangers)) and ROOT not in keys
        return VaultSeen(seen, False, is_set_up, shares, (), begun, other, strangers)

    async def _wrong(self, bao: OpenBao, token: str, lookup: Lookup) -> dict[str, str]:
        """What of a vault that was set up is otherwise than declared, and can be put back: a key
        that was made exportable stays so."""
        keys = await vault_keys.wrong(bao, token, self.set_up.keys)
        return {
            **await vault_roles.wrong(bao, token, self.set_up.roles),
            **{k: told for k, told in keys.items() if told == vault_keys.MISSING},
            **await vault_pki.wrong(bao, token, lookup, self.set_up.issues, vault_pki.RENEW_DAYS),
        }

    async def _strangers(self, bao: OpenBao, token: str, setup: object) -> tuple[str, ...]:
        """Of a vault that was set up; one that was not has none."""
        return await vault_roles.strangers(bao, token, self.set_up.roles) if setup else ()

    def notes(self, seen: VaultSeen) -> list[str]:
        told = told_anew(seen.cluster.anew)
        if seen.waits:
            told.append(
                f"{', '.join(seen.waits)} sealed: apply stops there until {seen.shares} gave their "
                "shares, each with disco vault unseal"
            )
        elif self._replaces(seen):
            told.append(self._told_of_restarts(seen))
        told += [
            f"{n}: nobody declares any more what it may; its role and policy go from the vault"
            for n in seen.strangers
        ]
        wanted = self.spec.quorum
        if seen.begun and seen.shares != wanted:
            now = str(seen.shares) if seen.shares.holders else "the store's key"
            does = "recovers" if self.spec.seal else "opens"
            told.append(
                f"{now} {does} it, and the file says {wanted}: disco vault rekey, by the holders"
                if wanted.holders
                else f"{now} {does} it, and the file names no holders: put them back"
            )
        return told

    def _replaces(self, seen: VaultSeen) -> bool:
        """Whether its release is there and is to become another one."""
        there = KEYS in seen.cluster.secrets and f"{NAMESPACE}/{NAME}" in seen.cluster.releases
        return there and self._release.identity not in seen.cluster.done

    def _told_of_restarts(self, seen: VaultSeen) -> str:
        names = sorted(n.removeprefix(SHARE) for n in seen.cluster.secrets if n.startswith(SHARE))
        told = (
            "its release changes: pods that it replaces, one by one, keep their data and come up "
        )
        if self.spec.seal:
            return f"{told.removesuffix('come up ')}are unsealed by {self.spec.seal.kind}"
        if not names:
            return f"{told}sealed; apply unseals each"
        holders = seen.shares if seen.shares.holders else Quorum(tuple(names), self.spec.threshold)
        return (
            f"{told}sealed; apply stops until {holders} gave their shares for each, "
            "with disco vault unseal"
        )

    def steps(self, seen: VaultSeen) -> Iterator[Step]:
        done = set(seen.cluster.done)
        if not self._reloads(seen):
            done.add(self._reload.identity)
        if seen.begun:
            done.add(self._init.identity)
        if not seen.sealed:
            if self._release.identity in done:  # else it replaces pods
                done.add(self._unseal.identity)
            if seen.is_set_up:
                done.add(self.set_up.identity)
        return pending(self._all_steps(seen.strangers), done)

    @property
    def _release(self) -> Release:
        source, values = charts.source(NAME), self._values()
        return Release(self.kubernetes.cluster, NAME, NAMESPACE, NAME, source, values, within_s=120)

    @property
    def _init(self) -> InitVault:
        spec = self.spec
        return InitVault(self.kubernetes.cluster, spec.replicas, spec.quorum, self._opener)

    @property
    def _unseal(self) -> UnsealVault:
        spec = self.spec
        return UnsealVault(self.kubernetes.cluster, spec.replicas, spec.quorum, self._opener)

    @property
    def _opener(self) -> str:
        return self.spec.seal.kind if self.spec.seal else ""

    @property
    def _reload(self) -> ReloadVault:
        return ReloadVault(self.kubernetes.cluster, self.spec.replicas)

    def _reloads(self, seen: VaultSeen) -> bool:
        """Whether a vault is there that shows another certificate than it will have to."""
        is_there = f"{NAMESPACE}/{NAME}" in seen.cluster.releases
        return seen.shows_other or (is_there and CERTIFY.secret in seen.cluster.anew)

    @property
    def set_up(self) -> SetUpVault:
        """With all that is declared."""
        prober = Role(PROBE, PROBE, PROBE, ((f"kv/data/{PROBE_PATH}", ("read",)),))
        values: dict[str, dict[str, SecretRef | Text | str]] = {
            path.removeprefix("kv/"): {k: SecretRef.of(v) for k, v in fields.items()}
            for path, fields in self.spec.values.items()
        }
        return SetUpVault(
            self.kubernetes.cluster,
            (prober, *(c.role for c in self.clients)),
            {PROBE_PATH: {"value": SecretRef(PROBE_SECRET)}, **values},
            keys=tuple(sorted({k for c in self.clients for k in c.sign})),
            issues=tuple(c.issues for c in self.clients if c.names),
        )

    @property
    def clients(self) -> tuple[VaultClient, ...]:
        return self.spec.clients if isinstance(self.spec, VaultWithClients) else ()

    def opens(self) -> tuple[Action, ...]:
        """What makes a vault of use that has keys."""
        return (self._unseal, self.set_up)

    def _all_steps(self, gone: tuple[str, ...] = ()) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        first = Remember(PROBE_SECRET, Password(32), rotates=True)
        authority = Remember(AUTHORITY, CertificateAuthority("vault"), rotates=True)
        yield Step("secret", "make the vault's first secret", (first,))
        yield Step(
            "certificate",
            "make the vault's certificate, and bring it into the cluster",
            (
                authority,
                CERTIFY,
                Apply(cluster, NAMESPACE, tuple(vault_certificate.objects(LABELS))),
                self._reload,
            ),
        )
        yield Step(
            "clients",
            f"let pods of {', '.join(self._let_in)} reach the vault"
            if self.clients
            else "let no component's pods reach the vault",
            (Apply(cluster, "vault-clients", (reach(self._let_in),)),),
            ("certificate",),
        )
        after = ("certificate",)
        if self.spec.seal:
            opener = Apply(cluster, "vault-seal", (secret(self.spec.seal, LABELS),))
            yield Step("seal", f"let the vault ask {self._opener}", (opener,), after)
            after = ("seal",)
        yield Step("release", "install OpenBao", (self._release,), after, 3)
        by = self._opener or (str(self.spec.quorum) if self.spec.holders else "")
        yield Step(
            "open",
            f"initialise and set up the vault, unsealed by {by}"
            if by
            else "initialise, unseal and set up the vault",
            (
                self._init,
                self._unseal,
                replace(self.set_up, gone=gone),
            ),
            ("release", "secret"),
            8,
        )
        yield Step(
            "probe",
            "deliver a secret to a pod",
            (
                Apply(cluster, PROBE, tuple(probe(self._agent))),
                AwaitRollout(cluster, f"deployments/{PROBE}/{PROBE}"),
            ),
            ("open",),
            4,
        )

    @property
    def _let_in(self) -> tuple[str, ...]:
        """Namespaces."""
        return tuple(sorted({c.namespace for c in self.clients}))

    @property
    def _agent(self) -> Agent:
        return Agent(self._image, PROBE, {"value": f"kv/{PROBE_PATH}#value"}, PROBE_REFRESH)

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
            },
            "tls": {"enabled": True, "secretName": IN_CLUSTER},
            **({"seal": self.spec.seal.values()} if self.spec.seal else {}),
        }

    async def observe_left(self, world: World, was: Vault) -> VaultLeft:
        there = await set_there(world, self.kubernetes.cluster, NAMESPACE, NAME)
        return VaultLeft(there, world[Store].has(KEYS))

    def refused(self, was_there: VaultLeft, was: Vault) -> list[DiscoError]:
        """Rather than failing in the middle of a run, losing the majority of raft, or what opens
        it."""
        left = was_there.there
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
        before, now = (s.seal.key if s.seal else None for s in (was.spec, self.spec))
        if left and was_there.begun and before != now:
            errors.append(
                DiscoError(
                    "what opens the vault can't be changed while it is there",
                    where=f"{self.name}.seal",
                    why="its data could be read by no other key than "
                    f"{'that of ' + was.spec.seal.kind if was.spec.seal else 'its own'}",
                    fix=f"put it back; for another one, {anew}",
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
        bao = OpenBao(world[Kube], self.kubernetes.cluster, world[Store].lookup)
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


def _by_holders(statuses: Sequence[SealStatus], store: Store) -> tuple[Quorum, tuple[str, ...]]:
    """Who holds shares of a vault that has been begun, and its pods that wait for them."""
    there = [s for s in statuses if s.initialized]
    shares = kept(store, there[0].threshold) if there else Quorum()
    if not shares.holders:
        return Quorum(), ()
    waits = (
        f"{NAME}-{i}" for i, s in enumerate(statuses) if s.initialized and s.sealed and not s.auto
    )
    return shares, tuple(waits)
