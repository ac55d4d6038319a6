"""One SSH connection per host, kept for the time of a run; host keys are always pinned."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from disco.engine.errors import DiscoError
from disco.engine.secret import Lookup, SecretRef
from disco.hosts.errors import translated
from disco.hosts.host import Host

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
    """

    def __init__(self, lookup: Lookup, connecting: int = 32) -> None:
        self._lookup = lookup
        self._open: dict[Host, asyncssh.SSHClientConnection] = {}
        self._locks: dict[Host, asyncio.Lock] = {}
        self._connecting = asyncio.Semaphore(connecting)

    async def close(self) -> None:
        for connection in self._open.values():
            connection.abort()
        for connection in self._open.values():
            with suppress(asyncssh.Error, OSError):
                await connection.wait_closed()
        self._open.clear()

    def forget(self, host: Host) -> None:
        """Drop the connection, so that the next command makes a new one."""
        connection = self._open.pop(host, None)
        if connection:
            connection.abort()

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
        connection = await self._connection(host)
        try:
            async with asyncio.timeout(within_s):
                done = await connection.run(line, input=stdin or b"", encoding=None)
        except (asyncssh.Error, OSError, TimeoutError):
            self.forget(host)
            raise
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
            connection = await self._connection(host)
            try:
                async with asyncio.timeout(within_s):
                    return await self._stream(connection, host, argv, source, report)
            except (asyncssh.Error, OSError, TimeoutError):
                self.forget(host)
                raise

    async def _stream(
        self,
        connection: asyncssh.SSHClientConnection,
        host: Host,
        argv: Sequence[str],
        source: Path,
        report: Callable[[float], None],
    ) -> str:
        line = shlex.join(self._as_root(host, argv))
        size = max(1, source.stat().st_size)
        sent = 0
        unread: OSError | None = None
        async with connection.create_process(line, encoding=None) as process:
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
            if unread is None:
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
        with translated(host):
            connection = await self._connection(host)
            line = shlex.join(self._as_root(host, argv))
            async with connection.create_process(line, stderr=asyncssh.STDOUT) as process:
                async for text in process.stdout:
                    yield str(text)

    async def forward(self, host: Host, target: str, port: int) -> asyncssh.SSHListener:
        """A port on loopback that leads to `target:port` as the host sees it."""
        with translated(host):
            connection = await self._connection(host)
            return await connection.forward_local_port("127.0.0.1", 0, target, port)

    def _as_root(self, host: Host, argv: Sequence[str]) -> list[str]:
        return ["sudo", "-n", "--", *argv] if host.sudo else list(argv)

    async def _connection(self, host: Host) -> asyncssh.SSHClientConnection:
        async with self._locks.setdefault(host, asyncio.Lock()):
            found = self._open.get(host)
            if found is not None and not found.is_closed():
                return found
            async with self._connecting, asyncio.timeout(CONNECT_S):
                self._open[host] = await asyncssh.connect(
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
            return self._open[host]

    def _known_hosts(self, host: Host) -> asyncssh.SSHKnownHosts:
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
