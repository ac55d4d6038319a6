"""Does a chain live: blocks, votes, peers, keys, and the one genesis that all started from."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from disco.chains.lease import SIGNER
from disco.chains.validators import ValidatorKeys
from disco.checks.counted import counted, until_green
from disco.checks.prometheus import Prometheus, by_pod, patiently
from disco.checks.releases import release_check
from disco.checks.shared import Once
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.kube.reader import Kube
from disco.layers.akash import verdicts
from disco.layers.akash.rpc import Rpc, Status
from disco.layers.akash.signer import KEYS, pod_of
from disco.layers.akash.signer_executors import cluster_uid, known
from disco.store.store import Store

if TYPE_CHECKING:
    from disco.layers.akash.chain import ChainNode

RISES_WITHIN_S = 15.0  # three blocks at the slowest usual pace, 5 s
BLOCKS = 5  # a vote may come late: a validator has signed if it is in one of so many


@dataclass(frozen=True)
class Node:
    """A node of the chain as it was found: its status, or why there is none."""

    rpc: Rpc
    status: Status | str

    @property
    def fault(self) -> str:
        return self.status if isinstance(self.status, str) else ""


class ChainChecks:
    """declared: names of the pods that the spec asks for."""

    def __init__(self, component: ChainNode, world: World) -> None:
        self.component, self.world = component, world
        self.kube, self.cluster = world[Kube], component.kubernetes.cluster
        self.name, self.chain = component.short, component.chain
        self.declared = component.declared
        self.nodes = Once(self._nodes)

    async def _nodes(self) -> dict[str, Node]:
        """The declared nodes, and whatever else runs as one of this chain."""
        path = f"/api/v1/namespaces/{self.name}/pods"
        chosen = f"app.kubernetes.io/name={self.name}"
        pods = (await self.kube.get(self.cluster, path, labelSelector=chosen))["items"]
        names = dict.fromkeys([*self.declared, *(p["metadata"]["name"] for p in pods)])
        found = await asyncio.gather(*(self._node(n) for n in names))
        return dict(zip(names, found, strict=True))

    async def _node(self, name: str) -> Node:
        rpc = Rpc(self.kube, self.cluster, f"{self.name}/{name}", self.chain.ports.rpc)
        return Node(rpc, await _or_why(rpc.status()))

    async def statuses(self) -> dict[str, Status]:
        """Of the nodes that answer."""
        nodes = await self.nodes()
        return {n: x.status for n, x in nodes.items() if isinstance(x.status, Status)}

    async def answering(self) -> tuple[dict[str, Rpc], dict[str, str]]:
        """The nodes that answer, and the faults of all declared ones."""
        nodes = await self.nodes()
        faults = {n: nodes[n].fault for n in self.declared}
        return {n: x.rpc for n, x in nodes.items() if not x.fault}, faults

    async def height(self) -> Answer:
        """Every declared node is asked until it is higher than when it was first asked."""
        nodes, faults = await self.answering()
        statuses = await self.statuses()
        before = {n: statuses[n].height for n in self.declared if n in nodes}
        after = await asyncio.gather(*(self._risen(nodes[n], h) for n, h in before.items()))
        risen = dict(zip(before, after, strict=True))
        faults |= {n: x if isinstance(x, str) else "" for n, x in risen.items()}
        shown = ", ".join(f"{n} {before[n]} to {x}" for n, x in risen.items())
        return counted(faults, "nodes rise", shown)

    async def _risen(self, rpc: Rpc, before: int) -> int | str:
        """Its new height, or why there is none."""
        ends = time.monotonic() + RISES_WITHIN_S
        while True:
            now = await _or_why(rpc.status())
            if isinstance(now, Status) and now.height > before:
                return now.height
            if time.monotonic() > ends:
                stands = f"stands at {before} for {RISES_WITHIN_S:.0f} s"
                return stands if isinstance(now, Status) else str(now)
            await asyncio.sleep(0.2)

    async def synced(self) -> Answer:
        return verdicts.synced(await self.statuses(), (await self.answering())[1])

    async def signed(self) -> Answer:
        """Asked again for a while: a validator that has just started signs some blocks later."""
        return await until_green(self._signed, RISES_WITHIN_S, 1.0)

    async def _signed(self) -> Answer:
        """Of the last blocks that a node has, who signed at least one."""
        nodes, _ = await self.answering()
        statuses = await self.statuses()
        best = max(nodes, key=lambda n: statuses[n].height, default="")
        if not best:
            return Answer(False, "no node answers")
        rpc = nodes[best]
        last = (await rpc.status()).height
        heights = range(max(1, last - BLOCKS + 1), last + 1)
        active, *votes = await asyncio.gather(rpc.validators(), *(rpc.signers(h) for h in heights))
        ours = {verdicts.address(self._pub_key(v)): v.name for v in self.component.validators}
        return verdicts.signed(active, set().union(*votes), ours, heights)

    async def peers(self) -> Answer:
        """Everybody is to be connected with every validator but itself."""
        nodes, faults = await self.answering()
        lookup = self.world[Store].lookup
        ids = {v.name: lookup(v.node_id) for v in self.component.validators}
        known = {n: await _or_why(nodes[n].peers()) for n in self.declared if n in nodes}
        return verdicts.peers(known, ids, faults)

    async def chain_id(self) -> Answer:
        _, faults = await self.answering()
        wanted = self.component.chain_id
        for name, status in (await self.statuses()).items():
            faults[name] = "" if status.chain_id == wanted else f"is on {status.chain_id}"
        return counted(faults, f"nodes are on {wanted}")

    async def genesis(self) -> Answer:
        kept = self.world[Store].kept(self.component.genesis)
        if kept is None:
            return Answer(False, f"no genesis is kept as {self.component.genesis}")
        wanted = verdicts.digest(json.loads(kept))
        nodes, faults = await self.answering()
        for name, rpc in nodes.items():
            found = await _or_why(rpc.genesis())
            got = found if isinstance(found, str) else verdicts.digest(found)
            faults[name] = "" if got == wanted else f"has {got[:200]}, not {wanted}"
        return counted(faults, "nodes started from the kept genesis", f"SHA-256 {wanted}")

    async def keys(self) -> Answer:
        _, faults = await self.answering()
        found = {n: s.pub_key for n, s in (await self.statuses()).items()}
        kept = {v.name: self._pub_key(v) for v in self.component.validators}
        return verdicts.keys(found, kept, faults)

    def _pub_key(self, validator: ValidatorKeys) -> str:
        return self.world[Store].lookup(validator.pub_key)

    async def signers(self) -> Answer:
        """Each key may sign where the store says so, in this cluster, and signs nowhere else."""
        world, component = self.world, self.component
        uid = await cluster_uid(self.kube, self.cluster)
        about = component.lease()
        path = f"/api/v1/namespaces/{self.name}/pods"
        pods = {
            p["metadata"]["name"]: p for p in (await self.kube.get(self.cluster, path))["items"]
        }
        faults, told = {}, []
        for number, key in enumerate(about.keys):
            lease = known(world[Store], about, key, ask=False)
            here = (lease.stack, lease.cluster) == (world[Store].stack, uid)
            pod = pods.get(pod_of(number))
            faults[key.validator] = verdicts.leased(lease, here, about.place, pod)
            told.append(f"{key.validator} at its {lease.place}, lease {lease.fence}")
        if about.place == SIGNER:
            secret = f"/api/v1/namespaces/{self.name}/secrets/{KEYS}"
            left = await self.kube.find(self.cluster, secret) is not None
            faults[f"secret {KEYS}"] = "gives validators their keys again" if left else ""
        return counted(faults, "keys sign where the store says", ", ".join(told))

    async def volumes(self) -> Answer:
        path = f"/api/v1/namespaces/{self.name}/persistentvolumeclaims"
        found = (await self.kube.get(self.cluster, path))["items"]
        return verdicts.volumes(found, [f"home-{n}" for n in self.declared])

    async def metrics(self) -> Answer:
        """Prometheus' newest height of each node is as old as its last scrape, and no older."""
        server = Prometheus(self.kube, self.cluster)
        if not await server.is_there():
            return Answer(True, "not compared: this cluster has no Prometheus")
        return await patiently(server, lambda: self._heights(server))

    async def _heights(self, server: Prometheus) -> Answer:
        metric = f'{self.chain.metrics.height}{{namespace="{self.name}"}}'
        heights, paces, times, nodes = await asyncio.gather(
            server.query(metric),
            server.query(f"rate({metric}[2m])"),
            server.query(f"timestamp({metric})"),
            self._nodes(),
        )
        seen, pace = by_pod(heights), by_pod(paces)
        age = {pod: s.at - s.value for s in times if (pod := s.labels.get("pod"))}
        faults = {n: nodes[n].fault for n in self.declared}
        told = []
        for name, status in ((n, nodes[n].status) for n in self.declared):
            if isinstance(status, Status):
                faults[name] = verdicts.apart(
                    seen.get(name), age.get(name, 0.0), status.height, pace.get(name, 0.0)
                )
                told.append(f"{name} {seen.get(name, 0):.0f} of {status.height}")
        return counted(faults, "nodes' heights are in Prometheus", ", ".join(told))


def chain_checks(component: ChainNode, world: World) -> Iterator[Check]:
    ask = ChainChecks(component, world)
    prefix = f"chain/{component.short}"
    pods = f"kubectl -n {component.short} get pods -o wide; kubectl -n {component.short} logs POD"
    questions: list[tuple[str, str, str, Callable[[], Awaitable[Answer]]]] = [
        (
            "height",
            "Do new blocks come, on every node?",
            f"{pods}: `dump_consensus_state` of a node's RPC names the validators that are missing",
            ask.height,
        ),
        (
            "synced",
            "Has every node caught up?",
            f"{pods}: is it fetching, too slow, or without peers?",
            ask.synced,
        ),
        (
            "signed",
            "Do all validators sign?",
            f"{pods}: the validator that is named does not run, has no peers, is behind or jailed",
            ask.signed,
        ),
        (
            "peers",
            "Is every node connected with every validator?",
            f"{pods}: are the ids in its persistent peers right, do their names resolve, is port "
            "26656 open?",
            ask.peers,
        ),
        (
            "chain-id",
            "Is it the declared chain?",
            "compare `network` and `definition` in the stack file with what runs; a volume keeps "
            "the chain that it was made for",
            ask.chain_id,
        ),
        (
            "genesis",
            "Did every node start from the genesis that is kept?",
            "restore the kept file from a backup if it was changed; else the node's volume is of "
            "another chain: remove its claim and its pod",
            ask.genesis,
        ),
        (
            "keys",
            "Has every node a key of its own, and every validator the one that is kept?",
            "stop the node that is not declared at once, before it signs: kubectl -n "
            f"{component.short} delete pod POD",
            ask.keys,
        ),
        (
            "signers",
            "Does each validator's key sign at one place, the one that the store says?",
            f"disco signer status {component.short}; a key that two have is stopped at once: "
            f"kubectl -n {component.short} scale statefulset validator --replicas 0",
            ask.signers,
        ),
        (
            "volumes",
            "Is every node's volume bound and there to stay?",
            f"kubectl -n {component.short} describe pvc NAME; one that is going away is lost with "
            "its pod: copy the node's home first",
            ask.volumes,
        ),
        (
            "metrics",
            "Does Prometheus have the height that the nodes have?",
            "disco check --only metrics; does the pod's annotation prometheus.io/port fit?",
            ask.metrics,
        ),
    ]
    for what, question, fix, asking in questions:
        yield Check(f"{prefix}/{what}", question, fix, asking, within_s=45)
    yield release_check(prefix, component, world)


async def _or_why(asking: Awaitable[Any]) -> Any:
    """The answer, or in words why there is none."""
    try:
        return await asking
    except DiscoError as error:
        return f"does not answer: {error.why or error.what}"
