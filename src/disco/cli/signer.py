"""`disco signer`: see where validators' keys may sign, note what they signed, take them over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from disco.chains.lease import Lease
from disco.cli import speak
from disco.cli.app import of
from disco.cli.changing import Told, Way, agree, change
from disco.cli.wiring import Session, open_stack
from disco.engine.action import Action
from disco.engine.component import Layer, Step
from disco.engine.errors import DiscoError, Exit, NotThere, WrongUse
from disco.engine.plan import Look, Part, Plan
from disco.layers.akash.chain import ChainNode
from disco.layers.akash.signer import MARGIN_BLOCKS, Key, NoteSigned, TakeOver
from disco.layers.akash.signer_executors import cluster_uid, known

HEADINGS = ["validator", "key", "signs at", "lease", "signed", "held by"]


async def status(file: Path, chain: str, as_json: bool) -> int:
    """Print the lease of each key, as the store has it. Red when one is not this cluster's."""
    async with open_stack(file) as session:
        component = await _chain(session, chain)
        held = dict(_leases(session, component))
        uid = await _uid(session, component)
    mine = {k: _is_mine(session, lease, uid) for k, lease in held.items()}
    if as_json:
        rows = [
            {"validator": k.validator, "here": mine[k], **asdict(lease)}
            for k, lease in held.items()
        ]
        speak.data_json(rows)
    else:
        speak.data_table(HEADINGS, [_row(k, lease, mine[k]) for k, lease in held.items()])
    return int(Exit.DONE if held and all(mine.values()) else Exit.RED)


async def note(file: Path, chain: str) -> int:
    """Write down what the keys have signed by now."""

    async def after(session: Session, told: Told) -> int:
        component = await _chain(session, chain)
        for key, lease in _leases(session, component):
            speak.talk(f"{key.validator} has signed {lease.signed}; it begins nowhere below that.")
        return int(Exit.DONE)

    return await change(file, "signer note", _Note("akash", chain=chain), agree(True, ""), 1, after)


async def take(
    file: Path, chain: str, destroyed: str, height: int, margin: int, yes: bool, destroy: bool
) -> int:
    """Take the keys over from whoever had them."""
    if not destroyed.strip():
        raise WrongUse(
            "say what became of the other signer",
            fix='--destroyed "its servers were wiped on 3 May", which the store\'s history keeps',
        )

    async def after(session: Session, told: Told) -> int:
        speak.talk(
            f"The keys are this cluster's. To sign with them: disco apply{of(file)}", "green"
        )
        return int(Exit.DONE)

    way = _Take("akash", chain=chain, why=" ".join(destroyed.split()), height=height, margin=margin)
    return await change(file, "signer take", way, agree(yes, "Take them?", destroy), 1, after)


@dataclass(frozen=True)
class _Note(Way):
    chain: str = ""

    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        component = await _chain(session, self.chain)
        note, about = NoteSigned(*component.leased), component.lease()
        settled = all(x.place == about.place for _, x in _leases(session, component) if x.cluster)
        # what the pods are told of the other place is part of the way there
        actions = (note, component.leases_applied()) if settled else (note,)
        return _plan(session, component, f"note what {component.short}'s keys have signed", actions)


@dataclass(frozen=True)
class _Take(Way):
    chain: str = ""
    why: str = ""
    height: int = 0
    margin: int = MARGIN_BLOCKS

    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        component = await _chain(session, self.chain)
        signed = [lease.signed.height for _, lease in _leases(session, component)]
        above = max([self.height, *signed]) + self.margin
        action = TakeOver(*component.leased, height=above, why=self.why)
        return _plan(session, component, f"take {component.short}'s keys over", (action,))


def _plan(
    session: Session, component: ChainNode, title: str, actions: tuple[Action, ...]
) -> tuple[Plan, dict[str, Look]]:
    lost = tuple(d for a in actions for d in a.destroys)
    part = Part(component.name, Layer.AKASH, (Step("leases", title, actions),), (), loses=lost)
    return Plan(session.loaded.name, (part,), narrowed=True), {}


def _leases(session: Session, component: ChainNode) -> Iterator[tuple[Key, Lease]]:
    """Raises WrongUse where the keys are not made yet."""
    about = component.lease()
    for key in about.keys:
        try:
            yield key, known(session.store, about, key, ask=True)
        except NotThere:
            raise WrongUse(
                f"the keys of {component.short} are not made yet", fix="disco apply makes them"
            ) from None


async def _uid(session: Session, component: ChainNode) -> str:
    """Empty where the cluster does not answer: what the store says is told all the same."""
    try:
        return await cluster_uid(session.kube, component.kubernetes.cluster)
    except DiscoError as error:
        speak.talk(f"{error.what}: {error.why}", "yellow")
        return ""


def _is_mine(session: Session, lease: Lease, uid: str) -> bool:
    return bool(uid) and (lease.stack, lease.cluster) == (session.store.stack, uid)


def _row(key: Key, lease: Lease, here: bool) -> list[str]:
    held = f"{lease.stack} in {lease.cluster}" if lease.cluster else "nobody"
    return [
        key.validator,
        lease.address,
        lease.place if lease.cluster else "",
        str(lease.fence),
        str(lease.signed),
        "this cluster" if here else held,
    ]


async def _chain(session: Session, name: str) -> ChainNode:
    """The chain of that name; the only one, where none is named."""
    components: dict[str, Any] = await session.components()
    found = {c.short: c for c in components.values() if isinstance(c, ChainNode)}
    if name in found:
        return found[name]
    if not name and len(found) == 1:
        return next(iter(found.values()))
    raise WrongUse(
        f"the stack has no chain {name!r}" if name else "say which chain",
        where=str(session.loaded.path),
        fix=f"choose one of {', '.join(found) or 'none'}",
    )
