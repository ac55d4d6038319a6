"""The one place at the top that joins stack, readers and executors."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from disco.artifacts import Artifacts, Lock, Obtainer
from disco.artifacts.actions import Obtain
from disco.chains.genesis import MakeGenesis, make_genesis
from disco.cli.opened import opened, veiled
from disco.cli.stored import refresh
from disco.engine import leaving
from disco.engine.action import Action
from disco.engine.component import Component, World
from disco.engine.declared import Declared
from disco.engine.drift import Difference
from disco.engine.errors import DiscoError, WrongUse
from disco.engine.gate import Executor, Gate
from disco.engine.graph import Graph, build
from disco.engine.journal import Journal
from disco.engine.leaving import Before
from disco.engine.lock import Held
from disco.engine.lock import Lock as StackLock
from disco.engine.machine_lock import MachineLock
from disco.engine.place import Place
from disco.engine.secret import SecretRef
from disco.hosts import actions as on_hosts
from disco.hosts import drift as hosts_drift
from disco.hosts.execute import HostExecutors
from disco.hosts.reader import Hosts
from disco.hosts.sessions import Sessions
from disco.kube import actions as on_kube
from disco.kube.execute import KubeExecutors
from disco.kube.reader import Kube
from disco.layers import registry
from disco.layers.akash.signer_back import back_executors
from disco.layers.akash.signer_executors import lease_executors
from disco.layers.platform import openbao
from disco.layers.platform.vault_break_glass import BreakGlass, EndBreakGlass, Glass
from disco.layers.platform.vault_certificate import Reloader, ReloadVault
from disco.layers.platform.vault_executors import VaultExecutors
from disco.layers.platform.vault_rekey import Rekeyer, RekeyVault
from disco.layers.platform.vault_rotate import RotateVault, Rotator
from disco.layers.platform.vault_shares import GiveShare, SealVault, ShareExecutors
from disco.layers.platform.vault_snapshot import Restorer, RestoreVault
from disco.nspawn import executors as nspawn
from disco.nspawn.reader import Nspawn
from disco.stack.document import Origin
from disco.stack.load import Loaded, load
from disco.stack.model import Model
from disco.store import shared
from disco.store.actions import Certify, Discard, Forget, Remember, certify, discard, forget
from disco.store.actions import remember as make_secret
from disco.store.certificates import client_certificate
from disco.store.store import Store
from disco.store.team.remote_lock import Both, TeamLock


@dataclass
class Session:
    """A stack with everything that reads it; made by `open_stack`."""

    loaded: Loaded
    place: Place
    graph: Graph
    store: Store
    artifacts: Artifacts
    sessions: Sessions
    kube: Kube
    world: World

    @cached_property
    def journal(self) -> Journal:
        """One for all who write in this process: they take turns."""
        return Journal(self.place.journal, veiled)

    @property
    def lock(self) -> StackLock:
        return lock_of(self.place, self.store)

    def lookup(self, ref: SecretRef) -> str:
        return self.store.lookup(ref)

    async def components(self) -> dict[str, Component]:
        """Every component with its inputs as declared, also of a stack that is down."""
        return await leaving.components_of(self.graph, self.world)

    @property
    def declared(self) -> Declared:
        return Declared(self.place.declared)

    async def before(self) -> Before | None:
        """What the stack had that is declared otherwise now."""
        declared = self.declared.read(registry.components())
        return await leaving.before(
            declared, self.loaded.specs, lambda specs: _wire(specs, self.place), self.world
        )

    def gate(self, run: str, held: Held) -> Gate:
        return Gate(self._executors(), self.journal, run, held.check)

    async def explain(self, action: Action) -> list[Difference]:
        """Why an action has something to do: what differs, field by field, and who changed it."""
        if isinstance(action, on_hosts.HostAction):
            return await hosts_drift.of_action(self.sessions, self.lookup, action)
        return await self.kube.explain(action)

    def _executors(self) -> Mapping[str, Executor]:
        hosts = HostExecutors(self.sessions, self.lookup, self.find)
        kube = KubeExecutors(self.kube, self.lookup, self.find)
        vault = VaultExecutors(self.kube, self.store)
        shares = ShareExecutors(self.kube, self.store)
        glass = Glass(self.kube, self.store)
        store = self.store
        executors: dict[str, Any] = {
            Obtain.kind: Obtainer(self.artifacts),
            Remember.kind: lambda a, r: make_secret(a, store, r),
            Certify.kind: lambda a, r: certify(a, store, r),
            Forget.kind: lambda a, r: forget(a, store, r),
            Discard.kind: lambda a, r: discard(a, store, r),
            MakeGenesis.kind: lambda a, r: make_genesis(a, store, r),
            on_hosts.Put.kind: hosts.put,
            on_hosts.Program.kind: hosts.program,
            on_hosts.Images.kind: hosts.images,
            on_hosts.Unit.kind: hosts.unit,
            on_hosts.Run.kind: hosts.run,
            on_hosts.Packages.kind: hosts.packages,
            on_hosts.AwaitHost.kind: hosts.await_host,
            on_kube.Apply.kind: kube.apply,
            on_kube.Drain.kind: kube.drain,
            on_kube.DropPods.kind: kube.drop_pods,
            on_kube.Delete.kind: kube.delete,
            on_kube.Release.kind: kube.release,
            on_kube.Uninstall.kind: kube.uninstall,
            on_kube.AwaitRollout.kind: kube.await_rollout,
            on_kube.AwaitNodes.kind: kube.await_nodes,
            openbao.InitVault.kind: vault.init,
            openbao.UnsealVault.kind: vault.unseal,
            openbao.SetUpVault.kind: vault.set_up,
            ReloadVault.kind: Reloader(self.kube, self.store),
            GiveShare.kind: shares.give,
            SealVault.kind: shares.seal,
            RekeyVault.kind: Rekeyer(self.kube, self.store),
            **lease_executors(self.kube, self.store),
            **back_executors(self.kube, self.store),
            RotateVault.kind: Rotator(self.kube, self.store),
            BreakGlass.kind: glass.breaks,
            EndBreakGlass.kind: glass.ends,
            RestoreVault.kind: Restorer(self.kube, self.store),
            **nspawn.executors(self.lookup),
        }
        return registry.with_executors(executors, self.graph, self.world, self.lookup)

    def find(self, name: str) -> Path:
        held = self.artifacts.held(name)
        if held is None:
            raise DiscoError(
                f"the artifact {name} is not on this machine",
                where=str(self.artifacts.cache.root),
                fix=f"disco artifacts obtain {name}",
            )
        return held.path


def located(file: Path, environ: Mapping[str, str] = os.environ) -> tuple[Loaded, Place]:
    """A stack and where it keeps things; nothing is made. Raises StackProblems."""
    loaded = load(file, registry.sections(), environ)
    return loaded, Place.of(file, loaded.name)


def lock_of(place: Place, store: Store | None = None) -> StackLock:
    """What keeps a second run off the stack: on this machine, and where a team has a store, on
    every other one of theirs."""
    here = MachineLock(place.lock)
    team = shared.repository(store or Store(place))
    return Both(here, TeamLock(team, place.root.name)) if team else here


def wired(loaded: Loaded, place: Place) -> Graph:
    """Its components with their edges. Raises WrongUse with its place in the stack file; Several
    where a chain's definition has more than one mistake."""
    try:
        return _wire(loaded.specs, place)
    except WrongUse as error:
        if trail := _trail(error.where, loaded.specs):
            error.where = str(loaded.origins.get(trail, Origin(str(loaded.path), 1, 1)))
        raise


def _trail(where: str, specs: Mapping[str, Model]) -> tuple[str, ...]:
    """Of a component, or of one of its variables; empty for another place."""
    for name in specs:
        if where == name or where.startswith(f"{name}."):
            rest = where.removeprefix(name).removeprefix(".")
            return (*name.split(".", 1), *(rest.split(".") if rest else ()))
    return ()


def _wire(specs: Mapping[str, Model], place: Place) -> Graph:
    return build(registry.components(), registry.with_wanted(specs, place.stack_folder), place)


def new_run() -> str:
    """The id of a run: short, and unlike any other."""
    return secrets.token_hex(4)


@asynccontextmanager
async def open_stack(
    file: Path, environ: Mapping[str, str] = os.environ, *, makes: bool = True
) -> AsyncIterator[Session]:
    """Load a stack and open what reads it. Raises StackProblems, or DiscoError.

    makes: the state folder, where there is none.
    """
    loaded, place = located(file, environ)
    graph = wired(loaded, place)
    if makes:
        place.open()
    store = Store(place)
    opened(store)
    if makes:
        refresh(store)
    artifacts = Artifacts(lock=Lock.beside(file))

    sessions = Sessions(store.lookup)
    kube = Kube(store.lookup, client_certificate)
    world = World(place, store, artifacts, Hosts(sessions, store.lookup), kube, Nspawn())
    try:
        yield Session(loaded, place, graph, store, artifacts, sessions, kube, world)
    finally:
        await kube.close()
        await sessions.close()
