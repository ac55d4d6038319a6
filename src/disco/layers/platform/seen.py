"""What the components of a cluster see of it: which of their actions would change nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from disco.engine.component import Step, World
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.store.actions import Remember
from disco.store.store import Store


@dataclass(frozen=True)
class ClusterSeen:
    """done: identities of actions that would change nothing. releases: `namespace/name`."""

    done: frozenset[str] = frozenset()
    releases: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()


async def look(world: World, cluster: Cluster, steps: Iterable[Step]) -> ClusterSeen:
    """Ask the store and the cluster about every action of these steps."""
    kube, store = world[Kube], world[Store]
    actions = [a for s in steps for a in s.actions]
    secrets = frozenset(store.names())
    kept = {a.identity for a in actions if isinstance(a, Remember) and a.secret in secrets}
    done = await kube.satisfied(cluster, actions)
    return ClusterSeen(done | kept, frozenset(await kube.releases(cluster)), secrets)
