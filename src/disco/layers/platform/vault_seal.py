"""What opens the vault by itself: a key that somebody else keeps, and that it may ask for.

The vault's root key is encrypted by that key, and each pod has it decrypted when it starts. Shares
are recovery shares then: as many of them as it takes make new ones, or a root token, and none of
them opens the vault. Names of settings and variables: OpenBao 2.7, docs/configuration/seal.

Since 2.7 the services of clouds are plugins that OpenBao's program does not bring: it refuses to
start with a seal of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from disco.engine.secret import SecretRef, Text
from disco.layers.platform.openbao import NAMESPACE
from disco.stack.model import Model, var
from disco.stack.secret import SecretName

IN_CLUSTER = "openbao-seal"
FOLDER = "/etc/seal"
AUTHORITY = "authority.pem"  # a file there, as these:
CERTIFICATE, CERTIFICATE_KEY = "certificate.pem", "certificate-key.pem"
URL = r"^https?://[^@\s/?#]+(:\d+)?$"
WORD = r"^[A-Za-z0-9._-]+$"
Settings = dict[str, str]


class Transit(Model):
    """The transit engine of another OpenBao or Vault."""

    url: str = var(pattern=URL)
    """Its address, as `https://vault.example.org:8200`."""
    key: str = var(pattern=WORD)
    """The key's name there, of a kind that encrypts."""
    mount: str = var("transit", pattern=r"^[A-Za-z0-9._/-]+$")
    """Where the engine is."""
    token: SecretName
    """A token that may update `MOUNT/encrypt/KEY` and `MOUNT/decrypt/KEY`, and is renewed by being
    used (`-period`)."""
    authority: str = ""
    """The certificate of the authority that signed the server's own, PEM; none for a public one."""

    def settings(self) -> Settings:
        verified = {"tls_ca_cert": f"{FOLDER}/{AUTHORITY}"} if self.authority else {}
        return {
            "address": self.url,
            "key_name": self.key,
            "mount_path": f"{self.mount.strip('/')}/",
            **verified,
        }

    def variables(self) -> dict[str, SecretName]:
        return {"VAULT_TOKEN": self.token}

    def files(self) -> dict[str, Text]:
        return {AUTHORITY: Text.of(self.authority)} if self.authority else {}


class Kmip(Model):
    """A key-management service or a hardware module that speaks KMIP 1.2 to 1.4."""

    endpoint: str = var(pattern=r"^[^@\s/?#]+:\d+$")
    """Its address and port, as `kms.example.org:5696`."""
    key: str = var(pattern=r"^[^\s\"]+$")
    """The identifier of a key that is there, AES or RSA, and that encrypts and decrypts."""
    certificate: str
    """What the vault shows of itself, PEM."""
    certificate_key: SecretName
    """Its private key, PEM."""
    authority: str = ""
    """The certificate of the authority that signed the server's own, PEM; none for a public one."""

    def settings(self) -> Settings:
        verified = {"ca_cert": f"{FOLDER}/{AUTHORITY}"} if self.authority else {}
        return {
            "endpoint": self.endpoint,
            "kms_key_id": self.key,
            "client_cert": f"{FOLDER}/{CERTIFICATE}",
            "client_key": f"{FOLDER}/{CERTIFICATE_KEY}",
            **verified,
        }

    def variables(self) -> dict[str, SecretName]:
        return {}

    def files(self) -> dict[str, Text]:
        shown = {
            CERTIFICATE: Text.of(self.certificate),
            CERTIFICATE_KEY: Text.of(SecretRef.of(self.certificate_key)),
        }
        return shown | ({AUTHORITY: Text.of(self.authority)} if self.authority else {})


class Seal(Model):
    """Whose key opens the vault when a pod of it starts; exactly one."""

    transit: Transit | None = None
    """The transit engine of another vault."""
    kmip: Kmip | None = None
    """A service or a module that speaks KMIP."""

    @pydantic.model_validator(mode="after")
    def _one(self) -> Seal:
        if len(self._named) != 1:
            raise ValueError(f"name one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def _named(self) -> dict[str, Transit | Kmip]:
        return {n: found for n in type(self).model_fields if (found := getattr(self, n))}

    @property
    def kind(self) -> str:
        """As OpenBao names it."""
        return next(iter(self._named))

    @property
    def _chosen(self) -> Transit | Kmip:
        return self._named[self.kind]

    @property
    def key(self) -> tuple[str, Settings]:
        """What another one can't stand in for: where the key is, not how it is asked."""
        ways = {"address", "endpoint", "tls_ca_cert", "ca_cert", "client_cert", "client_key"}
        settings = self._chosen.settings()
        return self.kind, {n: v for n, v in settings.items() if n not in ways}

    @property
    def data(self) -> dict[str, Text]:
        """Of the Secret: what the pods ask with."""
        held = {n: Text.of(SecretRef.of(s)) for n, s in self._chosen.variables().items()}
        return held | self._chosen.files()

    def values(self) -> dict[str, Any]:
        """Of the chart."""
        return {
            "kind": self.kind,
            "settings": self._chosen.settings(),
            "secretName": IN_CLUSTER,
            "variables": sorted(self._chosen.variables()),
        }


def secret(seal: Seal, labels: Mapping[str, str]) -> dict[str, Any]:
    """The Secret in the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": IN_CLUSTER, "namespace": NAMESPACE, "labels": dict(labels)},
        "type": "Opaque",
        "stringData": seal.data,
    }
