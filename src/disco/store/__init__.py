"""The secrets of a stack, encrypted on this machine, and the files that were made from them."""

from disco.store.actions import Discard, Forget, Remember, discard, forget, remember
from disco.store.certificates import client_certificate
from disco.store.generate import (
    AgeIdentity,
    CertificateAuthority,
    CometNodeKey,
    CometValidatorKey,
    Generator,
    Hex,
    KubeadmToken,
    Mnemonic,
    Password,
    RsaKeyPair,
    SshKey,
)
from disco.store.redact import redact
from disco.store.store import Store

__all__ = [
    "AgeIdentity",
    "CertificateAuthority",
    "CometNodeKey",
    "CometValidatorKey",
    "Discard",
    "Forget",
    "Generator",
    "Hex",
    "KubeadmToken",
    "Mnemonic",
    "Password",
    "Remember",
    "RsaKeyPair",
    "SshKey",
    "Store",
    "client_certificate",
    "discard",
    "forget",
    "redact",
    "remember",
]
