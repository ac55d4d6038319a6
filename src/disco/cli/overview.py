"""A stack at a glance, as data: what a terminal, a pipe or a page shows of it. Reads only.

Times are Unix time in seconds. `ok` is None for what nobody knows: it is neither good nor bad.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Thing:
    """A line of `disco status`. reach: what a person types here to get to it. why, fix: where it
    gives no answer."""

    layer: str
    component: str
    what: str
    state: str
    reach: str = ""
    ok: bool | None = None
    why: str = ""
    fix: str = ""


@dataclass(frozen=True)
class HostLoad:
    """What a host has and how much of it is in use; None where that is not known.

    source:   `prometheus`, `facts`, or empty where neither told anything; then `why` says so.
    cpu_used: share of all its CPUs, 0 to 1, over the last minutes.
    """

    name: str
    address: str = ""
    source: str = ""
    cpus: int | None = None
    cpu_used: float | None = None
    memory_bytes: float | None = None
    memory_used_bytes: float | None = None
    disk_bytes: float | None = None
    disk_free_bytes: float | None = None
    why: str = ""


@dataclass(frozen=True)
class PodNotReady:
    """pod: `NAMESPACE/POD`. state: what it says of that."""

    pod: str
    state: str


@dataclass(frozen=True)
class VaultPod:
    """sealed: None where it does not answer; then `why` says so."""

    component: str
    pod: str
    sealed: bool | None = None
    why: str = ""


@dataclass(frozen=True)
class ChainNode:
    """A declared node of a chain. height, peers: None where it does not answer; `why` says so."""

    component: str
    chain: str
    node: str
    height: int | None = None
    peers: int | None = None
    catching_up: bool = False
    why: str = ""


@dataclass(frozen=True)
class AlertSeen:
    """One that fires. since: when its condition became true."""

    name: str
    severity: str
    since: float
    summary: str
    runbook: str


@dataclass(frozen=True)
class CheckSeen:
    check: str
    ok: bool
    evidence: str
    fix: str


@dataclass(frozen=True)
class Checks:
    """at: when they were asked; 0 for never. late: those that gave no answer in time."""

    at: float = 0.0
    seen: tuple[CheckSeen, ...] = ()
    late: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSeen:
    """The last run in this machine's journal. doing: `step: action`, begun and not ended. ended:
    empty while it goes on."""

    run: str
    what: str
    who: str
    at: float
    seconds: float
    steps: int
    done: int
    doing: tuple[str, ...]
    ended: str


@dataclass(frozen=True)
class EventSeen:
    """A record of this machine's journal."""

    at: float
    run: str
    event: str
    said: str


@dataclass(frozen=True)
class Unseen:
    """A source that could not be asked, and why."""

    source: str
    why: str
    fix: str = ""


@dataclass(frozen=True)
class Overview:
    """at: when the last look ended; 0 before the first one has. seconds: what it took.

    alerts: None where nobody tells of them. events: the last ones, oldest first.
    """

    stack: str
    at: float = 0.0
    seconds: float = 0.0
    things: tuple[Thing, ...] = ()
    hosts: tuple[HostLoad, ...] = ()
    not_ready: tuple[PodNotReady, ...] = ()
    vault: tuple[VaultPod, ...] = ()
    chains: tuple[ChainNode, ...] = ()
    alerts: tuple[AlertSeen, ...] | None = None
    checks: Checks = field(default_factory=Checks)
    run: RunSeen | None = None
    events: tuple[EventSeen, ...] = ()
    unseen: tuple[Unseen, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all was seen, and is as it should be."""
        good = all(t.ok for t in self.things) and all(c.ok for c in self.checks.seen)
        silent = any(c.why for c in self.chains) or any(h.why for h in self.hosts)
        sealed = any(v.sealed is not False for v in self.vault)
        wrong = self.not_ready or self.alerts or self.unseen or self.checks.late
        return good and not (silent or sealed or wrong)

    def data(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def ago(at: float, now: float | None = None) -> float:
    """Seconds since a time, never less than nothing."""
    return max(0.0, (time.time() if now is None else now) - at)
