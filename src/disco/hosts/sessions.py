"""One SSH connection per host, kept for the time of a run; host keys are always pinned.

asyncssh is imported where a connection is made: importing it takes a fifth of the time of commands
that need none.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disco.engine.errors import DiscoError
from disco.engine.secret import Lookup, SecretRef
from disco.hosts.connection import Connection
from disco.hosts.errors import translated
from disco.hosts.host import Host

if TYPE_CHECKING:
    import asyncssh

CONNECT_S = 8.0
CHUNK_BYTES = 1 << 20
# AES-GCM first: the fastest here by measurement, authenticated, in every OpenSSH since 6.2.
CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.code == 0


class Sessions:
    """Connections to hosts. `close()` ends them all.

    connecting: how many handshakes run at the same time (they cost CPU on both ends).

    What times out or loses its connection takes nothing from others that run over the same one:
    the next command makes a new connection, and the old one ends with the last that is on it.
    """

    def __init__(self, lookup: Lookup, connecting: int = 32) -> None:
        self._lookup = lookup
        self._open: dict[Host, Connection] = {}
        self._retired: set[Connection] = set()
        self._locks: dict[Host, asyncio.Lock] = {}
        self._connecting = asyncio.Semaphore(connecting)

    async def close(self) -> None:
        if not (self._open or self._retired):
            return
        import asyncssh

        connections = {*self._open.values(), *self._retired}
        for connection in connections:
            connection.ssh.abort()
        for connection in connections:
            with suppress(asyncssh.Error, OSError):
                await connection.ssh.wait_closed()
        self._open.clear()
        self._retired.clear()

    async def run(
        self,
        host: Host,
        argv: Sequence[str],
        stdin: bytes | None = None,
        within_s: float = 60.0,
    ) -> Result:
        """Run a program as root. Raises DiscoError only when the host can't be asked."""
        with translated(host):
            return await self._run(host, shlex.join(self._as_root(host, argv)), stdin, within_s)

    async def _run(self, host: Host, line: str, stdin: bytes | None, within_s: float) -> Result:
        async with (
            self._process(host, line, encoding=None) as process,
            asyncio.timeout(within_s),
        ):
            unread: OSError | None = None
            try:
                process.stdin.write(stdin or b"")
                process.stdin.write_eof()
            except OSError as error:  # it ended already, or the connection did
                unread = error
            done = await process.wait()
            if unread is not None and done.returncode is None:
                raise unread
        out, err = done.stdout or b"", done.stderr or b""
        return Result(
            -1 if done.returncode is None else done.returncode,
            bytes(out).decode(errors="replace"),  # type: ignore[arg-type]
            bytes(err).decode(errors="replace"),  # type: ignore[arg-type]
        )

    async def must(
        self,
        host: Host,
        argv: Sequence[str],
        stdin: bytes | None = None,
        within_s: float = 60.0,
    ) -> str:
        """Run a program as root and give its output. Raises DiscoError when it fails."""
        result = await self.run(host, argv, stdin, within_s)
        if not result.ok:
            raise DiscoError(
                f"`{shlex.join(argv)[:200]}` ended with {result.code}",
                where=host.name,
                why=_last(result.err or result.out),
                fix=f"try it by hand: {host.ssh()}",
            )
        return result.out

    async def send(
        self,
        host: Host,
        argv: Sequence[str],
        source: Path,
        report: Callable[[float], None],
        within_s: float = 600.0,
    ) -> str:
        """Stream a file into a program's stdin. `report` gets the share sent, 0 to 1."""
        with translated(host):
            line = shlex.join(self._as_root(host, argv))
            async with (
                self._process(host, line, encoding=None) as process,
                asyncio.timeout(within_s),
            ):
                return await self._stream(process, host, argv, source, report)

    async def _stream(
        self,
        process: asyncssh.SSHClientProcess[bytes],
        host: Host,
        argv: Sequence[str],
        source: Path,
        report: Callable[[float], None],
    ) -> str:
        size = max(1, source.stat().st_size)
        sent = 0
        unread: OSError | None = None
        with source.open("rb") as f:
            while chunk := f.read(CHUNK_BYTES):
                try:
                    process.stdin.write(chunk)
                    await process.stdin.drain()
                except OSError as error:  # the program ended before it had read all
                    unread = error
                    break
                sent += len(chunk)
                report(sent / size)
        if unread is None and not process.is_closing():  # it may have ended with the last of it
            process.stdin.write_eof()
        done = await process.wait()
        if unread is not None and not done.returncode:  # it is not known why
            raise unread
        if done.returncode != 0:
            raise DiscoError(
                f"`{shlex.join(argv)[:200]}` ended with {done.returncode}",
                where=host.name,
                why=_last(bytes(done.stderr or b"").decode(errors="replace")),  # type: ignore[arg-type]
            )
        return bytes(done.stdout or b"").decode(errors="replace")  # type: ignore[arg-type]

    async def follow(self, host: Host, argv: Sequence[str]) -> AsyncIterator[str]:
        """The lines that a program prints, until it ends."""
        import asyncssh

        with translated(host):
            line = shlex.join(self._as_root(host, argv))
            async with self._process(host, line, stderr=asyncssh.STDOUT) as process:
                async for text in process.stdout:
                    yield str(text)
                await process.wait_closed()

    async def forward(self, host: Host, target: str, port: int) -> asyncssh.SSHListener:
        """A port on loopback that leads to `target:port` as the host sees it."""
        with translated(host):
            connection = await self._connection(host)
            return await connection.ssh.forward_local_port("127.0.0.1", 0, target, port)

    def _as_root(self, host: Host, argv: Sequence[str]) -> list[str]:
        return ["sudo", "-n", "--", *argv] if host.sudo else list(argv)

    @asynccontextmanager
    async def _process(
        self, host: Host, line: str, **how: Any
    ) -> AsyncIterator[asyncssh.SSHClientProcess[Any]]:
        """A program that runs over the host's connection, once a session of it is free.

        What is left while it goes on is not waited for: a server keeps its session until it ends.
        """
        import asyncssh

        process = None
        while process is None:
            connection = await self._connection(host)
            try:
                process = await connection.start(line, **how)
            except (asyncssh.Error, OSError):
                self._retire(host, connection)
                raise
        try:
            yield process
        except (asyncssh.Error, OSError, TimeoutError):
            self._retire(host, connection)
            raise
        finally:
            if process.returncode is None:  # it goes on, or nobody knows
                self._retire(host, connection)
            process.close()
            connection.done()

    def _retire(self, host: Host, connection: Connection) -> None:
        """The next program makes a new connection."""
        if self._open.get(host) is connection:
            del self._open[host]
        self._retired.add(connection)
        connection.retire()

    async def _connection(self, host: Host) -> Connection:
        import asyncssh

        async with self._locks.setdefault(host, asyncio.Lock()):
            found = self._open.get(host)
            if found is not None and not found.ssh.is_closed():
                return found
            async with self._connecting, asyncio.timeout(CONNECT_S):
                ssh = await asyncssh.connect(
                    host.address,
                    host.port,
                    username=host.user,
                    config=None,
                    agent_path=None,
                    known_hosts=self._known_hosts(host),
                    client_keys=[self._key(host)],
                    encryption_algs=CIPHERS,
                    keepalive_interval=5,
                    keepalive_count_max=4,
                )
            self._open[host] = Connection(ssh)
            return self._open[host]

    def _known_hosts(self, host: Host) -> asyncssh.SSHKnownHosts:
        import asyncssh

        pinned = host.host_key
        line = self._lookup(pinned) if isinstance(pinned, SecretRef) else pinned
        if not line:
            raise DiscoError(
                "no host key is pinned",
                where=host.name,
                fix=f"add `host_key:` for {host.name} to the stack file "
                f"(ssh-keyscan -t ed25519 -p {host.port} {host.address}, compared on the console)",
            )
        name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
        kind, blob = line.split()[:2]
        return asyncssh.import_known_hosts(f"{name} {kind} {blob}\n")

    def _key(self, host: Host) -> asyncssh.SSHKey:
        import asyncssh

        if isinstance(host.key, SecretRef):
            return asyncssh.import_private_key(self._lookup(host.key))
        try:
            return asyncssh.read_private_key(Path(host.key).expanduser())
        except (OSError, asyncssh.KeyImportError) as error:
            raise DiscoError(
                f"the SSH key {host.key} can't be read",
                where=host.name,
                why=str(error),
                fix="set `key:` to a private key file without a passphrase",
            ) from None


def _last(text: str, lines: int = 6) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:])
