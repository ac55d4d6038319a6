"""What is generated is what the programs that use it accept: checked with other readers of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import asyncssh
import mnemonic
import pyrage  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from disco.store.actions import Remember
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
    comet_address,
)

ALL: list[Generator] = [
    Hex(32),
    Password(24),
    KubeadmToken(),
    SshKey("disco"),
    CertificateAuthority("kubernetes", 10),
    RsaKeyPair(),
    AgeIdentity(),
    Mnemonic(),
    CometValidatorKey(),
    CometNodeKey(),
]


@pytest.mark.parametrize("generator", ALL, ids=lambda g: g.kind)
def test_each_secret_is_new_each_time(generator: Generator) -> None:
    assert set(generator.make().values()).isdisjoint(generator.make().values())


def test_no_two_kinds_look_the_same_in_a_plan() -> None:
    assert len({Remember("a", g).digest for g in ALL}) == len(ALL)
    assert Remember("a", Hex(16)).digest != Remember("a", Hex(32)).digest
    assert Remember("a", Hex(16)).digest == Remember("a", Hex(16)).digest


def test_hex_and_password_have_their_length() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", Hex(32).make()["value"])
    assert re.fullmatch(r"[A-Za-z0-9]{24}", Password(24).make()["value"])


def test_a_kubeadm_token_has_kubeadms_form() -> None:
    fields = KubeadmToken().make()
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", fields["value"])
    assert fields["value"].startswith(fields["id"] + ".")


def test_an_ssh_key_is_a_pair_that_an_ssh_client_reads() -> None:
    fields = SshKey("disco@lab").make()
    private = asyncssh.import_private_key(fields["private"])
    public = asyncssh.import_public_key(fields["public"])
    assert private.public_data == public.public_data
    assert fields["public"].endswith(" disco@lab\n")
    assert fields["public"].startswith("ssh-ed25519 ")


def test_a_certificate_authority_has_the_key_usage_of_kubeadms() -> None:
    fields = CertificateAuthority("kubernetes", 10).make()
    crt = x509.load_pem_x509_certificate(fields["crt"].encode())
    crt.verify_directly_issued_by(crt)
    assert load_pem_private_key(fields["key"].encode(), None).public_key() == crt.public_key()
    assert crt.subject.rfc4514_string() == "CN=kubernetes"
    basic = crt.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = crt.extensions.get_extension_for_class(x509.KeyUsage)
    assert (basic.critical, basic.value.ca, usage.critical) == (True, True, True)
    assert usage.value.digital_signature
    assert usage.value.key_encipherment
    assert usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert 9 < (crt.not_valid_after_utc - crt.not_valid_before_utc).days <= 10


def test_an_rsa_pair_belongs_together_and_has_the_form_of_service_account_keys() -> None:
    fields = RsaKeyPair().make()
    key = load_pem_private_key(fields["key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    assert load_pem_public_key(fields["pub"].encode()) == key.public_key()
    assert fields["key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert fields["pub"].startswith("-----BEGIN PUBLIC KEY-----")


def test_an_age_identity_opens_what_is_sealed_for_its_recipient() -> None:
    fields = AgeIdentity().make()
    key = pyrage.x25519.Identity.from_str(fields["identity"])
    assert str(key.to_public()) == fields["recipient"]
    assert pyrage.decrypt(pyrage.encrypt(b"x", [key.to_public()]), [key]) == b"x"


def test_words_are_a_bip39_sentence_of_24() -> None:
    words = Mnemonic().make()["words"]
    assert len(words.split()) == 24
    assert mnemonic.Mnemonic("english").check(words)


def test_a_validator_key_is_cometbfts_file() -> None:
    fields = CometValidatorKey().make()
    content = json.loads(fields["json"])
    public = base64.b64decode(content["pub_key"]["value"])
    assert content["pub_key"]["type"] == "tendermint/PubKeyEd25519"
    assert fields["pub_key"] == content["pub_key"]["value"]
    assert content["address"] == fields["address"] == comet_address(public).upper()
    assert fields["priv_key"] == content["priv_key"]["value"]
    _is_go_private_key(content["priv_key"], public)


def test_a_node_key_is_cometbfts_file_and_its_id_is_the_hash_of_its_public_key() -> None:
    fields = CometNodeKey().make()
    content = json.loads(fields["json"])
    private = base64.b64decode(content["priv_key"]["value"])
    _is_go_private_key(content["priv_key"], private[32:])
    assert fields["id"] == hashlib.sha256(private[32:]).hexdigest()[:40]


def _is_go_private_key(found: dict[str, Any], public: bytes) -> None:
    """Go's form of a private key: the seed, then the public key."""
    private = base64.b64decode(found["value"])
    assert found["type"] == "tendermint/PrivKeyEd25519"
    assert len(private) == 64
    key = ed25519.Ed25519PrivateKey.from_private_bytes(private[:32])
    assert key.public_key().public_bytes_raw() == private[32:] == public
