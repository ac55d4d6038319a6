"""The vault's pods, each for itself: how it is, and starting it anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.layers.platform.openbao import NAME, NAMESPACE, OpenBao, SealStatus


async def restart(kube: Kube, cluster: Cluster, pod: int) -> None:
    """At once: it comes up sealed. Raises DiscoError."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{NAME}-{pod}"
    with translated(cluster, f"delete {path}"):
        await kube.http(cluster).delete(path, params={"gracePeriodSeconds": "0"})


async def statuses(bao: OpenBao, replicas: int) -> dict[int, SealStatus | DiscoError]:
    """Of each pod, or why it does not answer."""

    async def one(pod: int) -> SealStatus | DiscoError:
        try:
            return await bao.seal_status(pod)
        except DiscoError as error:
            return error

    return dict(enumerate(await asyncio.gather(*(one(i) for i in range(replicas)))))


async def leader(bao: OpenBao, found: Mapping[int, SealStatus | DiscoError]) -> int | None:
    """The pod that leads, as it says itself."""
    for pod, seal in found.items():
        if isinstance(seal, SealStatus) and not seal.sealed:
            try:
                if await bao.leads(pod):
                    return pod
            except DiscoError:  # it went, or is not sure yet: then none leads as far as we know
                continue
    return None
