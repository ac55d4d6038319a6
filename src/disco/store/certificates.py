"""Certificates as Kubernetes wants them: an authority, and what it signs for clients, servers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.exceptions import InvalidSignature
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
    subject = _name(common_name, organizations)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return _signed(ca_crt_pem, ca_key_pem, subject, days, usage)


def server_certificate(
    ca_crt_pem: str, ca_key_pem: str, names: Sequence[str], days: int
) -> tuple[str, str]:
    """A server's certificate for DNS names and IP addresses, and its key, PEM; the first name is
    its common name too. It ends no later than the authority does."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    called = x509.SubjectAlternativeName([_alternative(n) for n in names])
    return _signed(ca_crt_pem, ca_key_pem, _name(names[0]), days, usage, called)


def inner_authority(
    ca_crt_pem: str,
    ca_key_pem: str,
    request_pem: str,
    days: int,
    permitted: Sequence[str],
    excluded: Sequence[str],
) -> str:
    """A certificate, PEM, with which whoever made the request may sign for servers below the
    `permitted` DNS names, but not below the `excluded` ones nor for any address, and for no further
    authority. It ends no later than the authority does. Raises DiscoError."""
    ca, ca_key = _load_authority(ca_crt_pem, ca_key_pem)
    try:
        request = x509.load_pem_x509_csr(request_pem.encode())
    except ValueError:
        raise DiscoError("a request for a certificate is not PEM") from None
    public = request.public_key()
    if not (request.is_signature_valid and isinstance(public, ec.EllipticCurvePublicKey)):
        raise DiscoError("a request for a certificate is not signed by its own ECDSA key")
    now = datetime.now(UTC)
    end = min(now + timedelta(days=days), ca.not_valid_after_utc)
    everywhere = [x509.IPAddress(ip_network(n)) for n in ("0.0.0.0/0", "::/0")]
    limits = x509.NameConstraints(
        [x509.DNSName(n) for n in permitted], [*map(x509.DNSName, excluded), *everywhere]
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = (
        _builder(request.subject, ca.subject, public, now, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(limits, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _pem(certificate)


def fault(crt_pem: str, ca_crt_pem: str, names: Collection[str], lasts_days: float) -> str:
    """Why a server's certificate is not (or soon no longer) as it has to be, in words that follow
    "its certificate"; empty when it is. Raises DiscoError for an authority that is not PEM."""
    try:
        crt = read(crt_pem)
    except ValueError:
        return "is not PEM"
    try:
        crt.verify_directly_issued_by(_load_certificate(ca_crt_pem))
    except (ValueError, TypeError, InvalidSignature):
        return "is of another authority"
    if missing := sorted(set(names) - set(names_of(crt))):
        return f"is not for {', '.join(missing)}"
    days = (crt.not_valid_after_utc - datetime.now(UTC)).total_seconds() / 86400
    if days <= 0:
        return f"ended at {crt.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return f"ends in {days:.0f} days" if days < lasts_days else ""


def names_of(crt: x509.Certificate) -> list[str]:
    """The DNS names and IP addresses that it is for."""
    try:
        found = crt.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(n.value) for n in found]


def read(crt_pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(crt_pem.encode())


def ends(crt_pem: str) -> datetime:
    """When it ends, UTC."""
    return read(crt_pem).not_valid_after_utc


def _signed(
    ca_crt_pem: str,
    ca_key_pem: str,
    subject: x509.Name,
    days: int,
    usage: x509.ExtendedKeyUsage,
    called: x509.SubjectAlternativeName | None = None,
) -> tuple[str, str]:
    ca, ca_key = _load_authority(ca_crt_pem, ca_key_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    end = min(now + timedelta(days=days), ca.not_valid_after_utc)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = (
        _builder(subject, ca.subject, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(identifier, critical=False)
    )
    if called:
        builder = builder.add_extension(called, critical=False)
    return _pem(builder.sign(ca_key, hashes.SHA256())), _key_pem(key)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load_certificate(crt_pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(crt_pem.encode())
    except ValueError:
        raise _unusable("its certificate is not PEM") from None


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
