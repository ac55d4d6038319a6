"""Everything random that a stack needs, made once into the store before the steps that use it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import string
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import mnemonic
import pyrage  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from disco.store import certificates

# Fields of secrets that anyone may see: they stay readable in the text of errors.
WORDS_STRENGTH_BITS = 256  # 24 words
ALPHABET = string.ascii_letters + string.digits
TOKEN_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Generator(ABC):
    """A way to make the fields of one secret. `kind` is its name in a plan."""

    kind: str = field(init=False, default="")

    def __post_init__(self) -> None:
        # A plan's digest sees fields, not classes: two kinds without parameters must differ.
        object.__setattr__(self, "kind", type(self).__name__)

    @abstractmethod
    def describe(self) -> str:
        """What it makes, in plain words."""

    @abstractmethod
    def make(self) -> dict[str, str]:
        """New fields each time; may take a tenth of a second."""


@dataclass(frozen=True)
class Hex(Generator):
    """Random bytes, as hexadecimal digits in `value`."""

    bytes: int

    def describe(self) -> str:
        return f"{self.bytes} random bytes in hex"

    def make(self) -> dict[str, str]:
        return {"value": secrets.token_hex(self.bytes)}


@dataclass(frozen=True)
class Password(Generator):
    """Letters and digits, in `value`."""

    length: int

    def describe(self) -> str:
        return f"a password of {self.length} characters"

    def make(self) -> dict[str, str]:
        return {"value": _random(ALPHABET, self.length)}


@dataclass(frozen=True)
class KubeadmToken(Generator):
    """A bootstrap token `id.secret` in `value`; its public half in `id`."""

    def describe(self) -> str:
        return "a kubeadm bootstrap token"

    def make(self) -> dict[str, str]:
        public = _random(TOKEN_ALPHABET, 6)
        return {"value": f"{public}.{_random(TOKEN_ALPHABET, 16)}", "id": public}


@dataclass(frozen=True)
class SshKey(Generator):
    """An ed25519 key: `private` in OpenSSH's form, `public` as one authorized_keys line."""

    comment: str

    def describe(self) -> str:
        return f"an ed25519 SSH key ({self.comment})"

    def make(self) -> dict[str, str]:
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        return {"private": private.decode(), "public": f"{public.decode()} {self.comment}\n"}


@dataclass(frozen=True)
class CertificateAuthority(Generator):
    """A self-signed authority: `crt` and `key`, PEM, with the key usage of kubeadm's own."""

    common_name: str
    days: int = 3650

    def describe(self) -> str:
        return f"a certificate authority ({self.common_name}, {self.days} days)"

    def make(self) -> dict[str, str]:
        crt, key = certificates.authority(self.common_name, self.days)
        return {"crt": crt, "key": key}


@dataclass(frozen=True)
class RsaKeyPair(Generator):
    """RSA-2048: `key` and `pub`, PEM, as Kubernetes' sa.key and sa.pub."""

    def describe(self) -> str:
        return "an RSA-2048 key pair"

    def make(self) -> dict[str, str]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {"key": private.decode(), "pub": public.decode()}


@dataclass(frozen=True)
class AgeIdentity(Generator):
    """An age x25519 pair: `identity` and `recipient`."""

    def describe(self) -> str:
        return "an age identity"

    def make(self) -> dict[str, str]:
        key = pyrage.x25519.Identity.generate()
        return {"identity": str(key), "recipient": str(key.to_public())}


@dataclass(frozen=True)
class Mnemonic(Generator):
    """24 words of BIP 39 in `words`; an account of any chain is derived from them."""

    def describe(self) -> str:
        return "24 words of a wallet"

    def make(self) -> dict[str, str]:
        return {"words": mnemonic.Mnemonic("english").generate(WORDS_STRENGTH_BITS)}


@dataclass(frozen=True)
class CometValidatorKey(Generator):
    """CometBFT's consensus key: `json` is priv_validator_key.json.

    `address` is in hex, `pub_key` and `priv_key` are base64.
    """

    def describe(self) -> str:
        return "a validator's consensus key"

    def make(self) -> dict[str, str]:
        public, private = _comet_pair()
        address = comet_address(public).upper()
        content = {
            "address": address,
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": _b64(public)},
            "priv_key": _comet_private(private),
        }
        fields = {"address": address, "pub_key": _b64(public), "priv_key": _b64(private)}
        return {"json": json.dumps(content), **fields}


@dataclass(frozen=True)
class CometNodeKey(Generator):
    """CometBFT's peer-to-peer key: `json` is node_key.json, `id` is the node's id."""

    def describe(self) -> str:
        return "a node's peer-to-peer key"

    def make(self) -> dict[str, str]:
        public, private = _comet_pair()
        content = {"priv_key": _comet_private(private)}
        fields = {"id": comet_address(public), "priv_key": _b64(private)}
        return {"json": json.dumps(content), **fields}


def comet_address(public: bytes) -> str:
    """CometBFT's address of an ed25519 key: 20 bytes of SHA-256, in hex; a node's id too.

    Source: CometBFT, crypto/tmhash and p2p/key.go.
    """
    return hashlib.sha256(public).digest()[:20].hex()


def _comet_pair() -> tuple[bytes, bytes]:
    """(public, private); the private form is Go's: seed and public key, 64 bytes."""
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    return public, key.private_bytes_raw() + public


def _comet_private(private: bytes) -> dict[str, str]:
    return {"type": "tendermint/PrivKeyEd25519", "value": _b64(private)}


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
