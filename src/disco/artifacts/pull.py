"""Upstream's own images: fetched from their registry without a login, each part by its digest.

Source of the protocol: OCI distribution specification 1.1, and the tokens of Docker's registry for
who has no account (distribution.github.io, spec/auth/token).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import stamina

from disco.artifacts.cache import content_key
from disco.artifacts.catalogue import PulledImage
from disco.artifacts.download import ATTEMPTS, Report, client, worth_another_try
from disco.artifacts.lock import differs
from disco.artifacts.machine import this_arch
from disco.artifacts.oci import MANIFEST, write_pulled
from disco.engine.errors import DiscoError, Retry

DOCKER = "docker.io"
DOCKER_AT = "registry-1.docker.io"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
ACCEPT = {"accept": ", ".join((*INDEXES, *MANIFESTS))}
LIMIT_BYTES = 4 << 20  # of a manifest
ELSEWHERE = "leave out what needs it, or run this where the registry may be reached"
AGAIN = stamina.retry(on=worth_another_try, attempts=ATTEMPTS, wait_initial=0.5, wait_max=5.0)
LOOPBACK = ("127.0.0.1", "localhost")


def pulled_key(image: PulledImage) -> str:
    """Of its file in the cache."""
    return content_key([image.digest, image.reference, this_arch()])


async def reach(image: PulledImage) -> None:
    """Ask its registry for it, and take nothing. Raises DiscoError when it can't be had."""
    async with _Registry.of(image) as registry:
        await registry.has(image.digest)


async def pull(image: PulledImage, folder: Path, out: Path, report: Report) -> dict[str, str]:
    """Fetch this machine's architecture of an image into a tar in the OCI image layout.

    folder: for its parts while they come. Returns the digest of its manifest by its reference.
    Raises DiscoError.
    """
    async with _Registry.of(image) as registry:
        content = await registry.manifest(image.digest)
        manifest = json.loads(content)
        if manifest.get("mediaType") in INDEXES or "manifests" in manifest:
            content = await registry.manifest(_of_this_machine(manifest, image))
            manifest = json.loads(content)
        blobs = {}
        for number, part in enumerate((manifest["config"], *manifest["layers"])):
            blobs[part["digest"]] = folder / f"part-{number}"
            await registry.blob(part["digest"], blobs[part["digest"]], report)
    kind = manifest.get("mediaType", MANIFEST)
    return write_pulled(out, image.reference, content, kind, blobs, this_arch())


def _of_this_machine(index: dict[str, Any], image: PulledImage) -> str:
    for entry in index["manifests"]:
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", this_arch()):
            return str(entry["digest"])
    raise DiscoError(
        f"there is no {image.reference} for {this_arch()}",
        where=image.repository,
        why="its index lists none for Linux on this architecture",
    )


class _Registry:
    """One repository of a registry."""

    def __init__(self, image: PulledImage, http: httpx2.AsyncClient) -> None:
        host, _, self._repository = image.repository.partition("/")
        host = DOCKER_AT if host == DOCKER else host
        scheme = "http" if host.partition(":")[0] in LOOPBACK else "https"
        self._top = f"{scheme}://{host}/v2/{self._repository}"
        self._image, self._http = image, http
        self._login: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def of(cls, image: PulledImage) -> AsyncIterator[_Registry]:
        async with client() as http:
            yield cls(image, http)

    async def has(self, digest: str) -> None:
        """Docker's registry counts what anybody reads, and not what they ask for like this."""
        url = f"{self._top}/manifests/{digest}"
        with self._translated(url):
            async with self._get(url, "HEAD"):
                return

    @AGAIN
    async def manifest(self, digest: str) -> bytes:
        """What has this digest. Raises DiscoError."""
        url = f"{self._top}/manifests/{digest}"
        with self._translated(url):
            async with self._get(url) as answer:
                content = b""
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > LIMIT_BYTES:
                        break
        found = "sha256:" + hashlib.sha256(content).hexdigest()
        if found != digest:
            raise differs(self._image.reference, digest, found, where=url)
        return content

    @AGAIN
    async def blob(self, digest: str, to: Path, report: Report) -> None:
        """Fetch a part into a file; it only stays when it is what was asked for."""
        url = f"{self._top}/blobs/{digest}"
        seen = hashlib.sha256()
        with self._translated(url), to.open("wb") as file:
            async with self._get(url) as answer:
                total = int(answer.headers.get("content-length", 0))
                async for chunk in answer.aiter_raw(1 << 18):
                    file.write(chunk)
                    seen.update(chunk)
                    share = file.tell() / total if total else None
                    report(f"pull {self._image.reference}, {to.name}", share)
        if (found := "sha256:" + seen.hexdigest()) != digest:
            to.unlink()
            raise differs(self._image.reference, digest, found, where=url)

    @asynccontextmanager
    async def _get(self, url: str, verb: str = "GET") -> AsyncIterator[httpx2.Response]:
        """An answer of 200. Who is asked for a token gets one as nobody."""
        async with self._http.stream(verb, url, headers=ACCEPT | self._login) as answer:
            if answer.status_code != 401:
                self._check(answer, url)
                yield answer
                return
            asked = answer.headers.get("www-authenticate", "")
        self._login = await self._as_nobody(asked, url)
        async with self._http.stream(verb, url, headers=ACCEPT | self._login) as answer:
            self._check(answer, url)
            yield answer

    async def _as_nobody(self, asked: str, url: str) -> dict[str, str]:
        kind, _, rest = asked.partition(" ")
        said = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if kind.lower() != "bearer" or not said.get("realm", "").startswith(
            ("https:", self._top[:5])
        ):
            raise self._refused(url, f"the registry wants a login of the kind {kind or 'unknown'}")
        scope = said.get("scope") or f"repository:{self._repository}:pull"
        params = {"scope": scope} | {k: v for k, v in said.items() if k == "service"}
        with self._translated(said["realm"]):
            answer = await self._http.get(said["realm"], params=params)
        self._check(answer, said["realm"])
        try:
            told = answer.json()
            return {"authorization": f"Bearer {told.get('token') or told['access_token']}"}
        except (ValueError, LookupError):
            raise self._refused(said["realm"], "what it gave is no token") from None

    def _check(self, answer: httpx2.Response, url: str) -> None:
        if answer.status_code != 200:
            passing = answer.status_code == 429 or answer.status_code >= 500
            why = f"the registry answered {answer.status_code} {answer.reason_phrase}"
            raise self._refused(url, why, Retry.MAYBE if passing else Retry.NEVER)

    @contextmanager
    def _translated(self, url: str) -> Iterator[None]:
        """The transport's own errors, in words."""
        try:
            yield
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise self._refused(
                url, f"the registry can't be reached: {why}", Retry.LIKELY
            ) from None

    def _refused(self, url: str, why: str, retry: Retry = Retry.NEVER) -> DiscoError:
        return DiscoError(
            f"the image {self._image.reference} can't be had",
            where=url,
            why=why,
            fix="try later, or leave out what needs it" if retry is Retry.MAYBE else ELSEWHERE,
            retry=retry,
        )
