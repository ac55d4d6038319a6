"""Gathers the overview of a stack: every source by itself, in a bounded time, side by side.

Nothing is written and no lock is taken. A source that can't be asked leaves the others as they are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from disco.checks.runner import ask_within
from disco.cli import opened, sources
from disco.cli.app import of
from disco.cli.changing import missing_rights
from disco.cli.history import runs_of
from disco.cli.overview import Checks, CheckSeen, EventSeen, HostLoad, Overview, Thing, Unseen, ago
from disco.cli.sources import LATE, Answered
from disco.cli.target import cluster_of, hosts_of
from disco.cli.wiring import Session
from disco.engine.component import Component
from disco.engine.errors import DiscoError, NotThere, WrongUse, all_of
from disco.engine.machine_lock import MachineLock
from disco.engine.tail import Tail
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.kube.access import Cluster
from disco.layers.platform.prometheus import Prometheus
from disco.stack.problem import StackProblems

T = TypeVar("T")
Json = dict[str, Any]
Opens = Callable[[], AbstractAsyncContextManager[Session]]
Heard = Callable[[Overview], None]
ANSWER_S = 9.0  # a little more than a connection over SSH may take
POD_S = 8.0  # through the API of the cluster, whose readiness is asked before
SOURCE_S = 14.0  # a source has answered within this time, or is told as silent
CHECKS_S = 30.0
FACTS_FRESH_S = 60.0  # what a host has hardly changes
PARALLEL = 8
EVENTS = 50  # the last ones that are kept

OF_CLUSTER: Json = {"not_ready": (), "vault": (), "chains": ()}
NOTHING: Mapping[str, Json] = {
    "run": {"run": None},
    "stack": {"things": (), "hosts": (), **OF_CLUSTER, "alerts": None},
    "hosts": {"hosts": ()},
    "cluster": OF_CLUSTER,
    "alerts": {"alerts": None},
    "checks": {"checks": Checks()},
}


def _nobody(overview: Overview) -> None:
    """Who does not want to hear what is known in between."""


class Watch:
    """What is known of a stack by now; every look makes it newer, source by source.

    opens: the stack. It is opened anew when its file changed, a run of this machine began or ended,
    or a person asks: then keys and addresses may be others.
    """

    def __init__(self, opens: Opens) -> None:
        self._opens = opens
        self._exits = AsyncExitStack()
        self._checking = self._stale = self._read = False
        self._reading = asyncio.Lock()
        self._unseen: dict[str, tuple[Unseen, ...]] = {}
        self._components: dict[str, Component] = {}
        self._said: dict[str, Answered] = {}
        self._up: set[str] = set()  # at the last look
        self._records: list[Json] = []  # of the last run
        self._events: deque[EventSeen] = deque(maxlen=EVENTS)
        self._facts: dict[Host, tuple[float, HostLoad]] = {}

    async def __aenter__(self) -> Self:
        """Raises StackProblems, or DiscoError, when the stack can't be opened."""
        self._session = await self._exits.enter_async_context(self._opens())
        self._file = _state_of(self._session.loaded.path)
        self._tail = Tail(self._session.place.journal)
        self.overview = Overview(self._session.loaded.name)
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._exits.aclose()

    async def look(self, heard: Heard = _nobody) -> Overview:
        """Ask every source once. heard: told what is known each time that one has answered."""
        begun = time.monotonic()
        await self._part("run", self._run, heard)
        await self._part("stack file", self._reopen, heard)
        await self._part("stack", self._prepare, heard)
        async with asyncio.TaskGroup() as group:
            for one in self._sources(heard):
                group.create_task(one)
        self._up = {name for name, said in self._said.items() if said.is_up}
        took = round(time.monotonic() - begun, 3)
        self.overview = replace(self.overview, at=time.time(), seconds=took)
        heard(self.overview)
        return self.overview

    def renew(self) -> None:
        """Have the next look open the stack anew."""
        self._stale = True

    async def follow(self, heard: Heard) -> None:
        """What a run has done since: the journal alone is read on."""
        await self._part("run", self._run, heard)

    async def check(self, within_s: float = CHECKS_S) -> Overview:
        """Ask the checks that only read, of what was up at the last look."""
        self._checking = True
        try:
            await self._part("checks", partial(self._checks, within_s), _nobody, within_s + 1)
        finally:
            self._checking = False
        return self.overview

    async def _checks(self, within_s: float) -> Json:
        components, world = self._components, self._session.world
        every = [c for n, x in components.items() if n in self._up for c in x.checks(world)]
        chosen = [c for c in every if c.reads_only]
        at = time.time()
        answers = await ask_within(chosen, within_s, PARALLEL)
        seen = tuple(
            CheckSeen(
                a.check.id, a.answer.ok, a.answer.evidence, "" if a.answer.ok else a.check.fix
            )
            for a in answers
        )
        told = {a.check.id for a in answers}
        late = tuple(c.id for c in chosen if c.id not in told)
        return {"checks": Checks(at, seen, late)}

    async def _reopen(self) -> Json:
        """The stack as its file is now; what can't be opened leaves the one that was."""
        file = _state_of(self._session.loaded.path)
        if self._checking or not (self._stale or file != self._file):
            return {}
        exits = AsyncExitStack()
        try:
            session = await exits.enter_async_context(self._opens())
        except StackProblems as wrong:
            raise DiscoError(
                "it was changed, and can't be used",
                why=str(wrong.problems[0]),
                fix=f"disco validate{of(self._session.loaded.path)}",
            ) from None
        await self._exits.aclose()
        opened.done_with(self._session.store)
        self._exits, self._session = exits, session
        self._file, self._stale = file, False
        self._said.clear()
        self._facts.clear()
        return {}

    async def _prepare(self) -> Json:
        """What is declared. Raises WrongUse for what this account can't see."""
        session, found = self._session, dict[str, Component]()
        try:
            if missing := missing_rights(session):
                fix = f"sudo disco top{of(session.loaded.path)}"
                raise WrongUse(missing, why="without it nothing of them can be seen", fix=fix)
            found = await session.components()
        finally:
            self._components = found
        return {"things": self._things()}

    def _sources(self, heard: Heard) -> Iterator[Coroutine[Any, Any, None]]:
        """What is asked, side by side."""
        components = self._components
        cluster = cluster_of(components)
        metered = any(isinstance(c, Prometheus) for c in components.values())
        for name in components:
            yield self._component(name, heard)
        if components:
            hosts = partial(self._hosts, hosts_of(components), cluster if metered else None)
            yield self._part("hosts", hosts, heard)
        if cluster:
            yield self._part("cluster", partial(self._cluster, cluster), heard)
        if cluster and metered:
            yield self._part("alerts", partial(self._alerts, cluster), heard)

    async def _component(self, name: str, heard: Heard) -> None:
        try:
            said = await sources.asked(self._session, self._components[name], ANSWER_S)
        except Exception as error:  # one component's mistake must not hide what the others say
            said = sources.silent(all_of(error))
        self._said[name] = said
        self._tell({"things": self._things()}, heard)

    def _things(self) -> tuple[Thing, ...]:
        session = self._session
        return sources.things(session.graph, self._components, self._said, session.loaded.path)

    async def _part(
        self,
        name: str,
        ask: Callable[[], Awaitable[Json]],
        heard: Heard,
        within_s: float = SOURCE_S,
    ) -> None:
        """Take what a source says into the overview; its silence is told beside the others."""
        lost: tuple[DiscoError, ...] = ()
        found = NOTHING.get(name, {})
        try:
            async with asyncio.timeout(within_s):
                found = await ask()
        except TimeoutError:
            lost = (DiscoError(f"no answer within {within_s:.0f} s"),)
        except OSError as error:
            lost = (DiscoError((error.strerror or str(error)).lower(), str(error.filename or "")),)
        except Exception as error:  # one source's mistake must not hide what the others say
            lost = tuple(all_of(error))
        self._unseen[name] = tuple(Unseen(name, str(e), e.fix) for e in lost)
        self._tell(found, heard)

    def _tell(self, found: Json, heard: Heard) -> None:
        secrets = opened.values()
        unseen = tuple(u for several in self._unseen.values() for u in several)
        changed = {k: masked(v, secrets) for k, v in {**found, "unseen": unseen}.items()}
        self.overview = replace(self.overview, **changed)
        heard(self.overview)

    async def _hosts(self, hosts: tuple[Host, ...], metered: Cluster | None) -> Json:
        """From Prometheus where the stack has one and it answers; of the rest what they say."""
        told = await sources.use_of_hosts(self._session.kube, metered)
        asked = [h for h in hosts if h.name not in told]
        late = [HostLoad(h.name, h.address, why=LATE) for h in asked]
        by_name = {x.name: x for x in late}
        answers = await sources.in_time(
            asked, self._host, lambda h: by_name[h.name], SOURCE_S - sources.METRICS_S
        )
        told |= {x.name: x for x in answers}
        return {"hosts": tuple(replace(told[h.name], address=h.address) for h in hosts)}

    async def _host(self, host: Host) -> HostLoad:
        at, known = self._facts.get(host, (0.0, HostLoad(host.name)))
        if ago(at, time.monotonic()) < FACTS_FRESH_S and known.source:
            return known
        found = await sources.facts_of(self._session.world[Hosts], host)
        self._facts[host] = (time.monotonic(), found)
        return found

    async def _cluster(self, cluster: Cluster) -> Json:
        """Pods, vault and chains, all through one API; its silence is told once."""
        kube, every = self._session.kube, list(self._components.values())
        try:
            answers = await kube.ready(cluster)
        except NotThere:
            return OF_CLUSTER  # it was not made yet, as its own line tells
        if not answers:
            raise DiscoError(
                "the API is not ready, or does not answer",
                where=cluster.server,
                fix=f"disco doctor{of(self._session.loaded.path)}",
            )
        pods, vault, chains = await asyncio.gather(
            sources.pods_not_ready(kube, cluster),
            sources.vault_pods(self._session, cluster, every, POD_S),
            sources.chain_nodes(kube, cluster, every, POD_S),
        )
        return {"not_ready": pods, "vault": vault, "chains": chains}

    async def _alerts(self, cluster: Cluster) -> Json:
        return {"alerts": await sources.alerts(self._session.kube, cluster)}

    async def _run(self) -> Json:
        """The last run of this machine; the journal is read on from where it was left."""
        async with self._reading:
            new = await asyncio.to_thread(self._tail.new)
        for record in new:
            if record["event"] == "run":
                self._records = []
            self._stale |= self._read and record["event"] in ("run", "end")
            self._records.append(record)
            self._events.append(sources.event_seen(record))
        self._read = True
        holder = MachineLock(self._session.place.lock).last_holder()
        runs = runs_of(self._records, holder)
        seen = {"run": sources.run_seen(runs[-1]) if runs else None}
        return {**seen, "events": tuple(self._events)} if new else seen


def masked(value: T, secrets: list[str]) -> T:
    """The same data as it may be shown: without secrets that were opened, and without characters
    that would move a terminal's cursor."""
    changed: Any = value
    if isinstance(value, str):
        veiled = opened.without(value, secrets)
        changed = veiled if veiled.isprintable() else "".join(map(_printable, veiled))
    elif isinstance(value, tuple):
        changed = tuple(masked(x, secrets) for x in value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: masked(getattr(value, f.name), secrets) for f in fields(value)}
        changed = replace(value, **parts)
    return changed  # type: ignore[no-any-return]


def _printable(character: str) -> str:
    return character if character.isprintable() else " "


def _state_of(file: Path) -> tuple[int, ...]:
    """Another one with each change of a file; empty where there is none."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
