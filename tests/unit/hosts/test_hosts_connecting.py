"""A fleet's connections are opened a few at a time: handshakes cost CPU on both ends."""

from __future__ import annotations

import asyncio

import asyncssh

from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef
from disco.hosts.host import Host
from disco.hosts.sessions import Sessions


async def test_only_so_many_connections_are_opened_at_a_time() -> None:
    """To servers that take a moment and then hang up; each host is still asked once."""
    now, most, asked = 0, 0, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most, asked
        now, asked = now + 1, asked + 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        key = asyncssh.generate_private_key("ssh-ed25519")
        pem = key.export_private_key().decode()
        pinned = " ".join(key.export_public_key().decode().split()[:2])
        sessions = Sessions(lambda ref: pem, connecting=4)
        hosts = [
            Host(f"h{i}", "127.0.0.1", port, key=SecretRef("login"), host_key=pinned)
            for i in range(24)
        ]
        ended = await asyncio.gather(
            *(sessions.run(h, ["true"]) for h in hosts), return_exceptions=True
        )
    assert all(isinstance(e, DiscoError) for e in ended)
    assert (most, asked) == (4, 24)
