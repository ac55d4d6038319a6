"""What is wrong with a chain, judged from what its nodes say. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from disco.chains.lease import HOME, Lease
from disco.chains.signed import told
from disco.chains.validators import duplicate_keys
from disco.checks.counted import counted
from disco.engine.check import Answer
from disco.layers.akash.rpc import Status
from disco.layers.akash.signer_pods import ended, failed

AT_ONCE_BLOCKS = 20  # how far heights may differ that were asked at the same time
Json = dict[str, Any]


def synced(statuses: Mapping[str, Status], faults: Mapping[str, str]) -> Answer:
    """Nodes that were asked at the same time are within a few blocks of each other."""
    top = max((s.height for s in statuses.values()), default=0)
    found = dict(faults)
    for name, status in statuses.items():
        behind = top - status.height
        late = f"is {behind} blocks behind" if behind > AT_ONCE_BLOCKS else ""
        found[name] = f"is catching up, at {status.height}" if status.catching_up else late
    return counted(found, "nodes in sync", f"height {top}")


def signed(
    active: Iterable[str], voted: set[str], ours: Mapping[str, str], heights: Sequence[int]
) -> Answer:
    """active: addresses of the chain's validators; ours: address -> name of the declared ones."""
    blocks = f"blocks {heights[0]} to {heights[-1]}"
    faults = {}
    for who in dict.fromkeys([*ours, *sorted(active)]):
        name = ours.get(who, who)
        inactive = "" if who in active else "is no active validator"
        faults[name] = inactive or ("" if who in voted else f"signed none of {blocks}")
    return counted(faults, "validators sign", blocks)


def peers(
    known: Mapping[str, set[str] | str], ids: Mapping[str, str], faults: Mapping[str, str]
) -> Answer:
    """known: node -> ids that it is connected with; ids: validator -> its id."""
    found = dict(faults)
    for name, connected in known.items():
        if isinstance(connected, str):
            found[name] = connected
            continue
        missing = [v for v, i in ids.items() if v != name and i not in connected]
        found[name] = f"is not connected with {', '.join(missing)}" if missing else ""
    counts = [len(c) for c in known.values() if not isinstance(c, str)]
    few = f"{min(counts, default=0)} to {max(counts, default=0)} peers"
    return counted(found, "nodes know all validators", few)


def keys(found: Mapping[str, str], kept: Mapping[str, str], faults: Mapping[str, str]) -> Answer:
    """found: node -> public key (base64) that it has; kept: validator -> the one in the store."""
    wrong = {**faults, **dict.fromkeys(found, "")}
    for name, key in kept.items():
        if name in found and found[name] != key:
            wrong[name] = "has not the key that is kept for it"
    holders = {key: name for name, key in kept.items()}
    for name, key in found.items():
        if name not in kept and key in holders:
            wrong[name] = f"has the key of {holders[key]}"
    for one, other in duplicate_keys(found):
        wrong[other] = wrong[other] or f"has the same key as {one}"
    return counted(wrong, "nodes have their own key", f"{len(kept)} validators' as kept")


def leased(lease: Lease, here: bool, wanted: str, signer: Json | None) -> str:
    """What is wrong with where a key signs. here: the lease is this cluster's. wanted: where the
    file has it. signer: the pod of its signer, if there is one."""
    if not here:
        return f"is leased to {lease.holder}" if lease.cluster else "is leased to nobody"
    if lease.place != wanted:
        return f"signs at its {lease.place}, and is declared to sign at its {wanted}"
    if lease.place == HOME:
        return "has a signer beside its own key" if signer else ""
    if lease.begun != lease.fence:
        return f"has not begun to sign under lease {lease.fence}"
    if signer is None:
        return "has no signer's pod"
    if refused := failed(signer, "gate"):
        return f"its signer is refused: {refused.partition('refused=')[2] or refused}"
    fence = told(ended(signer, "gate") or "").get("fence", "none")
    return "" if fence == str(lease.fence) else f"its signer was let in by lease {fence}"


def volumes(claims: Sequence[Json], wanted: Sequence[str]) -> Answer:
    found = {c["metadata"]["name"]: c for c in claims}
    faults = {name: _loose(found.get(name)) for name in wanted}
    sizes = {found[n]["spec"]["resources"]["requests"]["storage"] for n in wanted if n in found}
    return counted(faults, "volumes bound", ", ".join(sorted(sizes)))


def _loose(claim: Json | None) -> str:
    if claim is None:
        return "there is no such claim"
    if claim["metadata"].get("deletionTimestamp"):
        return "is going away as soon as its pod does"
    phase = claim.get("status", {}).get("phase", "Unknown")
    return "" if phase == "Bound" else f"is {phase}"


def apart(metric: float | None, age_s: float, height: int, blocks_per_s: float) -> str:
    """What is wrong with a height that was scraped some seconds ago."""
    if metric is None:
        return "Prometheus has no height of it"
    allowed = AT_ONCE_BLOCKS + 2 * age_s * blocks_per_s
    if not -AT_ONCE_BLOCKS <= height - metric <= allowed:
        return f"{metric:.0f} in Prometheus, {height} on the node"
    return ""


def address(pub_key: str) -> str:
    """A validator's address: the first 20 bytes of SHA-256 of its ed25519 key, upper-case hex."""
    return hashlib.sha256(base64.b64decode(pub_key)).hexdigest()[:40].upper()


def digest(genesis: Any) -> str:
    """SHA-256 (hex, its first 16 digits) of the content, however it is laid out."""
    text = json.dumps(genesis, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
