"""Keys that never leave the vault: what signs with one asks the vault for it (its transit engine).

They are of ed25519, which CometBFT's validators sign with. OpenBao has no keys of secp256k1, so
accounts of Cosmos chains can't be held this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from disco.engine.errors import DiscoError

if TYPE_CHECKING:
    from disco.layers.platform.openbao import OpenBao

MOUNT = "transit"
TYPE = "ed25519"
MISSING = "is not there"
NEVER = ("exportable", "allow_plaintext_backup", "deletion_allowed")


def rules(key: str) -> dict[str, tuple[str, ...]]:
    """What who signs with it may: sign, verify, and read its public half."""
    return {
        f"{MOUNT}/sign/{key}": ("update",),
        f"{MOUNT}/verify/{key}": ("update",),
        f"{MOUNT}/keys/{key}": ("read",),
    }


async def make(bao: OpenBao, token: str, keys: Sequence[str]) -> None:
    """Those that are there stay what they are. Raises DiscoError."""
    if not keys:
        return
    if f"{MOUNT}/" not in (await bao.call(token, "GET", "sys/mounts"))["data"]:
        await bao.call(token, "POST", f"sys/mounts/{MOUNT}", {"type": MOUNT})
    for key in keys:
        await bao.call(token, "POST", f"{MOUNT}/keys/{key}", {"type": TYPE})


async def wrong(bao: OpenBao, token: str, keys: Sequence[str]) -> dict[str, str]:
    """Each key -> what is wrong with it, or nothing. Raises DiscoError."""
    found = await asyncio.gather(*(_read(bao, token, k) for k in keys))
    return {f"key {k}": judged(data) for k, data in zip(keys, found, strict=True)}


def judged(data: Mapping[str, Any]) -> str:
    """data: of `transit/keys/NAME`; empty where there is none."""
    if not data:
        return MISSING
    if data.get("type") != TYPE:
        return f"is of {data.get('type')}, not {TYPE}"
    may = [n for n in NEVER if data.get(n)]
    return f"may leave the vault, or be lost: {', '.join(may)}" if may else ""


async def _read(bao: OpenBao, token: str, key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = (await bao.call(token, "GET", f"{MOUNT}/keys/{key}"))["data"]
    except DiscoError as error:
        if "(404)" in error.why:
            return {}
        raise
    return found
