"""Real certificates for simulated secrets: the same one each time, with a key that is a canary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from disco.engine.gate import Report
from disco.store import certificates
from disco.store.actions import Certify, due
from disco.store.store import Store
from sim.simulation import Simulation

CANARY = "CANARY"


@cache
def _authority(name: str, nth: int) -> tuple[str, str]:
    return certificates.authority(f"{name} {nth}", 3650)


_KEYS: dict[str, str] = {}  # of authorities, by their certificates


def authority(name: str, nth: int) -> str:
    """The certificate of the nth authority of this name."""
    crt, key = _authority(name, nth)
    _KEYS[crt] = key
    return crt


@cache
def _signed(ca: str, names: tuple[str, ...], days: int, nth: int) -> str:
    return certificates.server_certificate(ca, _KEYS[ca], names, days)[0]


@cache
def request() -> str:
    """Of the authority inside of the simulated vault; its key is never asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "inner")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


@cache
def _inner(
    ca: str, asked: str, days: int, permitted: tuple[str, ...], excluded: tuple[str, ...]
) -> str:
    return certificates.inner_authority(ca, _KEYS[ca], asked, days, permitted, excluded)


def sign_inner(
    ca: str, key: str, asked: str, days: int, permitted: Sequence[str], excluded: Sequence[str]
) -> str:
    """As the real one signs it."""
    assert key.startswith(CANARY), "an authority's key is needed to sign"
    return _inner(ca, asked, days, tuple(permitted), tuple(excluded))


async def certify_canary(
    action: Certify, store: Store, simulation: Simulation, report: Report
) -> None:
    """As the real executor, with a key that can be recognised."""
    if store.has(action.secret) and not due(action, store):
        return
    nth = simulation.state.counts[f"secret {action.secret}"] + 1
    ca = store.fields(action.authority)
    assert ca["key"].startswith(CANARY), "an authority's key is needed to sign"
    crt = _signed(ca["crt"], action.names, action.days, nth)
    store.put(action.secret, {"crt": crt, "key": f"{CANARY}:{action.secret}:key:{nth}"})
