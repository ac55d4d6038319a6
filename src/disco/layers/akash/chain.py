"""Any chain that has a definition: validators and full nodes, with keys made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from disco.chains import registry
from disco.chains.definition import Chain
from disco.chains.genesis import MakeGenesis, genesis_name, genesis_of, validators_in
from disco.chains.validators import ValidatorKeys, peers
from disco.engine.check import Check
from disco.engine.component import Component, Layer, Outputs, StatusLine, Step, World, pending
from disco.engine.errors import DiscoError
from disco.engine.secret import KeptRef, SecretRef, Text, VersionRef
from disco.kube import charts
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.platform.fixed import SetThere, refused_storage, set_there
from disco.layers.platform.seen import ClusterSeen, look
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.stack.model import Model, var
from disco.store.actions import Discard, told_anew
from disco.store.store import Store

CHART = "chain"
SERVICE = "validator"
IN_THE_GENESIS = ("network", "coins", "stake", "stakes", "genesis_time")


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
    storage: str = var("2Gi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of each node's volume; it can't be changed later."""
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
    """What can't be changed of a chain that is there. validators: in its genesis."""

    has_genesis: bool
    validators: int
    there: SetThere | None


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

    @classmethod
    def wants(cls, spec: ChainSpec, name: str, folder: Path) -> tuple[str, ...]:
        """folder: of the stack file, where a definition's path begins. Raises WrongUse also where
        the definition has no such network or pace."""
        chain = registry.find(spec.definition or name, folder).on(spec.network)
        chain.environment(spec.pace)
        return (chain.binary, f"images/{chain.image_name}")

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

    def outputs(self, seen: ClusterSeen) -> ChainOutputs:
        rpc = f"http://rpc.{self.short}:{self.chain.ports.rpc}"
        return ChainOutputs(name=self.short, chain_id=self.chain_id, rpc=rpc)

    def nothing(self) -> ClusterSeen:
        return ClusterSeen()

    async def observe(self, world: World) -> ClusterSeen:
        seen = await look(world, self.kubernetes.cluster, list(self._all_steps()))
        if world[Store].has_kept(self.genesis):
            return replace(seen, done=seen.done | {self._genesis().identity})
        return seen

    def notes(self, seen: ClusterSeen) -> list[str]:
        return told_anew(seen.anew)

    async def observe_left(self, world: World, was: ChainNode) -> ChainLeft:
        genesis = world[Store].kept(self.genesis)
        there = await set_there(world, self.kubernetes.cluster, self.short, SERVICE, "node")
        validators = None if genesis is None else validators_in(genesis)
        return ChainLeft(genesis is not None, validators or was.spec.validators, there)

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
        return errors + refused_storage(
            left.there, self.spec.storage, self.name, f"{instead}; then put it in again"
        )

    def steps(self, seen: ClusterSeen) -> Iterator[Step]:
        return pending(self._all_steps(), seen.done)

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

    def _all_steps(self) -> Iterator[Step]:
        chain, cluster, ns = self.chain, self.kubernetes.cluster, self.short
        keys = [r for v in self.validators for r in v.remembers(chain.address_prefix, chain.slip44)]
        yield Step("keys", f"make the keys of {self.spec.validators} validator(s)", tuple(keys))
        yield Step("genesis", f"make the genesis of {self.chain_id}", (self._genesis(),), ("keys",))
        yield Step(
            "objects",
            f"keys and genesis of {ns} in the cluster",
            (Apply(cluster, ns, tuple(self._objects())),),
            ("genesis",),
        )
        release = Release(
            cluster, ns, ns, CHART, charts.source(CHART), self._values(), within_s=180
        )
        yield Step("release", f"install {chain.title}", (release,), ("objects",), 3)
        waits = [AwaitRollout(cluster, f"statefulsets/{ns}/{SERVICE}", 180)]
        if self.spec.full_nodes:
            waits.append(AwaitRollout(cluster, f"statefulsets/{ns}/node", 180))
        yield Step("ready", f"{chain.title} makes blocks", tuple(waits), ("release",), 14)

    def _objects(self) -> Iterator[dict[str, Any]]:
        ns = self.short
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "genesis", "namespace": ns},
            "data": {"genesis.json": Text.of(KeptRef(self.genesis))},
        }
        keys = {}
        for v in self.validators:
            keys[f"{v.name}.node_key.json"] = Text.of(v.node_key)
            keys[f"{v.name}.priv_validator_key.json"] = Text.of(v.validator_key)
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": "keys", "namespace": ns},
            "stringData": keys,
        }

    def _values(self) -> dict[str, Any]:
        chain = self.chain
        return {
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
            },
            "genesisConfigMap": "genesis",
            "keysSecret": "keys",
            "keysVersion": Text.of(*self._versions()),
            "storage": {"size": self.spec.storage},
        }

    def _versions(self) -> Iterator[str | SecretRef]:
        """Another text when one of the keys in the Secret is another one."""
        for v in self.validators:
            yield VersionRef(v.node_key.name)
            yield VersionRef(v.validator_key.name)

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        cluster, ns = self.kubernetes.cluster, self.short
        # Its namespace goes last: while that is there, an earlier way out was cut off.
        applied = Apply(cluster, ns, tuple(self._objects())).identity in seen.done
        if ground_goes or not (applied or f"{ns}/{ns}" in seen.releases):
            yield from self._forget_genesis(seen, ())
            return
        lost = (f"the blocks and state of {self.short} ({self.chain_id}) on its volumes",)
        yield Step(
            "release",
            f"uninstall {self.short} with its volumes",
            (
                Uninstall(cluster, ns, ns),
                Delete(cluster, f"/api/v1/namespaces/{ns}", lost),
            ),
            (),
            4,
        )
        yield from self._forget_genesis(seen, ("release",))

    def _forget_genesis(self, seen: ClusterSeen, after: tuple[str, ...]) -> Iterator[Step]:
        """The next network of this name may have other validators or stakes."""
        if self._genesis().identity in seen.done:
            title = f"discard the genesis of {self.short}"
            yield Step("genesis", title, (Discard(self.genesis),), after)

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
