"""The server: one address, no log of requests, gone with Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import NoReturn

import uvicorn

from disco.console.guard import Keys
from disco.console.page import page
from disco.console.source import Source
from disco.engine.errors import DiscoError, WrongUse

LOOPBACK = "127.0.0.1"
GRACE_S = 1  # for answers that are on their way when it ends
CONNECTIONS = 64


async def serve(source: Source, address: str, port: int, ready: Callable[[str], None]) -> None:
    """Until Ctrl-C. port: 0 for any that is free. ready: told the address with its token.

    Raises WrongUse for an address that is none, DiscoError for a port that can't be had.
    """
    with bound(address, port) as listening:
        port = listening.getsockname()[1]
        keys = Keys(f"disco-console-{port}")
        server = uvicorn.Server(_config(source, keys, address, lambda: server.should_exit))
        host = f"[{address}]" if ":" in address else address
        ready(f"http://{host}:{port}/#{keys.token}")
        await server.serve([listening])


def _config(source: Source, keys: Keys, address: str, ends: Callable[[], bool]) -> uvicorn.Config:
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    logging.getLogger("uvicorn").propagate = False
    return uvicorn.Config(
        page(source, keys, address, ends),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )


def bound(address: str, port: int) -> socket.socket:
    """A socket that listens there."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        raise WrongUse(
            "--listen takes an address of this machine",
            where=address,
            fix=f"--listen {LOOPBACK}, or leave it out",
        ) from None
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        _refuse(error, address, port)
    return listening


def _refuse(error: OSError | OverflowError, address: str, port: int) -> NoReturn:
    where = f"{address}:{port}"
    if isinstance(error, OverflowError):
        raise WrongUse("there is no such port", where=where, fix="--port 0 takes a free one")
    why = (error.strerror or str(error)).lower()
    fix = {
        errno.EADDRINUSE: "--port 0 takes a free one; or end the other console",
        errno.EACCES: "take a port above 1023, or --port 0 for a free one",
        errno.EADDRNOTAVAIL: "--listen an address that this machine has",
    }.get(error.errno or 0, "--port 0 takes a free one")
    raise DiscoError("the console can't listen there", where=where, why=why, fix=fix)
