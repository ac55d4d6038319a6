"""`disco alerts`: what Prometheus warns of now, since when, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from disco.checks.alerts import Alert, firing
from disco.checks.prometheus import Prometheus
from disco.cli import human, speak
from disco.cli.target import cluster_of, must_have_cluster
from disco.cli.wiring import Session, open_stack
from disco.engine.errors import Exit, WrongUse
from disco.layers.platform.prometheus import Prometheus as Component
from disco.stack.problem import nearest

HEADINGS = ["severity", "alert", "for", "summary"]
RUNBOOKS = Path(__file__).resolve().parents[3] / "docs" / "runbooks"


async def alerts(file: Path, as_json: bool) -> int:
    """Print what fires, and say by the exit code whether something does."""
    async with open_stack(file) as session:
        found = await now(session)
    if as_json:
        speak.data_json([data(alert) for alert in found])
    else:
        _show(found)
    return int(Exit.RED if found else Exit.DONE)


async def now(session: Session) -> list[Alert]:
    """What fires, the worst and the oldest first. Raises WrongUse without a Prometheus."""
    components = await session.components()
    if not any(isinstance(c, Component) for c in components.values()):
        raise WrongUse(
            "the stack has no Prometheus",
            where=str(session.loaded.path),
            fix="write `prometheus: {}` into it, and apply",
        )
    return await firing(Prometheus(session.kube, must_have_cluster(cluster_of(components))))


def page(name: str) -> str:
    """An alert's page as Markdown; empty for an alert that is not DISCO's."""
    file = RUNBOOKS / f"{name}.md"
    return file.read_text() if name.isalnum() and file.is_file() else ""


def runbook(name: str) -> int:
    """Print an alert's page."""
    pages = sorted(p.stem for p in RUNBOOKS.glob("[A-Z]*.md") if p.stem != "README")
    if name not in pages:
        meant = nearest(name, pages) or f"one of {', '.join(pages)}"
        raise WrongUse(f"there is no alert {name}", fix=meant)
    speak.data((RUNBOOKS / f"{name}.md").read_text())
    return int(Exit.DONE)


def data(alert: Alert) -> dict[str, Any]:
    told = {name: alert.annotations.get(name, "") for name in ("summary", "description", "runbook")}
    return {
        "alert": alert.name,
        "severity": alert.severity,
        "since": alert.since.isoformat(),
        "labels": alert.labels,
        **told,
    }


def rows(found: Sequence[Alert], now: datetime) -> list[list[str]]:
    return [
        [
            alert.severity,
            alert.name,
            human.clock(max(0.0, (now - alert.since).total_seconds())),
            alert.annotations.get("summary", ""),
        ]
        for alert in found
    ]


def _show(found: Sequence[Alert]) -> None:
    if found:
        speak.data_table(HEADINGS, rows(found, datetime.now(UTC)), wraps=3)
    for alert in found:
        told = alert.annotations.get("runbook", "")
        speak.talk(f"{alert.name}: {told} More: disco alerts {alert.name}", "yellow")
    speak.talk(f"{human.count(len(found), 'alert')} firing", "red" if found else "green")
