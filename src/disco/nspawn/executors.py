"""Carries out the actions of this package, by their kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from disco.engine.gate import Report
from disco.engine.secret import Lookup
from disco.nspawn import boot, bridge, root
from disco.nspawn.actions import (
    BootHost,
    MakeHost,
    MakeNetwork,
    RemoveHost,
    RemoveNetwork,
    StopHost,
)


async def make_network(action: MakeNetwork, lookup: Lookup, report: Report) -> None:
    await bridge.make(action.network)


async def make_host(action: MakeHost, lookup: Lookup, report: Report) -> None:
    await root.make(action, lookup, report)


async def boot_host(action: BootHost, lookup: Lookup, report: Report) -> None:
    await boot.boot(action.machine, report)


async def stop_host(action: StopHost, lookup: Lookup, report: Report) -> None:
    await boot.stop(action.machine, report)


async def remove_host(action: RemoveHost, lookup: Lookup, report: Report) -> None:
    await boot.stop(action.machine, report)
    report(f"deleting {action.machine.name}'s file system", None)
    await root.remove(action.machine)


async def remove_network(action: RemoveNetwork, lookup: Lookup, report: Report) -> None:
    await bridge.remove(action.network)


def executors(lookup: Lookup) -> dict[str, Callable[[Any, Report], Awaitable[None]]]:
    """For the engine's gate."""

    def bind(
        carry_out: Callable[[Any, Lookup, Report], Awaitable[None]],
    ) -> Callable[[Any, Report], Awaitable[None]]:
        return lambda action, report: carry_out(action, lookup, report)

    return {
        MakeNetwork.kind: bind(make_network),
        MakeHost.kind: bind(make_host),
        BootHost.kind: bind(boot_host),
        StopHost.kind: bind(stop_host),
        RemoveHost.kind: bind(remove_host),
        RemoveNetwork.kind: bind(remove_network),
    }
