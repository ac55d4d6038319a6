"""Certificates for pods, by an authority inside of the vault that the store's own one signed.

The key of that inner authority is made in the vault and never leaves it. It may sign for names of
Services alone (`….svc`), and for none of the vault's own: who trusts the store's authority to know
the vault by is not deceived by a component. A new one takes its place when it nears its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from disco.engine.errors import DiscoError
from disco.engine.secret import Lookup, SecretRef
from disco.store import certificates

if TYPE_CHECKING:
    from disco.layers.platform.openbao import OpenBao

MOUNT = "pki"
CA = "vault/ca"
NAME = "vault internal"
DAYS = 5 * 365
RENEW_DAYS, RED_DAYS = 60, 30
LONGEST = "2160h"  # of a pod's certificate: 90 days
PERMITTED = ("svc", "svc.cluster.local")
EXCLUDED = ("vault.svc", "vault.svc.cluster.local")


# Certificate and key of an authority, a request, days, names permitted, names excluded.
Signs = Callable[[str, str, str, int, Sequence[str], Sequence[str]], str]


@dataclass(frozen=True)
class Issues:
    """What a component gets certificates for. role: the name of its login, too."""

    role: str
    names: tuple[str, ...]

    @property
    def wanted(self) -> dict[str, Any]:
        """Fields of the engine's role; those that could allow more are said, too."""
        return {
            "allowed_domains": sorted(self.names),
            "allow_bare_domains": True,
            "allow_subdomains": False,
            "allow_glob_domains": False,
            "allow_wildcard_certificates": False,
            "allow_any_name": False,
            "allow_localhost": False,
            "allow_ip_sans": False,
            "allowed_uri_sans": [],
            "enforce_hostnames": True,
            "key_type": "ec",
            "key_bits": 256,
            "max_ttl": 90 * 24 * 3600,
        }


def rules(role: str) -> dict[str, tuple[str, ...]]:
    """What who gets certificates may."""
    return {f"{MOUNT}/issue/{role}": ("update",)}


async def make(
    bao: OpenBao, token: str, lookup: Lookup, issues: Sequence[Issues], signs: Signs
) -> None:
    """An authority where none is, or one that is of no use much longer; a role for each. Killed
    after the vault made a key, that key stays there and is never used. Raises DiscoError."""
    if not issues:
        return
    if f"{MOUNT}/" not in (await bao.call(token, "GET", "sys/mounts"))["data"]:
        body = {"type": MOUNT, "config": {"max_lease_ttl": f"{DAYS * 24}h"}}
        await bao.call(token, "POST", f"sys/mounts/{MOUNT}", body)
    if await fault(bao, token, lookup, RENEW_DAYS):
        await _renew(bao, token, lookup, signs)
    for one in issues:
        await bao.call(token, "POST", f"{MOUNT}/roles/{one.role}", one.wanted)


async def _renew(bao: OpenBao, token: str, lookup: Lookup, signs: Signs) -> None:
    asked = {"common_name": NAME, "key_type": "ec", "key_bits": 256}
    made = await bao.call(token, "POST", f"{MOUNT}/intermediate/generate/internal", asked)
    ca = lookup(SecretRef(CA, "crt")), lookup(SecretRef(CA, "key"))
    crt = signs(*ca, made["data"]["csr"], DAYS, PERMITTED, EXCLUDED)
    body = {"certificate": f"{crt}\n{ca[0]}"}
    told = (await bao.call(token, "POST", f"{MOUNT}/intermediate/set-signed", body))["data"]
    ours = [i for i, key in told["mapping"].items() if key]
    await bao.call(token, "POST", f"{MOUNT}/config/issuers", {"default": ours[0]})


async def fault(bao: OpenBao, token: str, lookup: Lookup, lasts_days: int) -> str:
    """Why its authority is not, or not much longer, one to issue with. Raises DiscoError."""
    try:
        crt = str((await bao.call(token, "GET", f"{MOUNT}/issuer/default"))["data"]["certificate"])
    except DiscoError as error:
        if "(404)" in error.why or "(500)" in error.why:  # it has none
            return "is not there"
        raise
    return judged(crt, lookup(SecretRef(CA, "crt")), lasts_days)


def judged(crt: str, ca: str, lasts_days: int) -> str:
    """crt: of the inner authority; ca: of the store's. PEM."""
    return certificates.fault(crt, ca, (), lasts_days)


async def wrong(
    bao: OpenBao, token: str, lookup: Lookup, issues: Sequence[Issues], lasts_days: int
) -> dict[str, str]:
    """The authority, and what each component may get -> what is wrong with it, or nothing."""
    if not issues:
        return {}
    told = await asyncio.gather(*(_wrong(bao, token, one) for one in issues))
    found = {f"certificates of {i.role}": w for i, w in zip(issues, told, strict=True)}
    return {"authority of pods": await fault(bao, token, lookup, lasts_days), **found}


async def _wrong(bao: OpenBao, token: str, one: Issues) -> str:
    try:
        found = (await bao.call(token, "GET", f"{MOUNT}/roles/{one.role}"))["data"]
    except DiscoError as error:
        if "(404)" in error.why:
            return "has no role"
        raise
    return differs(one, found)


def differs(one: Issues, found: Mapping[str, Any]) -> str:
    """found: the engine's role as it is."""
    for field, wanted in one.wanted.items():
        now = found.get(field)
        if (sorted(now or ()) if isinstance(wanted, list) else now) != wanted:
            return f"{field} is {now}, not {wanted}"
    return ""


def nears_its_end(crt_pem: str, now: datetime | None = None) -> str:
    """Of a pod's certificate, whether less than a fiftieth of its time is left: its agent gets
    another one before (measured: 3.3 s of 70 s were left). In words that follow "its certificate";
    empty when it is not so."""
    try:
        crt = certificates.read(crt_pem)
    except ValueError:
        return "is not PEM"
    now = now or datetime.now(UTC)
    whole = (crt.not_valid_after_utc - crt.not_valid_before_utc).total_seconds()
    left = (crt.not_valid_after_utc - now).total_seconds()
    if left <= 0:
        return f"ended at {crt.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return f"ends in {left:.0f} s, and was not renewed" if left < whole / 50 else ""


def certificate_fault(pem: str, ca: str, names: Sequence[str]) -> str:
    """What is wrong with what a pod shows: its certificate, and who signed it. ca: the store's."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return "is not PEM"
    if len(found) < 2:
        return "comes without who signed it"
    leaf, inner = (c.public_bytes(Encoding.PEM).decode() for c in found[:2])
    wrong = certificates.fault(leaf, inner, names, 0) or nears_its_end(leaf)
    return wrong or (judged(inner, ca, 0) and f"its authority {judged(inner, ca, 0)}")


def ends(pem: str) -> str:
    """When a pod's certificate ends (UTC), as it is shown; empty where it shows none."""
    try:
        return f"{certificates.ends(pem):%Y-%m-%d %H:%M}"
    except ValueError:
        return ""
