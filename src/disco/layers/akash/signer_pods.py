"""What pods tell of keys: whether they have one, and what they had signed. Reads only.

A pod's first container leaves a message when it ends: that of the validator says what its volume
had signed, that of the signer's gate what it let through.
"""

from __future__ import annotations

import json
from typing import Any

from disco.chains.lease import TAKE, Lease
from disco.chains.signed import Signed, number, of_home, told
from disco.engine.errors import DiscoError, Retry
from disco.layers.akash.signer import KEY, KEYS

Json = dict[str, Any]
LEAVING = "LEAVING"  # the variable that is true in a signer's pod without a key


def seen_by_controller(workload: Json) -> str:
    """Why the pods of this StatefulSet may still be made as they were before, or nothing."""
    meta, status = workload["metadata"], workload.get("status", {})
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        return "has a change that the controller has not seen yet"
    return ""


def is_of(pod: Json, workload: Json) -> bool:
    """Whether a pod is of the newest revision of its StatefulSet."""
    wanted = workload["status"].get("updateRevision")
    return bool(pod["metadata"].get("labels", {}).get("controller-revision-hash") == wanted)


def has_no_key(pod: Json) -> bool:
    """Whether a pod is one that leaves signing to another: by its spec."""
    asked = [e for c in pod.get("initContainers", ()) for e in c.get("env", ())]
    remote = any(e["name"] == "REMOTE_SIGNER" and e.get("value") == "true" for e in asked)
    mounts = [v.get("secret", {}).get("secretName") for v in pod.get("volumes", ())]
    return remote and KEYS not in mounts


def has_left(pod: Json) -> bool:
    """Whether a signer's pod is one without a key, that only tells what was signed: by its spec."""
    asked = [e for c in pod.get("initContainers", ()) for e in c.get("env", ())]
    leaves = any(e["name"] == LEAVING and e.get("value") == "true" for e in asked)
    secrets = [v["secret"]["secretName"] for v in pod.get("volumes", ()) if "secret" in v]
    return leaves and not any(s.startswith(f"{KEY}-") for s in secrets)


def holders(pods: list[Json], name: str, claim: str) -> list[str]:
    """Other pods that have the volume of the pod `name` and have not ended."""
    found = []
    for pod in pods:
        other = pod["metadata"]["name"]
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            continue
        volumes = pod.get("spec", {}).get("volumes", ())
        claims = {v.get("persistentVolumeClaim", {}).get("claimName") for v in volumes}
        if other != name and claim in claims:
            found.append(other)
    return found


def ended(pod: Json, container: str) -> str | None:
    """The message of a first container that has done its work; None while it has not."""
    for status in pod.get("status", {}).get("initContainerStatuses", ()):
        over = status.get("state", {}).get("terminated")
        if status["name"] == container and over and over.get("exitCode") == 0:
            return str(over.get("message", ""))
    return None


def failed(pod: Json, container: str) -> str:
    """What a first container said that refused, or nothing."""
    for status in pod.get("status", {}).get("initContainerStatuses", ()):
        if status["name"] != container:
            continue
        if status.get("state", {}).get("terminated", {}).get("exitCode") == 0:
            continue  # it has passed since
        for state in (status.get("state", {}), status.get("lastState", {})):
            over = state.get("terminated")
            if over and over.get("exitCode") != 0:
                return str(over.get("message", "")).strip() or "has failed"
    return ""


def signed_at_home(message: str, address: str, validator: str, laid: Signed | None) -> Signed:
    """What home.sh tells of a volume that it took the key from. laid: as `of_home` has it. Raises
    DiscoError."""
    fields = told(message)
    if fields.get("key") != "gone":
        raise DiscoError(
            f"{validator} does not say that its key is gone",
            where=validator,
            why=message[:200] or "its first container left no message",
            fix=f"kubectl logs {validator} -c home",
            retry=Retry.NEVER,
        )
    if fields.get("address", address) != address:
        raise DiscoError(
            f"the volume of {validator} is that of another key",
            where=validator,
            why=f"it was signed with {fields['address']} there; the store has {address}",
            fix="put the right volume back, or the key of that address into the store",
        )
    height, round, step = (number(fields, n, validator) for n in ("height", "round", "step"))
    return of_home(height, round, step, fields.get("signbytes", ""), laid)


def signed_at_signer(message: str, lease: Lease, pod: str) -> Signed:
    """What gate.sh tells of the volume of a signer that is leaving. Raises DiscoError, also where
    it is not the volume that the key signed with under its lease."""
    fields = told(message)
    if (fields.get("key"), fields.get("address")) != ("gone", lease.address):
        raise DiscoError(
            f"{pod} does not say that its key is gone",
            where=pod,
            why=message[:200] or "its first container left no message",
            fix=f"kubectl logs {pod} -c gate",
            retry=Retry.NEVER,
        )
    state, laid = fields.get("state", ""), fields.get("laid", "")
    signed = Signed() if state == "none" else of_file(state, pod)
    has_begun = lease.begun == lease.fence
    if has_begun and (laid != str(lease.fence) or signed.behind(lease.signed)):
        raise DiscoError(
            f"the volume of {pod} is not the one that remembers what its key has signed",
            where=pod,
            why=f"it is laid for lease {laid or 'none'} and says {signed}; the key signs under "
            f"lease {lease.fence}, and had signed {lease.signed} before",
            fix=f"put the newest one back; if it is lost for good: {TAKE}",
            retry=Retry.NEVER,
        )
    return signed


def of_file(text: str, where: str, laid: Signed | None = None) -> Signed:
    """From tmkms's state or a validator's own. laid: as `of_home` has it. Raises DiscoError."""
    try:
        data = json.loads(text)
        place = (int(data["height"]), int(data["round"]), int(data["step"]))
        if "block_id" in data:
            return Signed(*place, json.dumps(data["block_id"], separators=(",", ":")))
        return of_home(*place, str(data.get("signbytes", "")), laid)
    except (ValueError, KeyError, TypeError) as error:
        raise DiscoError(
            f"what {where} has signed can't be read", where=where, why=str(error)
        ) from None
