"""Does storage keep what is written: a pod writes, goes, and another one reads."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from disco.checks.shared import to_the_end
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.layers.cluster.pods import state
from disco.layers.cluster.probes import (
    AT_ONCE,
    CLAIMS,
    PODS,
    create,
    labels,
    new_run,
    pod,
    prepare,
    remove,
)

if TYPE_CHECKING:
    from disco.layers.cluster.kubernetes import Kubernetes

POD_WITHIN_S = 30.0  # on a busy machine; an idle one takes 5 s for both


def volume_check(component: Kubernetes, world: World) -> Check:
    kube, cluster, image = world[Kube], component.cluster, component.artifacts.image("busybox")
    return Check(
        "cluster/volumes",
        "Does a volume of the default class keep what a pod wrote, for the next pod?",
        "kubectl -n kube-storage get pods; kubectl -n kube-storage logs "
        "deploy/local-path-provisioner; is there a default storage class?",
        lambda: _write_and_read(kube, cluster, image),
        within_s=80,
        reads_only=False,
    )


async def _write_and_read(kube: Kube, cluster: Cluster, image: str) -> Answer:
    run = new_run()
    begun = time.monotonic()
    try:
        await prepare(kube, cluster)
        await create(kube, cluster, CLAIMS, claim(run))
        await _finished(kube, cluster, run, "write", image, f"echo {run} > /volume/it && sync")
        with translated(cluster, "delete a pod of the checks"):
            answer = await kube.http(cluster).delete(f"{PODS}/write-{run}", params=AT_ONCE)
            answer.raise_for_status()
        read = await _finished(kube, cluster, run, "read", image, "cat /volume/it")
        bound = await kube.get(cluster, f"{CLAIMS}/volume-{run}")
    finally:
        await to_the_end(remove(kube, cluster, run))
    storage = bound["spec"].get("storageClassName", "no class")
    took = f"written, pod deleted, read again in {time.monotonic() - begun:.1f} s ({storage})"
    same = read.strip() == run
    return Answer(same, took if same else f"wrote {run} and read {read.strip()[:60] or 'nothing'}")


def claim(run: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"volume-{run}", "labels": labels(run, "volume")},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }


async def _finished(
    kube: Kube, cluster: Cluster, run: str, verb: str, image: str, script: str
) -> str:
    """Run a script in a pod with the volume, and give what it printed."""
    volume = {"name": "volume", "persistentVolumeClaim": {"claimName": f"volume-{run}"}}
    name = f"{verb}-{run}"
    await create(kube, cluster, PODS, pod(run, verb, name, image, script, volume))
    ends = time.monotonic() + POD_WITHIN_S
    while True:
        found = await kube.get(cluster, f"{PODS}/{name}")
        phase = found["status"].get("phase")
        if phase == "Succeeded":
            break
        if phase == "Failed" or time.monotonic() > ends:
            raise DiscoError(
                f"the pod that should {verb} did not end well within {POD_WITHIN_S:.0f} s",
                where="cluster/volumes",
                why=state(found),
            )
        await asyncio.sleep(0.2)
    with translated(cluster, f"read the log of {name}"):
        log = await kube.http(cluster).get(f"{PODS}/{name}/log")
        log.raise_for_status()
        return str(log.text)
