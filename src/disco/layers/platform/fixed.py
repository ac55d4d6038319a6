"""What Kubernetes lets nobody change of a StatefulSet that is there: the size of its volumes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.reader import Kube

UNITS = {"Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


@dataclass(frozen=True)
class SetThere:
    """A StatefulSet as it is. storage: what its volumes were asked for, as it says."""

    replicas: int
    storage: str


async def set_there(world: World, cluster: Cluster, namespace: str, *names: str) -> SetThere | None:
    """The first of these that is there; it tells for all of them."""
    for name in names:
        path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"
        if found := await world[Kube].find(cluster, path):
            spec = found["spec"]
            return SetThere(int(spec.get("replicas", 1)), asked_for(spec))
    return None


def asked_for(spec: dict[str, Any]) -> str:
    """The size of the volumes of a StatefulSet with this spec; empty where it has none."""
    claims = spec.get("volumeClaimTemplates", ())
    sizes = [c["spec"]["resources"]["requests"]["storage"] for c in claims]
    return sizes[0] if sizes else ""


def refused_storage(
    there: SetThere | None, declared: str, section: str, instead: str
) -> list[DiscoError]:
    """Before helm is asked, who would be refused halfway. instead: what a person can do."""
    if there is None or not there.storage or _bytes(there.storage) == _bytes(declared):
        return []
    return [
        DiscoError(
            "storage can't be changed while its volumes are there",
            where=f"{section}.storage",
            why=f"they were made with {there.storage}, and neither Kubernetes nor the cluster's "
            "storage class lets them grow or shrink",
            fix=f"put it back; for another size, {instead}",
        )
    ]


def _bytes(size: str) -> int:
    """0 for what is written in another way than ours."""
    found = re.fullmatch(r"(\d+)(Mi|Gi|Ti)", size)
    return int(found[1]) * UNITS[found[2]] if found else 0
