"""Are Helm releases what the stack file says: asked of every component on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from disco.checks.counted import counted
from disco.engine.check import Answer, Check
from disco.engine.component import Component, World
from disco.kube import drift
from disco.kube.access import Cluster
from disco.kube.actions import Release
from disco.kube.reader import Kube, ReleaseSeen


def release_check(prefix: str, component: Component, world: World) -> Check:
    """Of any component on a cluster: are its Helm releases what its spec says?"""
    declared = {
        a.key: a
        for step in component.steps(component.nothing())
        for a in step.actions
        if isinstance(a, Release)
    }

    async def ask() -> Answer:
        kube, cluster = world[Kube], next(iter(declared.values())).cluster
        found = await kube.releases(cluster)
        there = [found[name] for name in declared if name in found]
        changed = await asyncio.gather(*(_changed(kube, cluster, r) for r in there))
        wanted = {name: kube.want(release) for name, release in declared.items()}
        return as_declared(found, wanted, dict(changed))

    return Check(
        f"{prefix}/declared",
        "Are its Helm releases as the stack file says, and changed by nobody else?",
        "disco plan shows what differs, disco apply mends it",
        ask,
    )


async def _changed(kube: Kube, cluster: Cluster, seen: ReleaseSeen) -> tuple[str, list[str]]:
    found = await drift.of_release(kube, cluster, seen.name, seen.namespace, seen.revision)
    return f"{seen.namespace}/{seen.name}", [str(difference) for difference in found]


def as_declared(
    found: Mapping[str, ReleaseSeen],
    declared: Mapping[str, str],
    changed: Mapping[str, Sequence[str]],
) -> Answer:
    """declared: what each release's digest must be.
    changed: what was changed by hand in the objects of each release, one line a field.
    """
    faults = {
        name: _differs(found.get(name), wanted) or _told(changed.get(name, ()))
        for name, wanted in declared.items()
    }
    shown = ", ".join(f"{n} revision {found[n].revision}" for n in declared if n in found)
    return counted(faults, "releases as declared", shown)


def _told(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return f"changed by hand: {lines[0]}{more}" if lines else ""


def _differs(seen: ReleaseSeen | None, wanted: str) -> str:
    if seen is None:
        return "is not installed"
    if seen.status != "deployed":
        return f"revision {seen.revision} is {seen.status}"
    if seen.touched:
        return f"revision {seen.revision} was made by somebody else"
    return "" if seen.digest == wanted else "was installed with other values or secrets"
