"""Executors of the simulated world, one for every kind of action that `cli.wiring` wires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disco.artifacts.actions import Obtain
from disco.chains.genesis import MakeGenesis
from disco.engine.action import Action
from disco.engine.gate import Executor, Report
from disco.engine.secret import Lookup
from disco.hosts import actions as on_hosts
from disco.kube import actions as on_kube
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
from disco.nspawn import actions as on_nspawn
from disco.store.actions import Certify, Discard, Forget, Remember, discard, forget
from sim.artifacts import SimulatedArtifacts
from sim.certificates import certify_canary, sign_inner
from sim.genesis import make_genesis
from sim.hosts import HostExecutors
from sim.kube import SimulatedKube, SimulatedKubeExecutors
from sim.nspawn import NspawnExecutors
from sim.simulation import Simulation
from sim.snapshots import kept_in_file
from sim.store import SimulatedStore, remember_canary


def executors(
    simulation: Simulation,
    store: SimulatedStore,
    artifacts: SimulatedArtifacts,
    kube: SimulatedKube,
    lookup: Lookup,
) -> Mapping[str, Executor]:
    hosts = HostExecutors(simulation, lookup, artifacts.path)
    cluster = SimulatedKubeExecutors(kube, lookup, artifacts.path, simulation)
    vault = VaultExecutors(kube, store, sign_inner)
    shares = ShareExecutors(kube, store)
    glass = Glass(kube, store)
    nspawn = NspawnExecutors(simulation, lookup)
    found: dict[str, Any] = {
        Obtain.kind: artifacts.obtain,
        Remember.kind: lambda a, r: remember_canary(a, store, simulation, r),
        Certify.kind: lambda a, r: certify_canary(a, store, simulation, r),
        Forget.kind: lambda a, r: forget(a, store, r),
        Discard.kind: lambda a, r: discard(a, store, r),
        MakeGenesis.kind: lambda a, r: make_genesis(a, store, simulation, r),
        on_hosts.Put.kind: hosts.put,
        on_hosts.Program.kind: hosts.program,
        on_hosts.Images.kind: hosts.images,
        on_hosts.Unit.kind: hosts.unit,
        on_hosts.Run.kind: hosts.run,
        on_hosts.Packages.kind: hosts.packages,
        on_hosts.AwaitHost.kind: hosts.await_host,
        on_kube.Apply.kind: cluster.apply,
        on_kube.Drain.kind: cluster.drain,
        on_kube.DropPods.kind: cluster.drop_pods,
        on_kube.Delete.kind: cluster.delete,
        on_kube.Release.kind: cluster.release,
        on_kube.Uninstall.kind: cluster.uninstall,
        on_kube.AwaitRollout.kind: cluster.await_rollout,
        on_kube.AwaitNodes.kind: cluster.await_nodes,
        openbao.InitVault.kind: vault.init,
        openbao.UnsealVault.kind: vault.unseal,
        openbao.SetUpVault.kind: vault.set_up,
        ReloadVault.kind: Reloader(kube, store),
        GiveShare.kind: shares.give,
        SealVault.kind: shares.seal,
        RekeyVault.kind: Rekeyer(kube, store),
        **lease_executors(kube, store),
        **back_executors(kube, store),
        RotateVault.kind: Rotator(kube, store),
        BreakGlass.kind: glass.breaks,
        EndBreakGlass.kind: glass.ends,
        RestoreVault.kind: Restorer(kube, store, kept_in_file),
        on_nspawn.MakeNetwork.kind: nspawn.make_network,
        on_nspawn.MakeHost.kind: nspawn.make,
        on_nspawn.BootHost.kind: nspawn.boot,
        on_nspawn.StopHost.kind: nspawn.stop,
        on_nspawn.RemoveHost.kind: nspawn.remove,
        on_nspawn.RemoveNetwork.kind: nspawn.remove_network,
    }
    return {kind: _watched(simulation, do) for kind, do in found.items()}


def _watched(simulation: Simulation, executor: Any) -> Executor:
    """Around each action: a point before it, one after it, and time that passes in between."""

    async def carry_out(action: Action, report: Report) -> None:
        simulation.state.log.append((simulation.run, action.kind, action.identity))
        simulation.tick(f"before: {action.identity}")
        await simulation.breathe()
        await executor(action, report)
        simulation.tick(f"after: {action.identity}")

    return carry_out
