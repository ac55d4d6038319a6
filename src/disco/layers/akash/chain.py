"""Any chain that has a definition: validators and full nodes, with keys made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from disco.chains import lease as leases
from disco.chains import registry
from disco.chains.definition import Chain
from disco.chains.genesis import MakeGenesis, genesis_name, genesis_of, validators_in
from disco.chains.validators import ValidatorKeys, peers
from disco.dashboards import shipped
from disco.engine.check import Check
from disco.engine.component import Component, Layer, Outputs, StatusLine, Step, World, pending
from disco.engine.errors import DiscoError
from disco.engine.secret import KeptRef, SecretRef, Text, VersionRef
from disco.kube import charts
from disco.kube.access import Cluster
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.paths import path_of
from disco.kube.reader import Kube
from disco.layers.akash import signer
from disco.layers.akash.signer_steps import SignerSteps
from disco.layers.akash.signing import DONE, WayBack, held_by_stack, leases_done, way_back
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.platform.fixed import SetThere, refused_storage, set_there
from disco.layers.platform.seen import ClusterSeen, look
from disco.layers.platform.vault import VaultOutputs
from disco.layers.platform.vault_agent import Agent
from disco.layers.platform.vault_clients import VaultClient, VaultDelivery, client, role_of
from disco.layers.probed import Probed
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.stack.model import Model, var
from disco.store.actions import Discard, told_anew
from disco.store.store import Store

CHART = "chain"
SERVICE = "validator"
GENESIS_KEPT, LEASES_HELD = "genesis kept", "leases held"  # seen in the store alone
IN_THE_GENESIS = ("network", "coins", "stake", "stakes", "genesis_time")


class SignerSpec(Model):
    """Each validator's key on a remote signer of its own, tmkms, and not in the validator's pod."""

    storage: str = var("16Mi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of the volume on which each remembers what it signed; it can't be changed later."""


class ChainSpec(Model):
    """A chain of your own: its validators and full nodes."""

    definition: str = var("", max_length=255)
    """The chain's name, or the path of its YAML file; the entry's own name when it is not set."""
    network: str = "local"
    """Which of the chain's networks."""
    pace: str = "fast"
    """How fast blocks come, one of the definition's paces."""
    validators: int = var(1, ge=1, le=20)
    """Validators with equal stakes; part of the genesis."""
    full_nodes: int = var(0, ge=0, le=20)
    """Nodes that follow without a vote."""
    coins: int = var(1_000_000_000_000, ge=1, unit="the chain's smallest coin")
    """What each validator's account has at the start."""
    stake: int = var(1_000_000_000, ge=1_000_000, unit="the chain's smallest coin")
    """How much of it each validator stakes, unless `stakes` says more."""
    stakes: tuple[Annotated[int, pydantic.Field(ge=1_000_000)], ...] = ()
    """The stakes of the validators one by one; blocks need more than two thirds of all."""
    genesis_time: str = var("2026-01-01T00:00:00Z", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    """When the chain begins; part of the genesis."""
    signer: SignerSpec | None = None
    """Remote signers for the validators' keys; without it the keys are with the validators."""
    storage: str = var("2Gi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of each node's volume; it can't be changed later."""
    vault: VaultDelivery = VaultDelivery()
    """What its pods may do in the vault, and what they get from it."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""

    @pydantic.model_validator(mode="after")
    def _one_stake_each(self) -> ChainSpec:
        if self.stakes and len(self.stakes) != self.validators:
            raise ValueError(f"{self.validators} validators need as many stakes")
        return self

    @property
    def each_stake(self) -> tuple[int, ...]:
        return self.stakes or (self.stake,) * self.validators


@dataclass(frozen=True)
class ChainLeft:
    """What can't be changed of a chain that is there. validators: in its genesis. signer: the
    first one, as it is. others: paths of objects for the vault's agent that are no longer
    declared."""

    has_genesis: bool
    validators: int
    there: SetThere | None
    signer: SetThere | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChainSeen(ClusterSeen):
    """back: how far keys are on their way back."""

    back: WayBack = DONE


class ChainOutputs(Outputs):
    name: str
    chain_id: str
    rpc: str


class ChainNode(Component):
    """A blockchain's validators and full nodes."""

    layer = Layer.AKASH
    section = "chains"
    many = True
    spec: ChainSpec
    kubernetes: KubernetesOutputs
    artifacts: ArtifactsOutputs
    vault: VaultOutputs | None

    @classmethod
    def takes(cls, spec: ChainSpec, attribute: str) -> bool:
        """It stands on the vault where its pods get something from it."""
        return attribute != "vault" or spec.vault.delivers

    @classmethod
    def wants(cls, spec: ChainSpec, name: str, folder: Path) -> tuple[str, ...]:
        """folder: of the stack file, where a definition's path begins. Raises WrongUse also where
        the definition has no such network or pace."""
        chain = registry.find(spec.definition or name, folder).on(spec.network)
        chain.environment(spec.pace)
        signers = ("tmkms", "images/tmkms") if spec.signer else ()
        agent = ("images/vault",) if spec.vault.files else ()
        return (chain.binary, f"images/{chain.image_name}", *signers, *agent)

    @classmethod
    def vault_client(cls, spec: ChainSpec, name: str, folder: Path) -> VaultClient | None:
        return client(f"{cls.section}.{name}", name, name, spec.vault)

    @classmethod
    def dashboards(cls, spec: ChainSpec, name: str, folder: Path) -> Mapping[str, str]:
        chain = registry.find(spec.definition or name, folder).on(spec.network)
        text = shipped(
            "chain",
            TITLE=chain.title if chain.name == name else f"{chain.title} {name}",
            CHAIN_ID=chain.network(spec.network).chain_id,
            NAMESPACE=name,
            METRICS=chain.metrics.family,
        )
        return {f"chain-{name}": text}

    @classmethod
    def probes(cls, spec: ChainSpec, name: str, folder: Path) -> Mapping[str, Probed]:
        """Where clients are sent, and where each validator's peers dial."""
        ports = registry.find(spec.definition or name, folder).on(spec.network).ports
        pods = [f"{SERVICE}-{i}" for i in range(spec.validators)]
        p2p = {f"{name}/{pod}": Probed(tcp=f"{pod}.{name}:{ports.p2p}") for pod in pods}
        return {f"{name}/rpc": Probed(http=f"http://rpc.{name}:{ports.rpc}/health"), **p2p}

    @property
    def short(self) -> str:
        """The entry's name, its namespace, and its folder in the store."""
        return self.name.partition(".")[2]

    @property
    def genesis(self) -> str:
        """The name of its kept genesis: by the entry, since two may have one definition."""
        return genesis_name(self.short)

    @cached_property
    def chain(self) -> Chain:
        """Its definition, read once: a plan asks for it at every step."""
        found = registry.find(self.spec.definition or self.short, self.place.stack_folder)
        return found.on(self.spec.network)

    @property
    def chain_id(self) -> str:
        return self.chain.network(self.spec.network).chain_id

    @property
    def validators(self) -> tuple[ValidatorKeys, ...]:
        folder = f"chains/{self.short}"
        return tuple(
            ValidatorKeys.under(folder, f"{SERVICE}-{i}") for i in range(self.spec.validators)
        )

    @property
    def declared(self) -> tuple[str, ...]:
        """Names of the pods that the spec asks for."""
        full = (f"node-{i}" for i in range(self.spec.full_nodes))
        return (*(v.name for v in self.validators), *full)

    def outputs(self, seen: ClusterSeen) -> ChainOutputs:
        rpc = f"http://rpc.{self.short}:{self.chain.ports.rpc}"
        return ChainOutputs(name=self.short, chain_id=self.chain_id, rpc=rpc)

    def nothing(self) -> ChainSeen:
        return ChainSeen()

    async def observe(self, world: World) -> ChainSeen:
        back = DONE if self.spec.signer else await way_back(world, self.lease())
        steps = list(self._all_steps(back))
        seen = await look(world, self.kubernetes.cluster, steps)
        done = await leases_done(world, [a for s in steps for a in s.actions], seen.done)
        if world[Store].has_kept(self.genesis):
            done |= {self._genesis().identity}
        return ChainSeen(done, seen.releases, seen.secrets, seen.anew, back)

    async def remembered(self, world: World) -> ChainSeen:
        """Whether it has a genesis and leases, by the store."""
        done = set()
        if world[Store].has_kept(self.genesis):
            done.add(GENESIS_KEPT)
        if held_by_stack(world[Store], self.lease()):
            done.add(LEASES_HELD)
        return replace(self.nothing(), done=frozenset(done))

    def forgetting(self, seen: ClusterSeen) -> Iterator[Step]:
        """The stack's next cluster may sign, and its network begins at 1."""
        public = self.chain.network(self.spec.network).is_public
        if LEASES_HELD in seen.done and not public:
            end = signer.EndLease(*self.leased, ground_goes=True)
            kept = (Discard(self.genesis),) if GENESIS_KEPT in seen.done else ()
            yield Step("genesis", f"discard the genesis of {self.short}", (end, *kept))

    def notes(self, seen: ChainSeen) -> list[str]:
        moves = signer.HandOver.kind in {a.kind for s in self.steps(seen) for a in s.actions}
        stands = f"{self.short}/{self.short}" in seen.releases
        told = []
        if moves and stands:
            told = ["while the validators' keys go to their signers"]
        elif seen.back.away:
            told = ["while the validators' keys come back from their signers"]
        return [*told_anew(seen.anew), *(f"no block comes {x}, about half a minute" for x in told)]

    async def observe_left(self, world: World, was: ChainNode) -> ChainLeft:
        genesis = world[Store].kept(self.genesis)
        there = await set_there(world, self.kubernetes.cluster, self.short, SERVICE, "node")
        validators = None if genesis is None else validators_in(genesis)
        mine = {path_of(thing) for thing in self._for_the_vault()}
        gone = [p for thing in was._for_the_vault() if (p := path_of(thing)) not in mine]
        others = [p for p in gone if await world[Kube].find(self.kubernetes.cluster, p)]
        return ChainLeft(
            genesis is not None,
            validators or was.spec.validators,
            there,
            await set_there(world, self.kubernetes.cluster, self.short, "signer-0"),
            tuple(others),
        )

    def leaving(self, left: ChainLeft, was: ChainNode) -> Iterator[Step]:
        if left.others:
            gone = tuple(Delete(self.kubernetes.cluster, path) for path in left.others)
            yield Step("vault/gone", f"delete what pods of {self.short} had for the vault", gone)

    def refused(self, left: ChainLeft, was: ChainNode) -> list[DiscoError]:
        """Rather than taking a setting that has no effect on a chain that is there."""
        before = {name: getattr(was.spec, name) for name in IN_THE_GENESIS}
        before["validators"] = left.validators
        errors = [
            DiscoError(
                f"{name} is part of the genesis and can't be changed",
                where=f"{self.name}.{name}",
                why=f"the chain was made with {value}",
                fix="put it back; for a new chain, take this one out of the file first",
            )
            for name, value in before.items()
            if left.has_genesis and value != getattr(self.spec, name)
        ]
        instead = f"take {self.name} out of the file and apply, which loses its blocks and state"
        again = f"{instead}; then put it in again"
        errors += refused_storage(left.there, self.spec.storage, self.name, again)
        if self.spec.signer:
            where = f"{self.name}.signer"
            errors += refused_storage(left.signer, self.spec.signer.storage, where, again)
        return errors

    def steps(self, seen: ChainSeen) -> Iterator[Step]:
        return pending(self._all_steps(seen.back), seen.done)

    def _genesis(self) -> MakeGenesis:
        chain = self.chain
        made = genesis_of(
            chain,
            self.spec.network,
            self.validators,
            Path(self.artifacts.path(chain.binary)),
            self.spec.genesis_time,
            f"{self.spec.coins}{chain.denom}",
            tuple(f"{s}{chain.denom}" for s in self.spec.each_stake),
        )
        return replace(made, kept=self.genesis)

    def _all_steps(self, back: WayBack = DONE) -> Iterator[Step]:
        chain, cluster, ns = self.chain, self.kubernetes.cluster, self.short
        keys = [r for v in self.validators for r in v.remembers(chain.address_prefix, chain.slip44)]
        yield Step("keys", f"make the keys of {self.spec.validators} validator(s)", tuple(keys))
        yield Step("genesis", f"make the genesis of {self.chain_id}", (self._genesis(),), ("keys",))
        if back.away:
            yield from self._signing.back(back)
        yield Step(
            "objects",
            f"keys and genesis of {ns} in the cluster",
            (self.lease(), Apply(cluster, ns, tuple(self._objects()))),
            ("genesis", *(["hand-back"] if back.away else [])),
        )
        release = Release(
            cluster, ns, ns, CHART, charts.source(CHART), self._values(), within_s=180
        )
        yield Step("release", f"install {chain.title}", (release,), ("objects",), 3)
        if self.spec.signer:
            storage = self.spec.signer.storage
            yield from self._signing.there(self.artifacts.image("tmkms"), storage)
        waits = [AwaitRollout(cluster, f"statefulsets/{ns}/{SERVICE}", 180)]
        if self.spec.full_nodes:
            waits.append(AwaitRollout(cluster, f"statefulsets/{ns}/node", 180))
        last = "signing" if self.spec.signer else "release"
        if back.away or back.keyless:
            last, title = "take-up", f"{ns}'s validators begin where their signers ended"
            yield Step(last, title, (signer.TakeUp(*self.leased),), ("release",), 8)
        yield Step("ready", f"{chain.title} makes blocks", tuple(waits), (last,), 14)
        if back.away or back.left:
            yield self._signing.gone()

    def lease(self) -> signer.TakeLease:
        return signer.TakeLease(
            *self.leased, place=leases.SIGNER if self.spec.signer else leases.HOME
        )

    @property
    def leased(self) -> tuple[Cluster, str, str, tuple[signer.Key, ...]]:
        """What every action on leases is about."""
        return self._signing.leased

    @property
    def _signing(self) -> SignerSteps:
        return SignerSteps(self.kubernetes.cluster, self.short, self.chain_id, self.validators)

    def leases_applied(self) -> Apply:
        """What the gates of the pods are told of the leases."""
        return next(
            a
            for s in self._all_steps()
            for a in s.actions
            if isinstance(a, Apply)
            and any(o["metadata"]["name"] == signer.LEASES for o in a.objects)
        )

    def _objects(self) -> Iterator[dict[str, Any]]:
        ns = self.short
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "genesis", "namespace": ns},
            "data": {"genesis.json": Text.of(KeptRef(self.genesis))},
        }
        yield from self._for_the_vault()
        keys = {f"{v.name}.node_key.json": Text.of(v.node_key) for v in self.validators}
        if not self.spec.signer:
            yield signer.leases_object(ns, signer.keys_of(self.validators))
            for v in self.validators:
                keys[f"{v.name}.priv_validator_key.json"] = Text.of(v.validator_key)
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": self._keys_secret, "namespace": ns},
            "stringData": keys,
        }

    @property
    def _keys_secret(self) -> str:
        """Another one where the keys are elsewhere, so that the one that had them can go."""
        return signer.NODE_KEYS if self.spec.signer else signer.KEYS

    @property
    def _agent(self) -> Agent | None:
        """Of each of its pods, where something is delivered to them."""
        wanted = self.spec.vault
        if not wanted.delivers:
            return None
        image, role = self.artifacts.image("openbao"), role_of(self.name)
        return Agent(image, role, wanted.files, wanted.refresh, wanted.wait, wanted.certificate)

    def _for_the_vault(self) -> Iterator[dict[str, Any]]:
        """The account that its pods have there, and what their agents mount."""
        labels = {"app.kubernetes.io/name": self.short, "app.kubernetes.io/part-of": "disco"}
        if self.vault_client(self.spec, self.short, Path()):
            yield {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": self.short, "namespace": self.short, "labels": labels},
                "automountServiceAccountToken": False,
            }
        if self._agent:
            yield from self._agent.objects(self.short, labels)

    def _of_the_vault(self) -> dict[str, Any]:
        """Values of its chart."""
        agent, found = self._agent, dict[str, Any]()
        if self.vault_client(self.spec, self.short, Path()):
            found["serviceAccountName"] = self.short
        if agent:
            found["extraInitContainers"] = [agent.container]
            found["extraVolumes"] = agent.volumes
            found["extraVolumeMounts"] = [agent.mount]
        return found

    def _values(self) -> dict[str, Any]:
        chain = self.chain
        return {
            **self._of_the_vault(),
            "name": self.short,
            "image": self.artifacts.image(chain.image_name),
            "binary": chain.binary,
            "envPrefix": chain.env_prefix,
            "chainId": self.chain_id,
            "validators": self.spec.validators,
            "fullNodes": self.spec.full_nodes,
            "peers": peers(self.validators, chain.ports.p2p),
            "config": {
                k.removeprefix(f"{chain.env_prefix}_"): v
                for k, v in chain.environment(self.spec.pace).items()
            }
            | self._listens(),
            "genesisConfigMap": "genesis",
            "keysSecret": self._keys_secret,
            "leasesConfigMap": signer.LEASES,
            **({"networkPolicy": {"signerPort": False}} if self.spec.signer else {}),
            "keysVersion": Text.of(*self._versions()),
            "storage": {"size": self.spec.storage},
        }

    def _versions(self) -> Iterator[str | SecretRef]:
        """Another text when one of the keys in the Secret is another one."""
        for v in self.validators:
            yield VersionRef(v.node_key.name)
            if not self.spec.signer:
                yield VersionRef(v.validator_key.name)

    def _listens(self) -> dict[str, str]:
        """Where a signer finds its validator."""
        return {signer.LISTEN: f"tcp://0.0.0.0:{signer.PORT}"} if self.spec.signer else {}

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        cluster, ns = self.kubernetes.cluster, self.short
        # Its namespace goes last: while that is there, an earlier way out was cut off.
        applied = Apply(cluster, ns, tuple(self._objects())).identity in seen.done
        if ground_goes or not (applied or f"{ns}/{ns}" in seen.releases):
            yield from self._forget_genesis(seen, (), ground_goes)
            return
        lost = (f"the blocks and state of {self.short} ({self.chain_id}) on its volumes",)
        signs = f"{ns}/{signer.RELEASE}" in seen.releases
        yield Step(
            "release",
            f"uninstall {self.short} with its volumes",
            (
                *([Uninstall(cluster, signer.RELEASE, ns)] if signs else []),
                Uninstall(cluster, ns, ns),
                Delete(cluster, f"/api/v1/namespaces/{ns}", lost),
            ),
            (),
            4,
        )
        yield from self._forget_genesis(seen, ("release",), False)

    def _forget_genesis(
        self, seen: ClusterSeen, after: tuple[str, ...], ground_goes: bool
    ) -> Iterator[Step]:
        """The next network of this name may have other validators or stakes, and begins at 1."""
        goes_on = self.chain.network(self.spec.network).is_public
        end = signer.EndLease(*self.leased, keeps=goes_on, ground_goes=ground_goes)
        leased = self.lease().identity in seen.done
        if self._genesis().identity in seen.done or leased:
            title = f"discard the genesis of {self.short}"
            yield Step("genesis", title, (*([end] if leased else []), Discard(self.genesis)), after)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.akash.checks import checks

        return checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{self.short}/statefulsets/{SERVICE}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = (found or {}).get("status", {}).get("readyReplicas", 0)
        wanted = self.spec.validators
        return [
            StatusLine(
                f"{self.short} ({self.chain_id})",
                f"{ready} of {wanted} validators",
                f"disco exec {self.short} -- {self.chain.binary} status",
                ready == wanted,
            )
        ]
