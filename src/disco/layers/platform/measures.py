"""What DISCO tells Prometheus of itself: plans, runs, checks and backups.

DISCO is there only while somebody runs it, so nobody can ask it. What it has to tell lies in files
on the first control plane, where node-exporter reads them: one for each kind of fact, written as a
whole by whoever learnt it last, on whatever machine. No secret is in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from disco import __version__
from disco.checks.runner import Asked
from disco.engine.apply import Ended, Outcome
from disco.engine.plan import Plan
from disco.engine.secret import Text
from disco.hosts.actions import Put
from disco.hosts.host import Host

FOLDER = "/var/lib/disco/metrics"
VAULT, STORE = "vault", "store"  # what there are backups of
BACKED_UP = "When all that is in it was last kept elsewhere."


@dataclass(frozen=True)
class Measures:
    """name: of the file. text: in Prometheus' text format. Times are Unix time, in seconds."""

    name: str
    text: str

    def on(self, host: Host) -> Put:
        """What brings them there: all of the file or nothing, and everybody may read it."""
        return Put(host, f"{FOLDER}/{self.name}.prom", Text.of(self.text), 0o644)


class _Page:
    """Gauges of one file, each with the label `stack`."""

    def __init__(self, stack: str) -> None:
        self._stack, self._registry = stack, CollectorRegistry()

    def one(self, name: str, about: str, value: float, **labels: str) -> None:
        self._gauge(name, about, *labels).labels(self._stack, *labels.values()).set(value)

    def each(self, name: str, about: str, values: Mapping[str, float], label: str) -> None:
        """values: by the values of the label."""
        gauge = self._gauge(name, about, label)
        for told, value in values.items():
            gauge.labels(self._stack, told).set(value)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"disco_{name}", about, ("stack", *labels), registry=self._registry)

    def named(self, name: str) -> Measures:
        return Measures(name, generate_latest(self._registry).decode())


def planned(plan: Plan, seconds: float, at: float) -> Measures:
    """What a plan of the whole stack would change, by component; seconds: that it took."""
    return _planned(plan.stack, {p.name: len(p.steps) for p in plan.parts}, seconds, at)


def settled(plan: Plan, seconds: float, at: float) -> Measures:
    """The same once all of it went through."""
    return _planned(plan.stack, dict.fromkeys((p.name for p in plan.parts), 0), seconds, at)


def _planned(stack: str, steps: Mapping[str, int], seconds: float, at: float) -> Measures:
    page = _Page(stack)
    page.one("plan_timestamp_seconds", "When the whole stack was last looked at.", at)
    page.one("plan_duration_seconds", "What that took.", seconds)
    page.each("plan_steps", "Steps that make it again what is declared.", steps, "component")
    return page.named("plan")


def ran(
    stack: str, what: str, outcome: Outcome, seconds: float, at: float, backups: Iterable[str]
) -> Measures:
    """How a run ended. what: the command. backups: what there should be backups of."""
    page = _Page(stack)
    ends = {e.value: float(e is outcome.ended) for e in Ended}
    steps = {"done": outcome.done, "failed": len(outcome.errors), "skipped": outcome.skipped}
    wanted = dict.fromkeys(backups, 1)
    page.one("run_timestamp_seconds", "When the last run ended.", at)
    page.one("run_duration_seconds", "What its steps took.", seconds)
    page.each("run_outcome", "1 for how it ended.", ends, "outcome")
    page.each("run_steps", "How many of its steps ended how.", steps, "outcome")
    page.one("run_info", "What it was.", 1, what=what, version=__version__)
    page.each("backup_wanted", "1 for what there should be a backup of.", wanted, "what")
    return page.named("run")


def checked(stack: str, answers: Sequence[Asked], at: float) -> Measures:
    """The answers to all checks of a stack."""
    page = _Page(stack)
    good = {a.check.id: float(a.answer.ok) for a in answers}
    took = {a.check.id: a.seconds for a in answers}
    page.one("check_timestamp_seconds", "When all checks were last asked.", at)
    page.each("check_ok", "1 for a green check, 0 for a red one.", good, "check")
    page.each("check_duration_seconds", "What each took.", took, "check")
    return page.named("check")


def backed_up(stack: str, what: str, at: float) -> Measures:
    """All of it was kept elsewhere just now."""
    page = _Page(stack)
    page.one("backup_timestamp_seconds", BACKED_UP, at, what=what)
    return page.named(f"backup-{what}")
