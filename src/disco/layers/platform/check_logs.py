"""Does the store of logs answer, and does what pods and hosts write get there?"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from disco.checks.counted import counted, until_green
from disco.checks.logs import LogStore
from disco.checks.releases import release_check
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.kube.reader import Kube

if TYPE_CHECKING:
    from disco.layers.platform.logs import Logs

TAG = "disco-check"
ALIVE_S = 35.0  # a collector writes each 10 s; a file that is quiet is looked at each 10 s


def logs_checks(component: Logs, world: World) -> Iterator[Check]:
    store, nodes = component.store(world[Kube]), component.kubernetes.nodes
    pod = f"{component.set_name}-0"
    yield Check(
        "logs/ready",
        "Does the store of logs answer?",
        f"kubectl -n logs describe pod {pod}; kubectl -n logs logs {pod}",
        store.ready,
    )
    yield Check(
        "logs/flow",
        "Is what pods and hosts write found in the store soon after?",
        "kubectl -n logs get pods -o wide shows where a collector is missing; kubectl -n logs logs "
        f"POD -c {component.kind.collects} says what keeps it from sending",
        lambda: _flow(store, world[Hosts], nodes),
        within_s=60.0,
        reads_only=False,
    )
    yield release_check("logs", component, world)


async def _flow(store: LogStore, hosts: Hosts, nodes: Sequence[Host]) -> Answer:
    token = uuid.uuid4().hex
    written = await asyncio.gather(*(_write(hosts, node, token) for node in nodes))
    wrong = dict(zip((n.name for n in nodes), written, strict=True))

    begun = datetime.now(UTC) - timedelta(hours=1)  # by whatever clock the host has

    async def ask() -> Answer:
        since = datetime.now(UTC) - timedelta(seconds=ALIVE_S)
        return flow(wrong, await store.nodes_with(token, begun), await store.nodes_alive(since))

    return await until_green(ask, ALIVE_S, 1.0)


async def _write(hosts: Hosts, node: Host, token: str) -> str:
    """Put a line into the host's journal; returns why it can't be done."""
    try:
        done = await hosts.run(node, ["logger", "--tag", TAG, f"is this line found? {token}"])
    except DiscoError as error:
        return error.what
    return "" if done.ok else f"logger ended with {done.code}"


def flow(wrong: dict[str, str], hosts: set[str], pods: set[str]) -> Answer:
    """wrong: each node, and why nothing could be written there. hosts, pods: nodes from which the
    line of this check came, and a recent one of a pod."""
    faults = {}
    for node, why in wrong.items():
        faults[f"{node}'s journal"] = why or ("" if node in hosts else "its line is not there")
        faults[f"pods of {node}"] = "" if node in pods else f"no line of the last {ALIVE_S:.0f} s"
    return counted(faults, "ways to the store carry")
