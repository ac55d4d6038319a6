"""A way to a pod's own port, through the API server: what `kubectl port-forward` does.

The API server's other way, its proxy, believes any certificate that a pod shows, and reads what is
said. Through this one TLS goes from end to end.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import httpx2

from disco.engine.errors import DiscoError, Retry

PROTOCOL = "v4.channel.k8s.io"  # of both ports and programs, which use its channels otherwise
DATA, ERROR = 0, 1  # channels of the one
STATUS = 3  # of the other
PIECE = 1 << 15  # bytes that are sent at once
IDLE_S = 1.0  # for a connection to be used again: its pod may be replaced by another of that name
SHOWN_S = 15.0  # for a certificate to be shown

if TYPE_CHECKING:
    from httpx2 import websockets


@dataclass(frozen=True)
class Server:
    """What listens in a pod. pod: `namespace/name`. host: a name that its certificate is for.
    authority: the certificate of who signed that, PEM; empty believes what is shown, for who only
    wants to see it."""

    pod: str
    port: int
    host: str
    authority: str = field(repr=False)

    @property
    def path(self) -> str:
        namespace, name = self.pod.split("/")
        return f"/api/v1/namespaces/{namespace}/pods/{name}"

    @property
    def trusted(self) -> ssl.SSLContext:
        if self.authority:
            return ssl.create_default_context(cadata=self.authority)
        seen = ssl.create_default_context()
        seen.check_hostname, seen.verify_mode = False, ssl.CERT_NONE
        return seen


class Tunnels:
    """Each is a socket in a private folder; every connection to it becomes one to the pod."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()
        self._all: dict[Server, Tunnel] = {}
        self._open, self._making = AsyncExitStack(), asyncio.Lock()

    async def to(self, api: httpx2.AsyncClient, server: Server) -> Tunnel:
        """api: a client of the cluster's API."""
        async with self._making:
            if server not in self._all:
                made = Tunnel(api, server, self._folder / f"tunnel-{next(self._numbers)}")
                await made.listen()
                self._open.push_async_callback(made.close)
                self._all[server] = made
        return self._all[server]

    async def close(self) -> None:
        await self._open.aclose()
        self._all.clear()


class Tunnel:
    """HTTPS to a server in a pod."""

    def __init__(self, api: httpx2.AsyncClient, server: Server, socket: Path) -> None:
        self._api, self._server, self._socket = api, server, socket
        self._listens: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._why = ""  # the way to the pod ended
        self._client = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(
                verify=server.trusted,
                uds=str(socket),
                limits=httpx2.Limits(keepalive_expiry=IDLE_S),
            ),
            base_url=f"https://{server.host}:{server.port}",
            timeout=httpx2.Timeout(15),
            trust_env=False,
        )

    async def listen(self) -> None:
        self._listens = await asyncio.start_unix_server(self._serve, self._socket)

    async def close(self) -> None:
        await self._client.aclose()
        if self._listens:
            self._listens.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def request(self, method: str, path: str, **options: object) -> httpx2.Response:
        """As of `httpx2.AsyncClient.request`. Raises DiscoError, also for a certificate that is not
        by the authority, not for the host, or over."""
        self._why = ""
        try:
            return await self._client.request(method, path, **options)  # type: ignore[arg-type]
        except (httpx2.TransportError, OSError) as error:
            self._refuse(f"{method} {path}", error)

    async def shown(self) -> str:
        """The certificate that the server shows, PEM, whatever it is worth. Raises DiscoError."""
        self._why = ""
        try:
            _, writer = await asyncio.open_unix_connection(
                self._socket,
                ssl=self._server.trusted,
                server_hostname=self._server.host,
                ssl_handshake_timeout=SHOWN_S,
            )
        except OSError as error:
            self._refuse("its certificate", error)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return ssl.DER_cert_to_PEM_cert(der)

    def _refuse(self, doing: str, error: Exception) -> NoReturn:
        raise DiscoError(
            f"no answer over TLS: {doing}",
            where=f"{self._server.pod}:{self._server.port}",
            why=self._why or str(error) or type(error).__name__,
            retry=Retry.LIKELY,
        ) from None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            async with self._api.websocket(
                f"{self._server.path}/portforward",
                params={"ports": str(self._server.port)},
                subprotocols=[PROTOCOL],
                keepalive_ping_interval_seconds=None,
            ) as web:
                await self._join(web, reader, writer)
        except* _failures() as group:
            self._why = self._why or _told(group)
        finally:
            self._running.discard(task)
            writer.close()

    async def _join(
        self,
        web: websockets.AsyncWebSocketSession,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Until either side ends. The first message of each channel is the port, two bytes."""

        async def outward() -> None:
            while piece := await reader.read(PIECE):
                await web.send_bytes(bytes([DATA]) + piece)

        async def inward() -> None:
            begun: set[int] = set()
            while True:
                message = await web.receive_bytes()
                channel, piece = message[0], message[1:]
                if channel not in begun:
                    begun.add(channel)
                elif channel == DATA:
                    writer.write(piece)
                    await writer.drain()
                elif channel == ERROR and piece:
                    self._why = piece.decode(errors="replace")
                    return

        ways = {asyncio.create_task(outward()), asyncio.create_task(inward())}
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def run_in(api: httpx2.AsyncClient, pod: str, container: str, argv: list[str]) -> str:
    """Run a program in a container, without input; what it prints. Raises DiscoError.

    pod: `namespace/name`.
    """
    namespace, name = pod.split("/")
    asked = {"container": container, "command": argv, "stdout": "1", "stderr": "1"}
    printed, failed = b"", ""
    try:
        async with api.websocket(
            f"/api/v1/namespaces/{namespace}/pods/{name}/exec",
            params=asked,
            subprotocols=[PROTOCOL],
            keepalive_ping_interval_seconds=None,
        ) as web:
            while (message := await web.receive_bytes())[:1] != bytes([STATUS]):
                printed += message[1:]
        if b'"Success"' not in message:
            failed = (printed or message[1:]).decode(errors="replace")[:300]
    except* _failures() as group:
        failed = _told(group)
    if failed:
        raise DiscoError(f"{' '.join(argv)} failed", where=pod, why=failed, retry=Retry.LIKELY)
    return printed.decode(errors="replace")


def _failures() -> tuple[type[Exception], ...]:
    """Of a connection. The library is imported by then; commands that make none do without it."""
    from httpx2 import websockets

    return (httpx2.HTTPError, websockets.HTTPXWSException, OSError)


def _told(group: BaseExceptionGroup[Exception]) -> str:
    """A connection's tasks fail together: the first of the errors, in plain words."""
    from httpx2 import websockets

    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, websockets.WebSocketUpgradeError):
        return f"the API server refused the way to it ({error.response.status_code})"
    return str(error) or type(error).__name__
