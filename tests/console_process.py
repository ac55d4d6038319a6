"""`disco console` as a process of its own, and what a client of it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

DISCO = (sys.executable, "-m", "disco.cli.main")
WITHIN_S = 60.0  # this machine may be busy


@dataclass(frozen=True)
class Console:
    """address: as it was printed, with its token."""

    address: str
    process: subprocess.Popen[str]

    @property
    def origin(self) -> str:
        return self.address.partition("/#")[0]

    @property
    def token(self) -> str:
        return self.address.partition("#")[2]

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    def client(self, token: str | None = None, **headers: str) -> httpx2.Client:
        """token: "" for requests without one."""
        sent = {"authorization": f"Bearer {token or self.token}"} if token != "" else {}
        sent |= headers
        return httpx2.Client(base_url=self.origin, headers=sent, timeout=WITHIN_S, trust_env=False)


@contextmanager
def console(stack: Path, *flags: str, own_cache: bool = True) -> Iterator[Console]:
    """Until it is ended by Ctrl-C. own_cache: with no artifact at hand, so that nothing is run."""
    folder = stack.parent
    environ = {k: v for k, v in os.environ.items() if k != "DISCO_STATE"}
    if own_cache:
        environ["DISCO_CACHE"] = str(folder / "cache")
    with (folder / "console.err").open("w") as err:
        process = subprocess.Popen(
            [*DISCO, "console", "--file", stack.name, "--port", "0", *flags],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            env=environ,
        )
    with process:
        try:
            assert process.stdout
            address = process.stdout.readline().strip()
            assert address, (folder / "console.err").read_text()
            yield Console(address, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
