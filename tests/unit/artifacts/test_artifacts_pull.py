"""Upstream's own images: pulled from a registry on loopback that asks for a token."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from disco.artifacts import Artifacts, Obtainer
from disco.artifacts.cache import Cache
from disco.artifacts.catalogue import ImageSet, PulledImage, catalogue
from disco.artifacts.machine import this_arch
from disco.artifacts.oci import MANIFEST
from disco.artifacts.pull import INDEXES, reach
from disco.engine.errors import DiscoError, WrongUse

NAME, TOKEN = "images/theirs", "of-nobody"


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Registry:
    """What it has by digest; who came without its token is sent for one."""

    things: dict[str, bytes] = field(default_factory=dict)
    port: int = 0
    asked: list[str] = field(default_factory=list)

    def add(self, content: Any) -> dict[str, Any]:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.things[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def image(self, arch: str) -> PulledImage:
        config, layer = self.add({"architecture": arch}), self.add(b"a layer")
        manifest = self.add(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        )
        platform = {"platform": {"os": "linux", "architecture": arch}}
        index = self.add({"mediaType": INDEXES[0], "manifests": [manifest | platform]})
        return PulledImage(
            repository=f"127.0.0.1:{self.port}/acme/theirs",
            tag="9",
            digest=index["digest"],
            licence="theirs",
            bytes=1,
        )


@contextmanager
def serving() -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append(f"{self.command} {self.path.partition('?')[0]}")
            top = f"http://127.0.0.1:{registry.port}"
            if self.path.startswith("/token"):
                self._say(200, json.dumps({"token": TOKEN}).encode())
            elif self.headers.get("authorization") != f"Bearer {TOKEN}":
                self._say(401, b"", f'Bearer realm="{top}/token",service="acme",scope="pull"')
            else:
                found = registry.things.get(self.path.rpartition("/")[2])
                self._say(404 if found is None else 200, found or b"")

        do_HEAD = do_GET

        def _say(self, status: int, body: bytes, login: str = "") -> None:
            self.send_response(status)
            if login:
                self.send_header("WWW-Authenticate", login)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as running:
        yield running


def reader(image: PulledImage, top: Path) -> Artifacts:
    sets = {"theirs": ImageSet(pulled=image)}
    return Artifacts(Cache(top), catalogue().model_copy(update={"image_sets": sets}))


def obtain(artifacts: Artifacts) -> None:
    for action in artifacts.plan([NAME], ["build", "download"]):
        asyncio.run(Obtainer(artifacts)(action, lambda note, share: None))


def test_an_image_is_pulled_as_its_registry_has_it(registry: Registry, tmp_path: Path) -> None:
    artifacts = reader(registry.image(this_arch()), tmp_path)
    (action,) = artifacts.plan([NAME], ["download"])
    assert action.describe().startswith("pull images/theirs theirs:9 (SHA-256 ")

    obtain(artifacts)

    held = artifacts.held(NAME)
    assert held and artifacts.plan([NAME], ["download"]) == []
    ((reference, top),) = artifacts.images(NAME).items()
    assert reference == f"127.0.0.1:{registry.port}/acme/theirs:9"
    with tarfile.open(held.path) as tar:
        names = {m.name.rpartition("/")[2] for m in tar if m.name.startswith("blobs")}
        file = tar.extractfile("index.json")
        assert file
        (entry,) = json.load(file)["manifests"]
    assert (entry["digest"], entry["mediaType"]) == (top, MANIFEST)
    assert names == {d[7:] for d in registry.things if d != artifacts.pulled(NAME).digest}


def test_what_was_changed_on_the_way_is_refused_and_not_kept(
    registry: Registry, tmp_path: Path
) -> None:
    artifacts = reader(registry.image(this_arch()), tmp_path)
    registry.things[digest(b"a layer")] = b"another"

    with pytest.raises(DiscoError, match="not what was expected"):
        obtain(artifacts)

    assert artifacts.held(NAME) is None
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"] == []


def test_an_image_for_other_machines_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DiscoError, match=f"no 127.0.0.1.* for {this_arch()}"):
        obtain(reader(registry.image("s390x"), tmp_path))


def test_without_downloads_it_is_refused_before_anything_is_asked(
    registry: Registry, tmp_path: Path
) -> None:
    artifacts = reader(registry.image(this_arch()), tmp_path)

    with pytest.raises(WrongUse) as refused:
        artifacts.plan([NAME], ["build"])

    assert "sources: [build, download]" in refused.value.fix
    assert registry.asked == []


async def test_a_registry_is_asked_beforehand_and_nothing_is_read(registry: Registry) -> None:
    image = registry.image(this_arch())
    await reach(image)
    assert {a.split()[0] for a in registry.asked if "token" not in a} == {"HEAD"}

    gone = image.model_copy(update={"digest": digest(b"gone")})
    with pytest.raises(DiscoError) as refused:
        await reach(gone)
    assert "404" in refused.value.why and refused.value.fix


async def test_a_registry_that_can_not_be_reached_is_told() -> None:
    with serving() as ended:
        image = ended.image(this_arch())
    with pytest.raises(DiscoError) as refused:
        await reach(image)
    assert "can't be had" in refused.value.what and "can't be reached" in refused.value.why
