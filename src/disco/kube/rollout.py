"""Whether a workload has come as far as it was asked to."""

from __future__ import annotations

import sys
from typing import Any


def behind(workload: dict[str, Any], enough: int = 0) -> str:
    """What is still missing, in a few words; empty when nothing is.

    enough: as many pods do; 0 for all.
    """
    status, meta = workload.get("status", {}), workload["metadata"]
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        return "the controller has not seen the change yet"
    wanted = min(_wanted(workload), enough or sys.maxsize)
    if workload["kind"] == "DaemonSet" and wanted == 0:
        return "no node takes it yet"
    updated = status.get("updatedNumberScheduled", status.get("updatedReplicas", 0))
    if workload["kind"] == "StatefulSet":
        updated = _updated(status)
    if updated < wanted:
        return f"{updated} of {wanted} pods are up to date"
    good = status.get("numberReady", status.get("readyReplicas", 0))
    return f"{good} of {wanted} pods are ready" if good < wanted else ""


def _wanted(workload: dict[str, Any]) -> int:
    if workload["kind"] == "DaemonSet":
        return int(workload.get("status", {}).get("desiredNumberScheduled", 0))
    return int(workload["spec"].get("replicas", 1))


def _updated(status: dict[str, Any]) -> int:
    """A StatefulSet counts its pods in `updatedReplicas`, or in `replicas` when none is older."""
    same = status.get("currentRevision") == status.get("updateRevision")
    return int(status.get("replicas" if same else "updatedReplicas", 0))


def stuck(pod: dict[str, Any], owner: str, revision: str) -> bool:
    """Whether a pod of this owner is of another revision, is not ready and is not going away."""
    meta = pod["metadata"]
    if owner not in (o["uid"] for o in meta.get("ownerReferences", ())):
        return False
    if meta.get("deletionTimestamp") or is_ready(pod):
        return False
    return bool(meta.get("labels", {}).get("controller-revision-hash") != revision)


def is_ready(thing: dict[str, Any]) -> bool:
    """Whether a pod or a node says that it is Ready."""
    conditions = thing.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
