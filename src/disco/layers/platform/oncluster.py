"""What a component is that consists of things in a cluster alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from disco.engine.component import Component, Layer, Step, World, pending
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.platform.seen import ClusterSeen, look
from disco.layers.servers.artifacts import ArtifactsOutputs


class OnCluster(Component):
    """Its steps are asked of the cluster and the store, and those that are done are left out."""

    layer = Layer.PLATFORM
    kubernetes: KubernetesOutputs
    artifacts: ArtifactsOutputs

    @abstractmethod
    def _all_steps(self) -> Iterator[Step]:
        """From nothing. Pure."""

    def nothing(self) -> ClusterSeen:
        return ClusterSeen()

    async def observe(self, world: World) -> ClusterSeen:
        return await look(world, self.kubernetes.cluster, list(self._all_steps()))

    def exists_partly(self, seen: ClusterSeen) -> bool:
        """What asks it is on the same cluster, and there or not without it."""
        return True

    def steps(self, seen: ClusterSeen) -> Iterator[Step]:
        return pending(self._all_steps(), seen.done)
