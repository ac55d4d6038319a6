"""Many programs over one connection, against a real sshd that allows few sessions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef
from disco.hosts.sessions import Result, Sessions
from ssh_server import SSHD, Server, sshd

pytestmark = pytest.mark.skipif(
    not SSHD or (not Path("/run/sshd").exists() and os.geteuid() != 0),
    reason="needs OpenSSH's sshd and its folder /run/sshd",
)


def no_secret(ref: SecretRef) -> str:
    raise AssertionError(f"{ref} is asked for")


# "": OpenSSH's own limit, ten.
@pytest.fixture(scope="module", params=["", "MaxSessions 3\n", "MaxSessions 1\n"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it when root starts it
    with sshd(tmp_path_factory.mktemp("sshd"), settings=request.param) as running:
        yield running


@pytest.fixture
async def sessions() -> AsyncIterator[Sessions]:
    made = Sessions(no_secret)
    yield made
    await made.close()


async def test_programs_beyond_what_the_server_allows_wait_for_their_turn(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))

    async def one(number: int) -> str:
        argv = ["sh", "-c", f"wc -c; sleep 0.05; echo {number}"]
        if number % 2:
            return await sessions.send(server.host, argv, image, lambda share: None)
        return await sessions.must(server.host, argv, image.read_bytes())

    answers = await asyncio.gather(*(one(n) for n in range(24)))
    assert [a.split() for a in answers] == [[str(1 << 20), str(n)] for n in range(24)]
    assert _connections(server) == 1


async def test_what_is_given_up_takes_nothing_from_the_others(
    server: Server, sessions: Sessions
) -> None:
    async def hung() -> Result:
        return await sessions.run(server.host, ["sleep", "20"], within_s=0.3)

    async def longer(number: int) -> str:
        return await sessions.must(server.host, ["sh", "-c", f"sleep 0.6; echo {number}"])

    async with asyncio.timeout(15):  # less than what hangs takes
        given_up, *answers = await asyncio.gather(
            hung(), *(longer(n) for n in range(4)), return_exceptions=True
        )
    assert isinstance(given_up, DiscoError), given_up
    assert given_up.what == "no answer in time"
    assert answers == [f"{n}\n" for n in range(4)]
    assert (await sessions.run(server.host, ["true"])).ok


async def test_what_is_cancelled_keeps_nobody_from_the_next(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    hung = asyncio.create_task(
        sessions.run(server.host, ["sh", "-c", f"touch {began}; exec sleep 20"])
    )
    async with asyncio.timeout(15):  # less than what hangs takes
        while not began.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung
        assert (await sessions.run(server.host, ["true"])).ok


def _connections(server: Server) -> int:
    """How many logins the server has seen."""
    log = (server.key.parent / "log").read_text()
    return log.count("Accepted publickey")
