"""What is done of leasing and moving validators' keys. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from disco.chains import lease as leases
from disco.chains.lease import HOME, SIGNER, Lease
from disco.engine.action import Action
from disco.engine.component import World
from disco.engine.errors import NotThere
from disco.kube.actions import Apply
from disco.kube.reader import Kube
from disco.layers.akash.signer import (
    BEGUN,
    KEYS,
    LEASES,
    RELEASE,
    BeginSigning,
    HandBack,
    HandOver,
    LeaseAction,
    TakeLease,
    TakeUp,
    left_paths,
    set_path,
)
from disco.layers.akash.signer_executors import cluster_uid, known
from disco.layers.akash.signer_pods import has_no_key
from disco.layers.platform.fixed import asked_for
from disco.store.store import Store


@dataclass(frozen=True)
class WayBack:
    """How far keys are on their way from signers that are no longer declared.

    away: some are with their signers. keyless: pods of validators run without a key. left: some
    of what signers have is there. image, storage: of the signers that are there; empty: none is.
    """

    away: bool = False
    keyless: bool = False
    left: bool = False
    image: str = ""
    storage: str = ""


DONE = WayBack()


async def leases_done(
    world: World, actions: Iterable[Action], done: frozenset[str]
) -> frozenset[str]:
    """The identities of those that would change nothing. A lease that only this clone of the store
    has is none yet: somebody else may have been first.

    done: of the others. What tells the pods of a lease that is to change has to be applied again.
    """
    wanted = list(actions)
    about = [a for a in wanted if isinstance(a, LeaseAction)]
    found = set()
    for action in about:
        held = await _held(world, action)
        if held and await _is_done(world, action, held):
            found.add(action.identity)
    open_ = [a for a in about if a.identity not in found and not isinstance(a, TakeUp)]
    told = {BEGUN} if all(isinstance(a, BeginSigning) for a in open_) else {BEGUN, LEASES}
    later = wanted[wanted.index(open_[0]) :] if open_ else []
    again = {a.identity for a in later if isinstance(a, Apply) and _tells(a, told)}
    return (done | found) - again


def _tells(action: Apply, told: Collection[str]) -> bool:
    return any(o["metadata"]["name"] in told for o in action.objects)


async def _held(world: World, action: LeaseAction) -> list[Lease]:
    """The leases, if all of them are this stack's in this cluster."""
    store = world[Store]
    try:
        found = [known(store, action, k, ask=False) for k in action.keys]
    except NotThere:  # the keys are not made yet
        return []
    if not all(lease.stack == store.stack and not lease.going for lease in found):
        return []
    uid = await cluster_uid(world[Kube], action.cluster)
    return found if all(lease.cluster == uid for lease in found) else []


async def _is_done(world: World, action: LeaseAction, held: list[Lease]) -> bool:
    store = world[Store]
    match action:
        case TakeLease():
            if any(lease.place == SIGNER != action.place for lease in held):
                return False
            names = (leases.lines_name(action.chain, k.validator) for k in action.keys)
            return all(store.has_kept(n) for n in names)
        case HandOver():
            path = f"/api/v1/namespaces/{action.chain}/secrets/{KEYS}"
            gone = await world[Kube].find(action.cluster, path) is None
            return gone and all(lease.place == SIGNER for lease in held)
        case HandBack():
            return all(lease.place == HOME for lease in held)
        case BeginSigning():
            return all(lease.begun == lease.fence for lease in held)
    return False


def held_by_stack(store: Store, action: LeaseAction) -> bool:
    """Whether it has a lease of these keys, in whatever cluster, and has not taken that down."""
    try:
        found = [known(store, action, k, ask=False) for k in action.keys]
    except NotThere:  # the keys are not made yet
        return False
    return any(x.cluster and x.stack == store.stack and not x.going for x in found)


async def way_back(world: World, action: LeaseAction) -> WayBack:
    """What is to be done for the keys of a chain that has no signers declared."""
    kube, cluster, name = world[Kube], action.cluster, action.chain
    paths = left_paths(name, len(action.keys))
    pods = (await kube.get(cluster, f"/api/v1/namespaces/{name}/pods"))["items"]
    found = await asyncio.gather(*(kube.find(cluster, path) for path in paths))
    sets = await asyncio.gather(
        *(kube.find(cluster, set_path(name, i)) for i in range(len(action.keys)))
    )
    there = next((thing["spec"] for thing in sets if thing), None)
    validators = {k.validator for k in action.keys}
    return WayBack(
        away=await _some_are_away(world, action),
        keyless=any(p["metadata"]["name"] in validators and has_no_key(p["spec"]) for p in pods),
        left=f"{name}/{RELEASE}" in await kube.releases(cluster)
        or any(thing and not thing["metadata"].get("deletionTimestamp") for thing in found),
        image=there["template"]["spec"]["initContainers"][0]["image"] if there else "",
        storage=asked_for(there) if there else "",
    )


async def _some_are_away(world: World, action: LeaseAction) -> bool:
    store = world[Store]
    try:
        found = [known(store, action, k, ask=False) for k in action.keys]
    except NotThere:  # the keys are not made yet
        return False
    uid = await cluster_uid(world[Kube], action.cluster)
    mine = (x for x in found if (x.stack, x.cluster) == (store.stack, uid))
    return any(lease.place == SIGNER for lease in mine)
