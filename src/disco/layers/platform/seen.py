"""What the components of a cluster see of it: which of their actions would change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from disco.engine.component import Step, World
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.store.actions import anew, settled
from disco.store.store import Store


@dataclass(frozen=True)
class ClusterSeen:
    """done: identities of actions that would change nothing. releases: `namespace/name`.
    anew: secrets that are made anew -> why.
    """

    done: frozenset[str] = frozenset()
    releases: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    anew: Mapping[str, str] = field(default_factory=dict)


async def look(world: World, cluster: Cluster, steps: Iterable[Step]) -> ClusterSeen:
    """Ask the store and the cluster about every action of these steps."""
    kube, store = world[Kube], world[Store]
    actions = [a for s in steps for a in s.actions]
    secrets = frozenset(store.names())
    done = settled(actions, await kube.satisfied(cluster, actions), store)
    releases = frozenset(await kube.releases(cluster))
    return ClusterSeen(done, releases, secrets, anew(actions, store))
