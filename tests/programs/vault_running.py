"""A vault of the tests' own: OpenBao itself, with the configuration of our chart."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from charts_helm import parse_all, program, template

from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.reader import Kube
from disco.kube.tunnel import Server
from disco.layers.platform import vault_seal
from disco.layers.platform.openbao import HOSTS, OpenBao
from disco.store import certificates

T = TypeVar("T")
CLUSTER = Cluster("here", "https://127.0.0.1:1", "none/ca")
WITHIN_S = 60.0
VALUES: dict[str, Any] = {"replicas": 1, "tls": {"enabled": True, "secretName": "tls"}}


class Direct(Kube):
    """The same HTTPS, to a program on this machine instead of through a cluster."""

    def __init__(self, port: int, authority: str) -> None:
        super().__init__(lambda ref: authority, certificates.client_certificate)
        self._port, self._client = (
            port,
            httpx2.AsyncClient(
                verify=ssl.create_default_context(cadata=authority), trust_env=False
            ),
        )

    async def secured(
        self, cluster: Cluster, server: Server, path: str, method: str = "GET", **options: Any
    ) -> httpx2.Response:
        return await self._client.request(
            method, f"https://127.0.0.1:{self._port}{path}", **options
        )

    async def get(self, cluster: Cluster, path: str, **params: str) -> dict[str, Any]:
        return {"items": [{"metadata": {"name": "openbao-0"}}]}


@dataclass
class Running:
    """A vault that was just begun and unsealed. keys: as DISCO keeps them."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    ca: tuple[str, str]
    keys: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    def do(self, work: Callable[[OpenBao], Awaitable[T]]) -> T:
        async def run() -> T:
            kube = Direct(self.port, self.ca[0])
            try:
                return await work(OpenBao(kube, CLUSTER, lambda ref: self.ca[0]))
            finally:
                await kube._client.aclose()

        return asyncio.run(run())

    def start(self, environment: dict[str, str]) -> None:
        self.environment = environment
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("bao"), "server", f"-config={self.folder}/bao.hcl"],
                stdout=log,
                stderr=log,
                env=environment,
            )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def certify(self, days: int) -> str:
        crt, key = certificates.server_certificate(*self.ca, HOSTS, days)
        (self.folder / "tls.crt").write_text(crt)
        (self.folder / "tls.key").write_text(key)
        return crt

    @property
    def shown(self) -> str:
        return ssl.get_server_certificate(("127.0.0.1", self.port))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def begun(folder: Path, values: dict[str, Any], variables: dict[str, str]) -> Iterator[Running]:
    """A vault without data, with the configuration of our chart, but for paths and ports."""
    port, other = ports()
    answer = template(program("helm"), "openbao", values, "test")
    things = parse_all(answer.stdout)
    config = next(t for t in things if t["kind"] == "ConfigMap")["data"]["bao.hcl"]
    ca = certificates.authority("vault", 3650)
    (folder / "ca.crt").write_text(ca[0])
    (folder / "data").mkdir()
    for old, new in (
        ('"/etc/tls/', f'"{folder}/'),
        ('"/data"', f'"{folder}/data"'),
        ("0.0.0.0:8200", f"127.0.0.1:{port}"),
        ("0.0.0.0:8201", f"127.0.0.1:{other}"),
        ('service_registration "kubernetes" {}', ""),
        ("https://openbao-0.openbao:8200", f"https://127.0.0.1:{port}"),
    ):
        assert old in config, old
        config = config.replace(old, new)
    (folder / "bao.hcl").write_text(config.replace(vault_seal.FOLDER, str(folder)))
    made = Running(folder, port, None, ca, {})  # type: ignore[arg-type]
    made.certify(30)
    addresses = {
        "BAO_RAFT_NODE_ID": "openbao-0",
        "BAO_API_ADDR": f"https://127.0.0.1:{port}",
        "BAO_CLUSTER_ADDR": f"https://127.0.0.1:{other}",
    }
    made.start({**os.environ, **addresses, **variables})
    try:
        yield made
    finally:
        made.stop()


def ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


async def until(call: Callable[[], Awaitable[T]]) -> T:
    ends = time.monotonic() + WITHIN_S
    while True:
        try:
            return await call()
        except (DiscoError, httpx2.TransportError):
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(0.1)
