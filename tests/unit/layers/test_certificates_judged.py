"""A certificate is believed, or a person is told what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from disco.engine.errors import DiscoError
from disco.layers.platform.openbao import HOSTS
from disco.layers.platform.vault_certificate import judged
from disco.store import certificates

CA, KEY = certificates.authority("vault", 3650)
GOOD, _ = certificates.server_certificate(CA, KEY, HOSTS, 365)
OTHER, _ = certificates.server_certificate(*certificates.authority("x", 10), HOSTS, 365)
SHORT, _ = certificates.server_certificate(CA, KEY, HOSTS, 29)
NAMED, _ = certificates.server_certificate(CA, KEY, HOSTS[:-1], 365)
AGAIN, _ = certificates.server_certificate(CA, KEY, HOSTS, 365)


def test_the_one_in_the_store_is_good() -> None:
    answer = judged({"openbao-0": GOOD, "openbao-1": GOOD}, GOOD, CA)
    assert answer.ok
    assert "2 of 2 certificates in order: until 20" in answer.evidence


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (OTHER, "openbao-0: is of another authority"),
        (SHORT, "openbao-0: ends in 29 days"),
        (NAMED, "openbao-0: is not for 127.0.0.1"),
        (AGAIN, "openbao-0: is not the one in the store"),
        ("nothing", "openbao-0: is not PEM"),
        (DiscoError("no answer", why="refused"), "openbao-0: shows none: refused"),
    ],
)
def test_what_is_wrong_with_one_is_told(shown: str | DiscoError, why: str) -> None:
    answer = judged({"openbao-0": shown}, GOOD, CA)
    assert not answer.ok
    assert why in answer.evidence


def test_it_ends_no_later_than_its_authority() -> None:
    ca, key = certificates.authority("short", 5)
    crt, _ = certificates.server_certificate(ca, key, HOSTS, 365)
    assert certificates.ends(crt) < datetime.now(UTC) + timedelta(days=6)
    assert "ends in 5 days" in certificates.fault(crt, ca, HOSTS, 30)


@pytest.mark.parametrize(
    ("host", "is_for"),
    [
        ("openbao-0.openbao.vault.svc", True),
        ("openbao-4.openbao", True),
        ("openbao-active.vault.svc", True),
        ("127.0.0.1", True),
        ("openbao-0.openbao.elsewhere.svc", False),
    ],
)
def test_it_is_for_every_name_of_a_pod_and_of_the_service(host: str, is_for: bool) -> None:
    """Of `*.openbao` Go's programs take the name; OpenSSL wants two dots."""
    names = certificates.names_of(certificates.read(GOOD))
    assert any(_is_for(name, host) for name in names) == is_for


def _is_for(name: str, host: str) -> bool:
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return host == name
