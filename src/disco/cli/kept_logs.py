"""Lines that the stack's store of logs has kept, as `disco logs` prints them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from disco.checks.logs import Span, VictoriaLogs
from disco.checks.loki import LokiStore
from disco.cli.kept_lines import Line
from disco.cli.kept_loki import InLoki
from disco.cli.kept_victoria import InVictoriaLogs
from disco.cli.target import Target
from disco.cli.wiring import Session
from disco.engine.errors import WrongUse
from disco.layers.platform.logs import Logs

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Kept(Protocol):
    """The store of logs of a stack."""

    async def lines(
        self, wanted: Target, when: Span, query: str, limit: int
    ) -> tuple[list[Line], bool]:
        """The newest lines of a target in the order in which they were written, and whether there
        are more. query: in the store's own language; empty for all.

        Raises WrongUse for a query that the store can't read, DiscoError when it does not answer.
        """


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


async def store_of(session: Session) -> Kept | None:
    """The store of logs of a stack that declares one and has it installed."""
    components = await session.components()
    found = next((c for c in components.values() if isinstance(c, Logs)), None)
    if found is None:
        return None
    store = found.store(session.kube)
    if not await store.is_there():
        return None
    match store:
        case LokiStore():
            return InLoki(store)
        case VictoriaLogs():
            return InVictoriaLogs(store)
    raise AssertionError(store)
