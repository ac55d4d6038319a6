"""Lines that a Loki has kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from disco.checks.logs import Row, Span
from disco.checks.loki import LINE, TIME, LokiStore, any_of, label_of, quoted, selector
from disco.cli.kept_lines import Line, as_journalctl, in_order
from disco.cli.target import Pods, Target

POD, CONTAINER = "k8s_pod_name", "k8s_container_name"


@dataclass(frozen=True)
class InLoki:
    store: LokiStore

    async def lines(
        self, wanted: Target, when: Span, query: str, limit: int
    ) -> tuple[list[Line], bool]:
        """As `Kept` has it. query: what follows a selector in LogQL, as `|= "error" | json`; words
        that begin otherwise are looked for as they are."""
        asked = [f"{one} {stages(query)}".strip() for one in selectors_of(wanted)]
        found = await asyncio.gather(*(self.store.query(q, limit + 1, when) for q in asked))
        rows = [row for part in found for row in part]
        return lines_of(rows, wanted.unit)[-limit:], len(rows) > limit


def stages(query: str) -> str:
    begun = query.strip()
    return begun if not begun or begun.startswith(("|", "!=", "!~")) else f"|= {quoted(begun)}"


def selectors_of(wanted: Target) -> Iterator[str]:
    """What comes from there, also from pods that are there no more: each a query of its own."""
    if wanted.hosts:
        names = any_of([host.name for host in wanted.hosts])
        journals = f'{{log_source="journal", k8s_node_name=~{quoted(names)}}}'
        unit = wanted.unit if "." in wanted.unit else f"{wanted.unit}.service"
        yield journals + (f" | systemd_unit={quoted(unit)}" if wanted.unit else "")
    yield from map(_of_pods, wanted.pods)


def _of_pods(pods: Pods) -> str:
    labels = {"log_source": "pods", "k8s_namespace_name": pods.namespace}
    parts = [selector(**labels, **({CONTAINER: pods.container} if pods.container else {}))]
    parts += [f"| {POD}={quoted(pods.pod)}"] if pods.pod else []
    for label in filter(None, pods.labels.split(",")):
        name, _, value = label.partition("=")
        parts.append(f"| {label_of(f'k8s.pod.labels.{name}')}={quoted(value)}")
    return " ".join(parts)


def lines_of(rows: Sequence[Row], unit: str = "") -> list[Line]:
    """The oldest first."""
    containers = {(row.get(POD), row.get(CONTAINER)) for row in rows}
    several = {pod for pod, _ in containers if sum(other == pod for other, _ in containers) > 1}
    return in_order(_line(row, row.get(POD) in several, unit) for row in rows)


def _line(row: Row, several: bool, unit: str) -> Line:
    if POD in row:
        label = row[POD] + (f":{row.get(CONTAINER, '')}" if several else "")
        return Line(label, row[TIME], row[LINE])
    node, host = row.get("k8s_node_name", ""), row.get("host_name", "")
    who, pid = row.get("syslog_identifier", ""), row.get("process_pid", "")
    text = as_journalctl(row[TIME], host, who, pid, row[LINE])
    return Line(f"{node}:{unit}" if unit else node, row[TIME], text)
