"""Where this machine gets its Debian packages from: its own apt configuration decides, never we."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from disco.artifacts.process import output
from disco.engine.errors import DiscoError

MIRROR_VARIABLE = "DISCO_DEBIAN_MIRROR"
USABLE_SCHEMES = ("http", "https", "file")


@dataclass(frozen=True)
class AptSource:
    """One mirror of an apt configuration."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""  # a keyring's path; empty when it is not said

    @property
    def is_debian(self) -> bool:
        return urlsplit(self.uri).path.rstrip("/").endswith("/debian")


def read_sources(folder: Path = Path("/etc/apt")) -> list[AptSource]:
    """All binary package sources of an apt folder, in both of its formats."""
    found: list[AptSource] = []
    for file in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if file.suffix == ".sources":
            found += _deb822(file.read_text(errors="replace"))
        elif file.suffix == ".list" and file.is_file():
            found += _one_line(file.read_text(errors="replace"))
    return found


def choose_mirror(
    sources: list[AptSource], suite: str, environ: Mapping[str, str] = os.environ
) -> AptSource:
    """The mirror for a Debian release: one that the machine uses for it, else any Debian mirror."""
    forced = environ.get(MIRROR_VARIABLE)
    if forced:
        return AptSource(forced.rstrip("/"), (suite,), ("main",))
    usable = [s for s in sources if urlsplit(s.uri).scheme in USABLE_SCHEMES]
    exact = [s for s in usable if suite in s.suites and "main" in s.components]
    for source in exact + [s for s in usable if s.is_debian]:
        return source
    raise DiscoError(
        f"no mirror of Debian {suite} in this machine's apt configuration",
        where="/etc/apt",
        why="no source that it names holds Debian packages",
        fix=f"set {MIRROR_VARIABLE} to the address of a Debian mirror",
    )


async def proxy_environment() -> dict[str, str]:
    """apt's own proxy settings as the variables that debootstrap's downloader reads."""
    try:
        code, text, _ = await output(["apt-config", "dump"])
    except DiscoError:
        return {}
    if code != 0:
        return {}
    found = re.findall(r'^Acquire::(https?)::Proxy "([^"]+)";$', text, re.MULTILINE)
    return {f"{scheme}_proxy": proxy for scheme, proxy in found if proxy != "DIRECT"}


def _one_line(text: str) -> Iterator[AptSource]:
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match:
            options, uri, suite, components = match.groups()
            signed = re.search(r"signed-by=(\S+)", options or "")
            yield AptSource(
                uri.rstrip("/"), (suite,), tuple(components.split()), _keyring(signed and signed[1])
            )


def _deb822(text: str) -> Iterator[AptSource]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields = _fields(paragraph)
        if fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            yield AptSource(
                uri.rstrip("/"),
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                _keyring(fields.get("signed-by", "")),
            )


def _fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            fields[name] = fields.get(name, "") + "\n" + line.strip()
            continue
        name, _, value = line.partition(":")
        name = name.strip().lower()
        fields[name] = value.strip()
    return fields


def _keyring(value: str | None) -> str:
    """A key may stand in the file itself; debootstrap can only take a keyring's path."""
    return value if value and value.startswith("/") else ""
