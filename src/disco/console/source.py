"""What the console is told of a stack; `cli.console` tells it as the commands do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from disco.engine.graph import Graph


class Source(Protocol):
    """One stack, read only. Data is what the commands print with `--json`.

    Each of them raises what the command raises: DiscoError, Several, StackProblems.
    """

    @property
    def name(self) -> str:
        """Of the stack."""

    @property
    def journal(self) -> Path:
        """The file that runs append to; it need not be there."""

    def veiled(self, text: str) -> str:
        """The text without secrets."""

    def told(self, error: Exception) -> list[dict[str, Any]]:
        """An error for people as `what`, `where`, `why`, `fix`; nothing for one that nobody
        foresaw."""

    def graph(self) -> Graph: ...
    def history(self) -> Any: ...
    def names(self) -> list[str]:
        """What has logs: servers and components."""

    async def logs(self, name: str, since: str, query: str) -> Any:
        """The newest lines, the oldest first; since and query as the command takes them."""

    def boards(self) -> list[str]:
        """Names of the dashboards that there are."""

    async def board(self, name: str, span_s: float) -> Any:
        """One of them, drawn over the last seconds."""

    async def status(self) -> Any: ...
    async def alerts(self) -> Any: ...
    async def checks(self) -> Any: ...
    async def plan(self) -> Any: ...
