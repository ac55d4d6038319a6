"""One SSH connection, and how many programs the server lets run over it at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncssh

# OpenSSH refuses a connection's eleventh session unless its `MaxSessions` says otherwise.
AT_ONCE = 8
# A server may still count a session that ended a moment ago.
TRIES = 8
PAUSE_S = 0.05


class Connection:
    """A connection that gives each program a session of its own.

    Not more of them than the server allows: eight, or what it turned out to take when it refused
    one. Whoever comes later waits for a turn. `done` ends what `start` began.
    """

    def __init__(self, ssh: asyncssh.SSHClientConnection) -> None:
        self.ssh = ssh
        self._running = 0
        self._limit = AT_ONCE
        self._retired = False
        self._changed = asyncio.Event()

    async def start(self, line: str, **how: Any) -> asyncssh.SSHClientProcess[Any] | None:
        """Start a command line. None: this connection is retired, ask another.

        Raises asyncssh.ChannelOpenError where the server gives no session though none is in use.
        """
        import asyncssh

        refused = 0
        while await self._turn():
            try:
                return await self.ssh.create_process(line, **how)
            except asyncssh.ChannelOpenError:
                refused += 1
                self.done()
                if self.ssh.is_closed() or (not self._running and refused >= TRIES):
                    raise
            except BaseException:
                self.done()
                raise
            if self._running:
                self._limit = min(self._limit, self._running)
            else:
                await asyncio.sleep(PAUSE_S)
        return None

    def done(self) -> None:
        self._running -= 1
        self._tell()

    def retire(self) -> None:
        """Give no new program to it; it ends with the last that runs."""
        self._retired = True
        self._tell()

    async def _turn(self) -> bool:
        while not self._retired and self._running >= self._limit:
            await self._changed.wait()
        if self._retired:
            return False
        self._running += 1
        return True

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        if self._retired and not self._running:
            self.ssh.abort()
