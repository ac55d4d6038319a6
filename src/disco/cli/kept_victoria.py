"""Lines that a VictoriaLogs has kept: what is asked of it, and how its rows become lines again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from disco.checks.logs import ALL, Row, Span, VictoriaLogs, both, either, is_exactly, of_stream
from disco.cli.kept_lines import Line, as_journalctl, in_order
from disco.cli.target import Pods, Target

POD, NAMESPACE = "kubernetes.pod_name", "kubernetes.pod_namespace"
CONTAINER, POD_LABEL = "kubernetes.container_name", "kubernetes.pod_labels."
KLOG = {"level", "thread_id", "source_line"}


@dataclass(frozen=True)
class InVictoriaLogs:
    store: VictoriaLogs

    async def lines(
        self, wanted: Target, when: Span, query: str, limit: int
    ) -> tuple[list[Line], bool]:
        """As `Kept` has it; the query is LogsQL."""
        rows = await self.store.query(query or ALL, limit + 1, only_of(wanted), when)
        lines = lines_of(rows, wanted.unit)
        return lines[-limit:], len(rows) > limit


def only_of(wanted: Target) -> str:
    """A filter on what comes from there, also from pods that are there no more."""
    return either([*_of_hosts(wanted), *map(_of_pods, wanted.pods)])


def _of_hosts(wanted: Target) -> Iterator[str]:
    unit = wanted.unit if "." in wanted.unit else f"{wanted.unit}.service"
    units = either(is_exactly(field, unit) for field in ("_SYSTEMD_UNIT", "UNIT"))
    for host in wanted.hosts:
        node = of_stream("node", host.name)
        yield f"({both([node, units])})" if wanted.unit else node


def _of_pods(pods: Pods) -> str:
    parts = [of_stream(NAMESPACE, pods.namespace)]
    for label in filter(None, pods.labels.split(",")):
        name, _, value = label.partition("=")
        parts.append(is_exactly(POD_LABEL + name, value))
    parts += [is_exactly(POD, pods.pod)] if pods.pod else []
    parts += [is_exactly(CONTAINER, pods.container)] if pods.container else []
    return f"({both(parts)})"


def lines_of(rows: Sequence[Row], unit: str = "") -> list[Line]:
    """Rows as lines, the oldest first; what a query has made of rows stays a JSON object."""
    containers = {(row.get(POD), row.get(CONTAINER)) for row in rows}
    several = {pod for pod, _ in containers if sum(other == pod for other, _ in containers) > 1}
    return in_order(_line(row, row.get(POD) in several, unit) for row in rows)


def _line(row: Row, several: bool, unit: str) -> Line:
    time = _padded(row.get("_time", ""))
    if not time or "_msg" not in row:
        return Line("", time, json.dumps(row, ensure_ascii=False))
    if POD in row:
        label = row[POD] + (f":{row.get(CONTAINER, '')}" if several else "")
        return Line(label, time, pod_line(row))
    node = row.get("node", "")
    return Line(f"{node}:{unit}" if unit else node, time, journal_line(row))


def _padded(time: str) -> str:
    """All with as many digits, so that texts sort as times do."""
    whole, _, part = time.removesuffix("Z").partition(".")
    return f"{whole}.{part:0<9}Z" if whole else ""


def journal_line(row: Row) -> str:
    who = row.get("SYSLOG_IDENTIFIER") or row.get("_COMM") or row.get("_TRANSPORT", "")
    pid = row.get("SYSLOG_PID") or row.get("_PID", "")
    return as_journalctl(row["_time"], row.get("_HOSTNAME", ""), who, pid, row["_msg"])


def pod_line(row: Row) -> str:
    """What the program wrote. The collector has taken lines in JSON and klog's form apart: they are
    put together again, with their fields in the order of the alphabet."""
    own = {
        name: value
        for name, value in row.items()
        if not name.startswith(("kubernetes.", "_")) or name == "_msg"
    }
    if own.keys() == {"_msg"}:
        return row["_msg"]
    if own.keys() >= KLOG:
        return _klog(row["_time"], own)
    message = own.pop("_msg")
    return json.dumps({"time": row["_time"], "msg": message, **own}, ensure_ascii=False)


def _klog(time: str, own: dict[str, str]) -> str:
    at = datetime.fromisoformat(time)
    start = f"{own['level'][:1]}{at:%m%d %H:%M:%S.%f} {own['thread_id']:>7} {own['source_line']}]"
    rest = {k: v for k, v in own.items() if k not in KLOG and k != "_msg"}
    if not rest:
        return f"{start} {own['_msg']}"
    told = " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in rest.items())
    return f"{start} {json.dumps(own['_msg'], ensure_ascii=False)} {told}"
