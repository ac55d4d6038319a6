"""Lines that the stack's store of logs has kept, as `disco logs` prints them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from disco.checks.logs import ALL, LogStore, Row, Span, both, either, is_exactly, of_stream
from disco.cli.target import Pods, Target
from disco.cli.wiring import Session
from disco.engine.errors import WrongUse
from disco.layers.platform.logs import Logs

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
POD, NAMESPACE = "kubernetes.pod_name", "kubernetes.pod_namespace"
CONTAINER, POD_LABEL = "kubernetes.container_name", "kubernetes.pod_labels."
KLOG = {"level", "thread_id", "source_line"}


@dataclass(frozen=True)
class Line:
    """A line with where it is from; without a label it is a figure that a query made."""

    label: str
    time: str
    text: str


def span(since: str, until: str, now: datetime) -> Span:
    """What `--since` and `--until` mean. Raises WrongUse."""
    start, end = (_moment(t, flag, now) for t, flag in ((since, "--since"), (until, "--until")))
    if start and end and end <= start:
        raise WrongUse(f"--until {until} is not after --since {since}")
    return Span(start, end)


def _moment(text: str, flag: str, now: datetime) -> datetime | None:
    """`90m` before now, or a date, with the time of day or without; this machine's zone unless
    it names another."""
    if not text:
        return None
    if found := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return now - timedelta(**{UNITS[found[2]]: int(found[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongUse(
            f"{flag} {text} is neither a duration nor a time",
            fix="say for example 90m, 2d, or 2026-01-31T09:00",
        ) from None


async def store_of(session: Session) -> LogStore | None:
    """The store of logs of a stack that declares one and has it installed."""
    components = await session.components()
    found = next((c for c in components.values() if isinstance(c, Logs)), None)
    if found is None:
        return None
    store = LogStore(session.kube, found.kubernetes.cluster)
    return store if await store.is_there() else None


async def kept(
    store: LogStore, wanted: Target, when: Span, query: str, limit: int
) -> tuple[list[Line], bool]:
    """The newest lines of a target in the order in which they were written, and whether there are
    more. Lines that came twice, since a collector was killed, are there once."""
    rows = await store.query(query or ALL, limit + 1, only_of(wanted), when)
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
    found = {_line(row, row.get(POD) in several, unit): None for row in rows}
    return sorted(found, key=lambda line: line.time)


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
    """As `journalctl --output=short-iso` has it, in UTC."""
    who = row.get("SYSLOG_IDENTIFIER") or row.get("_COMM") or row.get("_TRANSPORT", "")
    pid = row.get("SYSLOG_PID") or row.get("_PID", "")
    start = f"{row['_time'][:19]}+0000 {row.get('_HOSTNAME', '')} {who}"
    return f"{start}{f'[{pid}]' if pid else ''}: {row['_msg']}"


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
