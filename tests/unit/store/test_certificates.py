"""A client certificate is accepted by a server that trusts its authority, and by no other."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from disco.engine.errors import DiscoError
from disco.store.certificates import authority, client_certificate


def test_a_client_certificate_names_its_user_and_groups_and_is_signed_by_the_authority() -> None:
    ca_crt, ca_key = authority("kubernetes", 100)
    crt_pem, _ = client_certificate(ca_crt, ca_key, "admin", ["system:masters", "ops"], 10)
    crt = x509.load_pem_x509_certificate(crt_pem.encode())
    crt.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_crt.encode()))
    organizations = crt.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [o.value for o in organizations] == ["system:masters", "ops"]
    assert crt.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "admin"
    use = crt.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not crt.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (crt.not_valid_after_utc - datetime.now(UTC)).days == 9


def test_a_client_certificate_does_not_outlive_its_authority() -> None:
    ca_crt, ca_key = authority("kubernetes", 5)
    crt_pem, _ = client_certificate(ca_crt, ca_key, "admin", [], 3650)
    end = x509.load_pem_x509_certificate(crt_pem.encode()).not_valid_after_utc
    assert end == x509.load_pem_x509_certificate(ca_crt.encode()).not_valid_after_utc


def test_a_tls_server_accepts_the_client_of_its_own_authority_only(tmp_path: Path) -> None:
    ours, other = authority("ours", 5), authority("other", 5)
    assert _handshake(tmp_path, ours, ours) == "admin"
    with pytest.raises(ssl.SSLError):
        _handshake(tmp_path, ours, other)


def test_an_authority_that_cant_sign_is_refused() -> None:
    crt, key = authority("a", 5)
    other_crt, _ = authority("b", 5)
    with pytest.raises(DiscoError, match="does not belong"):
        client_certificate(other_crt, key, "admin", [], 5)
    with pytest.raises(DiscoError, match="not PEM") as caught:
        client_certificate(crt, key[:-60], "admin", [], 5)
    assert key[40:60] not in str(caught.value)


def _handshake(folder: Path, trusted: tuple[str, str], signer: tuple[str, str]) -> str:
    """A TLS handshake in memory; the common name that the server saw."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*_files(folder, "server", trusted))
    server.load_verify_locations(cadata=trusted[0])
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cadata=trusted[0])
    pair = client_certificate(*signer, "admin", ["system:masters"], 1)
    client.load_cert_chain(*_files(folder, "client", pair))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    asked = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [asking, asked]
    for _ in range(5):
        waiting = [end for end in waiting if not _is_done(end)]
    assert not waiting
    seen = asked.getpeercert(binary_form=True)
    assert seen is not None
    subject = x509.load_der_x509_certificate(seen).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _is_done(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _files(folder: Path, name: str, pair: tuple[str, str]) -> tuple[Path, Path]:
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    crt.write_text(pair[0])
    key.write_text(pair[1])
    return crt, key
