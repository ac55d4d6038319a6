"""Upstream's own releases: fetched whole, compared with a known figure, then looked into."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx2
import stamina

from disco.artifacts.lock import differs
from disco.engine.errors import DiscoError, Retry

Report = Callable[[str, float | None], None]

ATTEMPTS = 3
TIMEOUT = httpx2.Timeout(30.0, connect=15.0)  # seconds; of one read, not of the whole
CHECKSUM_LIMIT_BYTES = 1 << 20
SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def worth_another_try(error: Exception) -> bool:
    return isinstance(error, DiscoError) and error.retry is not Retry.NEVER


@stamina.retry(on=worth_another_try, attempts=ATTEMPTS, wait_initial=0.5, wait_max=5.0)
async def fetch(url: str, to: Path, sha256: str, report: Report = lambda note, share: None) -> None:
    """Download to a file and compare; the file only stays when its SHA-256 is the given one."""
    try:
        found = await _stream(url, to, report)
        if found != sha256:
            raise differs(to.name, sha256, found, where=url)
    except BaseException:
        to.unlink(missing_ok=True)
        raise


@stamina.retry(on=worth_another_try, attempts=ATTEMPTS, wait_initial=0.5, wait_max=5.0)
async def published_figure(checksum_url: str, file: str) -> str:
    """The SHA-256 (hex) that upstream publishes for a file beside its release."""
    with _translated(checksum_url):
        async with client() as http, http.stream("GET", checksum_url) as answer:
            _check_status(answer, checksum_url)
            text = b""
            async for chunk in answer.aiter_bytes():
                text += chunk
                if len(text) > CHECKSUM_LIMIT_BYTES:
                    raise _no_figure(checksum_url, "it is far too long for a list of checksums")
    return figure_in(text.decode(errors="replace"), file, checksum_url)


def figure_in(text: str, file: str, where: str) -> str:
    """The figure of `file` in a checksum file: a bare one, or the one line that names the file."""
    words = text.split()
    if len(words) == 1 and SHA256.fullmatch(words[0]):
        return words[0].lower()
    lines = [line.split() for line in text.splitlines()]
    named = [w for w in lines if len(w) == 2 and w[1].lstrip("*").removeprefix("./") == file]
    if len(named) != 1:
        raise _no_figure(where, f"it names {file} {len(named)} times, once is needed")
    if not SHA256.fullmatch(named[0][0]):
        raise _no_figure(where, f"the figure of {file} is not 64 hex digits")
    return named[0][0].lower()


def take_member(archive: Path, member: str, to: Path) -> None:
    """Copy one file out of a .tar.gz, .zip or .whl; nothing else in it is touched."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as z, z.open(member) as source:
                _copy(source, to)
            return
        with tarfile.open(archive) as tar:
            found = tar.extractfile(_tar_member(tar, member))
            if found is None:
                raise KeyError(f"{member} is not a file")
            _copy(found, to)
    except (KeyError, EOFError, tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DiscoError(
            f"{member} can't be taken out of {archive.name}",
            where=str(archive),
            why=str(error),
            fix="the catalogue's entry does not fit this release: report it as a bug",
        ) from None


def _tar_member(tar: tarfile.TarFile, member: str) -> tarfile.TarInfo:
    for info in tar:
        if info.name.removeprefix("./") == member:
            return info
    raise KeyError(f"no {member} in the archive")


def _copy(source: IO[bytes], to: Path) -> None:
    with to.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


async def _stream(url: str, to: Path, report: Report) -> str:
    """Write the answer's body to a file; its SHA-256 (hex)."""
    digest = hashlib.sha256()
    name = url.rsplit("/", 1)[-1]
    with _translated(url), to.open("wb") as file:
        async with client() as http, http.stream("GET", url) as answer:
            _check_status(answer, url)
            total = int(answer.headers.get("content-length", 0))
            async for chunk in answer.aiter_raw(1 << 18):
                file.write(chunk)
                digest.update(chunk)
                share = file.tell() / total if total else None
                report(f"download {name}", share)
    return digest.hexdigest()


def client() -> httpx2.AsyncClient:
    # Archives are wanted as they are, so the server must not compress them once more.
    headers = {"accept-encoding": "identity"}
    return httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=True, headers=headers)


def _check_status(answer: httpx2.Response, url: str) -> None:
    if answer.status_code == 200:
        return
    passing = answer.status_code == 429 or answer.status_code >= 500
    raise DiscoError(
        "the download failed",
        where=url,
        why=f"the server answered {answer.status_code} {answer.reason_phrase}",
        fix="try later"
        if passing
        else "the release may have moved; put `build` first in the stack's sources",
        retry=Retry.MAYBE if passing else Retry.NEVER,
    )


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """The transport's own errors, in words."""
    try:
        yield
    except httpx2.RemoteProtocolError as error:
        raise DiscoError(
            "the download ended too early",
            where=url,
            why=str(error),
            fix="run again",
            retry=Retry.LIKELY,
        ) from None
    except httpx2.HTTPError as error:
        raise DiscoError(
            f"{httpx2.URL(url).host} can't be reached",
            where=url,
            why=str(error) or type(error).__name__,
            fix="check the network and proxy of this machine, or put `build` first in the "
            "stack's sources",
            retry=Retry.LIKELY,
        ) from None


def _no_figure(where: str, why: str) -> DiscoError:
    return DiscoError(
        "upstream's checksum file can't be used",
        where=where,
        why=why,
        fix="put the right figure into the catalogue, or use another source",
    )
