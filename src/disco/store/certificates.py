"""Certificates as Kubernetes wants them: an authority, and client certificates signed by it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from disco.engine.errors import DiscoError

CLOCK_SLACK = timedelta(hours=1)  # servers whose clock is behind must accept a new certificate

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def authority(common_name: str, days: int) -> tuple[str, str]:
    """A self-signed ECDSA P-256 authority: certificate and key, PEM.

    The key usage is the one that kubeadm gives its own (kubeadm, pkiutil.NewCertificateAuthority).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    now = datetime.now(UTC)
    certificate = (
        _builder(name, name, key.public_key(), now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate), _key_pem(key)


def client_certificate(
    ca_crt_pem: str, ca_key_pem: str, common_name: str, organizations: Sequence[str], days: int
) -> tuple[str, str]:
    """A client certificate and its key, PEM; it ends no later than the authority does.

    For Kubernetes `common_name` is the user and `organizations` are the groups.
    """
    ca, ca_key = _load_authority(ca_crt_pem, ca_key_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    end = min(now + timedelta(days=days), ca.not_valid_after_utc)
    subject = _name(common_name, organizations)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        _builder(subject, ca.subject, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(client, critical=False)
        .add_extension(identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _pem(certificate), _key_pem(key)


def _load_authority(crt_pem: str, key_pem: str) -> tuple[x509.Certificate, SigningKey]:
    try:
        crt = x509.load_pem_x509_certificate(crt_pem.encode())
        key = load_pem_private_key(key_pem.encode(), password=None)
    except (ValueError, TypeError):
        raise _unusable("its certificate or key is not PEM") from None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise _unusable("its key is neither ECDSA nor RSA")
    if key.public_key() != crt.public_key():
        raise _unusable("its key does not belong to its certificate")
    if crt.not_valid_after_utc <= datetime.now(UTC):
        raise _unusable(f"it ended at {crt.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    return crt, key


def _unusable(why: str) -> DiscoError:
    return DiscoError(
        "the certificate authority can't sign",
        why=why,
        fix="restore its secret from a backup, or rotate the authority",
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(end)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return private.decode()
