"""What counts of a world when two ways to it are compared, and where two worlds differ.

Left out is what tells of the way: clocks, counts, revisions, journals. The vault's keys are random
for real, so what counts is that those in the store open the vault that is there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from disco.layers.platform.openbao import KEYS
from disco.store.team import layout
from sim.stack import SimulatedStack
from sim.state import ClusterState, HostState, State, VaultState
from sim.store import simulated


def view(stack: SimulatedStack) -> dict[str, Any]:
    """A stack's world as flat data: path -> value."""
    store = simulated(stack.place)
    state: State = stack.state
    secrets: dict[str, Any] = {n: store.fields(n) for n in store.names()}
    keys = secrets.pop(KEYS, {})
    shares = [secrets.pop(n)["share"] for n in sorted(secrets) if n.startswith(layout.SHARE)]
    keys |= {f"unseal_{i}": key for i, key in enumerate(shares)}
    kept = (p for p in store.shelf.files() if p.startswith(layout.KEPT))
    files = {p: _timeless(p, store.shelf.file(p)) for p in kept}
    tree = {
        "networks": sorted(state.networks),
        "held": sorted(state.held),
        "hosts": {n: _host(h, keys) for n, h in state.hosts.items()},
        "secrets": {**secrets, KEYS: bool(keys)},
        "kept": files,
    }
    return dict(_flat("", tree))


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """One line for each path whose value differs."""
    paths = sorted(one.keys() | other.keys())
    return [
        f"{p}: {one.get(p, 'missing')!r} and {other.get(p, 'missing')!r}"
        for p in paths
        if one.get(p, "missing") != other.get(p, "missing")
    ]


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{path}/{key}", inner)
    else:
        yield path, value


def _host(host: HostState, keys: dict[str, str]) -> dict[str, Any]:
    parts = {f.name: getattr(host, f.name) for f in dataclasses.fields(host)}
    units = {n: dataclasses.asdict(u) for n, u in host.units.items()}
    cluster = _cluster(host.cluster, keys) if host.cluster else None
    return {**parts, "units": units, "packages": sorted(host.packages), "cluster": cluster}


def _cluster(cluster: ClusterState, keys: dict[str, str]) -> dict[str, Any]:
    objects = {p: _object(o) for p, o in cluster.objects.items() if not _is_release(o)}
    return {
        "ca": cluster.ca,
        "tokens": sorted(cluster.tokens),
        "nodes": sorted(cluster.nodes),
        "orphans": sorted(cluster.orphans),
        "objects": objects,
        "releases": _releases(cluster),
        "vault": _vault(cluster.vault, keys) if cluster.vault else None,
    }


def _is_release(thing: dict[str, Any]) -> bool:
    return bool(thing["metadata"].get("labels", {}).get("owner") == "helm")


def _object(thing: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in thing["metadata"].items() if k != "generation"}
    if thing["metadata"].get("name") == "leases":
        texts = {k: _timeless("leases/", v.encode()) for k, v in thing["data"].items()}
        thing = {**thing, "data": texts}
    return {**thing, "metadata": metadata}


def _timeless(path: str, content: bytes | None) -> bytes | None:
    """Of a lease, all but how high the chain was when it was written."""
    if content is None or "leases/" not in path:
        return content
    return re.sub(rb'(height"?[=:] ?)[0-9]+', rb"\1N", content)


def _releases(cluster: ClusterState) -> dict[str, Any]:
    """The newest revision of each, without its number."""
    newest: dict[str, tuple[int, Any]] = {}
    for thing in cluster.objects.values():
        if _is_release(thing):
            meta, labels = thing["metadata"], thing["metadata"]["labels"]
            key, revision = f"{meta['namespace']}.{labels['name']}", int(labels["version"])
            known = {k: labels[k] for k in ("status", "disco-digest")}
            newest[key] = max(newest.get(key, (0, {})), (revision, known), key=lambda x: x[0])
    return {key: labels for key, (_, labels) in newest.items()}


def _vault(vault: VaultState, keys: dict[str, str]) -> dict[str, Any]:
    parts = dataclasses.asdict(vault)
    told = {f"unseal_{i}": key for i, key in enumerate(vault.keys)}
    opened = vault.revoked and keys == {**vault.role, **told}
    pods = {
        i: {
            "has_data": p.data_at is not None,
            "sealed": p.sealed,
            "shows": p.shows,
            "revision": p.revision,
        }
        for i, p in vault.pods.items()
    }
    return {
        **parts,
        "pods": pods,
        "root_token": "",
        "role": sorted(vault.role),
        "keys": len(vault.keys),
        "the store has its keys": opened,
    }
