"""How a pod fares, from its status in the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from disco.kube.rollout import is_ready

PENDING, UNREADY, GOING = timedelta(minutes=2), timedelta(minutes=5), timedelta(minutes=5)
HOPELESS = ("BackOff", "Error", "Pull", "InvalidImageName")  # how such reasons end
CRASHES, FLAPS = 2, 5  # restarts that are too many for a pod that is not ready, or is again
RECENT = timedelta(minutes=5)  # the longest pause before a restart
STARTING = timedelta(seconds=10)
Json = dict[str, Any]


def stuck(pod: Json, now: datetime) -> str:
    """What is wrong with a pod that has had time enough; empty for a sound or a young one."""
    meta, status = pod["metadata"], pod.get("status", {})
    age = now - _time(meta["creationTimestamp"])
    phase = status.get("phase", "Unknown")
    if going := meta.get("deletionTimestamp"):  # its programs end, whatever with
        return "is going away and does not" if now - _time(going) > GOING else ""
    for reason in waiting(pod):
        if reason.endswith(HOPELESS):
            return reason
    if crash := _crashing(pod, now):
        return crash
    if phase == "Failed":
        return f"failed ({status.get('reason', 'its program ended')})"
    if phase == "Pending" and age > PENDING:
        return f"pending for {age.total_seconds() / 60:.0f} min ({state(pod)})"
    if phase == "Running" and not is_ready(pod) and _unready_for(status, now) > UNREADY:
        return f"not ready for {_unready_for(status, now).total_seconds() / 60:.0f} min"
    return ""


def _crashing(pod: Json, now: datetime) -> str:
    """Between two starts a kubelet shows how a container ended, and not always that it waits."""
    for container in _containers(pod):
        states = (container.get("state", {}), container.get("lastState", {}))
        ended = next((s["terminated"] for s in states if "terminated" in s), None)
        restarts = container.get("restartCount", 0)
        if ended is None or ended.get("exitCode") == 0:
            continue
        steady = is_ready(pod) and not _just_started(container, now)
        again = restarts >= (FLAPS if steady else CRASHES)
        if again and now - _time(ended["finishedAt"]) < RECENT:
            return f"ends with {ended['exitCode']} again and again, {restarts} restarts"
    return ""


def _just_started(container: Json, now: datetime) -> bool:
    """A container without a probe is ready as soon as it runs, and may end in the next moment."""
    started = container.get("state", {}).get("running", {}).get("startedAt")
    return bool(started) and now - _time(started) < STARTING


def _containers(pod: Json) -> list[Json]:
    status = pod.get("status", {})
    kinds = ("initContainerStatuses", "containerStatuses")
    return [c for kind in kinds for c in status.get(kind, ())]


def _unready_for(status: Json, now: datetime) -> timedelta:
    times = [
        _time(c["lastTransitionTime"])
        for c in status.get("conditions", ())
        if c["type"] == "Ready" and c["status"] != "True" and c.get("lastTransitionTime")
    ]
    return now - min(times, default=now)


def state(pod: Json) -> str:
    """A pod's phase, and the first reason that it gives."""
    status = pod.get("status", {})
    messages = [c.get("message") for c in status.get("conditions", ()) if c["status"] == "False"]
    why = next((text for text in (*waiting(pod), *messages) if text), "")
    phase = status.get("phase", "Unknown")
    return f"{phase}, {why}" if why else str(phase)


def waiting(pod: Json) -> list[str]:
    """Why its containers wait: `CrashLoopBackOff`."""
    states = [c.get("state", {}) for c in _containers(pod)]
    return [s["waiting"].get("reason", "") for s in states if "waiting" in s]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
