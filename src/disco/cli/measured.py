"""What a command has learnt of the stack is told to Prometheus, if that can be done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from disco.checks.runner import Asked
from disco.cli import speak
from disco.cli.wiring import Session
from disco.engine.apply import Ended, Outcome
from disco.engine.errors import DiscoError, Several
from disco.engine.plan import Look, Plan
from disco.hosts.execute import HostExecutors
from disco.layers import registry
from disco.layers.platform import measures
from disco.layers.platform.measures import Measures
from disco.layers.platform.prometheus import NAME, NAMESPACE, Prometheus
from disco.layers.platform.seen import ClusterSeen
from disco.layers.platform.vault import Vault
from disco.store.checks import SHARED, unshared
from disco.store.team.repository import Repository

WITHIN_S = 10.0  # for somebody who waits for it at a terminal


@dataclass(frozen=True)
class Ran:
    """A run that ended. what: the command. whole: of the whole stack. looked_s: what planning took,
    took_s: what its steps took, in seconds."""

    what: str
    plan: Plan
    looks: Mapping[str, Look]
    whole: bool
    looked_s: float
    outcome: Outcome
    took_s: float


async def plan(session: Session, found: Plan, looks: Mapping[str, Look], looked_s: float) -> None:
    """What a plan of the whole stack would change, where there is a Prometheus already. One of
    another file than was applied last is a proposal, and says nothing of what is there."""
    if _is_there(looks) and _is_as_applied(session):
        with _forgiven():
            await _tell(session, measures.planned(found, looked_s, time.time()))


def _is_there(looks: Mapping[str, Look]) -> bool:
    """Whether there is somebody to be told."""
    seen = [look.seen for look in looks.values() if isinstance(look.component, Prometheus)]
    return any(isinstance(s, ClusterSeen) and f"{NAMESPACE}/{NAME}" in s.releases for s in seen)


def _is_as_applied(session: Session) -> bool:
    """Whether the stack file says what the last run had to carry out."""
    before = session.declared.read(registry.components())
    return {name: specs[-1] for name, specs in before.items()} == session.loaded.specs


async def run(session: Session, ran: Ran) -> None:
    """How a run ended; one that failed is told where there was a Prometheus before it, one that
    takes away is not: it may have taken that, too."""
    done = ran.outcome.ended is Ended.DONE
    if ran.plan.removal or not (done or _is_there(ran.looks)):
        return
    at, stack = time.time(), session.loaded.name
    with _forgiven():
        wanted = list(_backups(session))
        told = [measures.ran(stack, ran.what, ran.outcome, ran.took_s, at, wanted)]
        if ran.whole and done:
            told.append(measures.settled(ran.plan, ran.looked_s, at))
        if measures.STORE in wanted and not unshared(session.store):
            told.append(measures.backed_up(stack, measures.STORE, at))
        await _tell(session, *told)


async def checks(session: Session, answers: Sequence[Asked]) -> None:
    """The answers to all checks of the stack. Where none is green there is nobody to be told."""
    if not any(a.answer.ok for a in answers):
        return
    at, stack = time.time(), session.loaded.name
    told = [measures.checked(stack, answers, at)]
    if any(a.check.id == SHARED and a.answer.ok for a in answers):
        told.append(measures.backed_up(stack, measures.STORE, at))
    with _forgiven():
        await _tell(session, *told)


async def backup(session: Session, what: str) -> None:
    """All that is in it was kept elsewhere just now."""
    with _forgiven():
        await _tell(session, measures.backed_up(session.loaded.name, what, time.time()))


@contextmanager
def _forgiven() -> Iterator[None]:
    """One line for what goes wrong."""
    try:
        yield
    except TimeoutError:
        _talk(f"no answer within {WITHIN_S:.0f} s")
    except (DiscoError, Several) as error:
        _talk(str(error))


def _talk(why: str) -> None:
    speak.talk(f"Prometheus is not told of it: {why}", "yellow")


async def _tell(session: Session, *told: Measures) -> None:
    """Nothing where the stack has no Prometheus. Raises DiscoError, TimeoutError."""
    found = [c for c in (await session.components()).values() if isinstance(c, Prometheus)]
    if not found:
        return
    host = found[0].kubernetes.control_planes[0]
    hosts = HostExecutors(session.sessions, session.lookup, session.find)
    async with asyncio.timeout(WITHIN_S):
        for one in told:
            await hosts.put(one.on(host), lambda note, share: None)


def _backups(session: Session) -> Iterator[str]:
    """What there should be backups of."""
    if any(node.component is Vault for node in session.graph):
        yield measures.VAULT
    shelf = session.store.shelf
    if isinstance(shelf, Repository) and shelf.is_there and shelf.url:
        yield measures.STORE
