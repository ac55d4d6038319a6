"""What components declare of the vault: said wrong it has a place, said right it is just that."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from disco.cli.wiring import wired
from disco.engine.errors import WrongUse
from disco.engine.place import Place
from disco.layers import registry
from disco.layers.platform import vault_keys, vault_pki, vault_roles
from disco.layers.platform.vault_agent import Agent
from disco.layers.platform.vault_clients import VaultClient, VaultDelivery, VaultNeeds, client
from disco.layers.platform.vault_spec import VaultWithClients
from disco.stack.load import load_text
from disco.stack.problem import StackProblems
from disco.store import certificates

HEAD = "name: a\nservers: {provider: local}\nkubernetes: {}\n"
FILE = Path("stack.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(StackProblems) as caught:
        load_text(HEAD + text, FILE, registry.sections(), {})
    return [str(p) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("needs", "place", "why"),
    [
        ("{read: [secret/a]}", "4:19", "kv"),
        ("{read: [kv/a, 'kv/*']}", "4:25", "kv"),
        ("{read: ['kv/a*']}", "4:19", "kv"),
        ("{read: [kv/../sys]}", "4:19", "kv"),
        ("{write: ['kv/disco/*']}", "4:20", "kv/disco is DISCO's own"),
        ("{read: [kv/disco]}", "4:19", "kv/disco is DISCO's own"),
        ("{sees: [kv/a]}", "4:12", "sees"),
    ],
)
def test_a_path_that_can_not_be_is_refused_by_its_place(needs: str, place: str, why: str) -> None:
    (told,) = problems(f"logs: {{vault: {needs}}}\nvault: {{}}\n".replace("logs: {", "logs: {"))
    assert told.startswith("stack.yaml:4:") and why in told, told


def test_a_file_names_a_field_and_a_name_that_stays_in_its_folder() -> None:
    found = problems("chains: {akash: {vault: {files: {key: kv/akash/faucet}}}}\nvault: {}\n")
    assert "stack.yaml:4:" in found[0]
    found = problems("chains: {akash: {vault: {files: {../key: kv/a#b}}}}\nvault: {}\n")
    assert "a file's name is" in found[0]
    found = problems("vault: {values: {kv/disco/setup: {a: '${secret:a/b}'}}}\n")
    assert "kv/disco is DISCO's own" in found[0]


def test_who_needs_a_vault_and_has_none_is_told_where() -> None:
    loaded = load_text(f"{HEAD}logs:\n  vault: {{read: [kv/a]}}\n", FILE, registry.sections(), {})
    with pytest.raises(WrongUse, match="logs needs a vault") as caught:
        wired(loaded, Place(Path("/nowhere/a"), Path("/nowhere")))
    assert caught.value.where.startswith("stack.yaml:5:")


def test_a_certificate_for_names_of_others_is_refused_by_its_place() -> None:
    text = f"""{HEAD}vault: {{}}
chains:
  akash:
    vault:
      certificate: {{names: [rpc.akash.svc, openbao-active.vault.svc]}}
"""
    loaded = load_text(text, FILE, registry.sections(), {})
    with pytest.raises(WrongUse, match="is no name of a Service") as caught:
        wired(loaded, Place(Path("/nowhere/a"), Path("/nowhere")))
    assert caught.value.where.startswith("stack.yaml:8:")


@pytest.mark.parametrize(
    ("vault", "stands_on_it"),
    [("{read: [kv/a]}", False), ("{files: {a: 'kv/a#b'}}", True), ("{sign: [a]}", False)],
)
def test_a_chain_stands_on_the_vault_where_its_pods_get_something_from_it(
    vault: str, stands_on_it: bool
) -> None:
    text = f"{HEAD}vault: {{}}\nchains: {{akash: {{vault: {vault}}}}}\n"
    graph = wired(
        load_text(text, FILE, registry.sections(), {}), Place(Path("/nowhere/a"), Path("/nowhere"))
    )
    assert ("vault" in graph.nodes["chains.akash"].upstream) == stands_on_it


CA, CA_KEY = certificates.authority("vault", 3650)


def request() -> tuple[str, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "inner")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode(), key


def chain_of(name: str) -> str:
    """A pod's certificate of 90 minutes, and who signed it."""
    asked, key = request()
    inner = certificates.inner_authority(
        CA, CA_KEY, asked, 100, vault_pki.PERMITTED, vault_pki.EXCLUDED
    )
    own = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return certificates.server_certificate(inner, own, [name], 1)[0] + inner


def test_a_pods_certificate_is_judged_by_its_names_its_end_and_who_signed_it() -> None:
    pem, name = chain_of("rpc.akash.svc"), "rpc.akash.svc"
    other = certificates.authority("another", 10)[0]
    assert vault_pki.certificate_fault(pem, CA, [name]) == ""
    assert "is not for x.akash.svc" in vault_pki.certificate_fault(pem, CA, ["x.akash.svc"])
    assert "its authority is of another" in vault_pki.certificate_fault(pem, other, [name])
    assert vault_pki.certificate_fault(pem[: len(pem) // 3], CA, [name])
    assert vault_pki.certificate_fault("", CA, [name])
    leaf = certificates.read(pem)
    end = leaf.not_valid_after_utc
    assert vault_pki.nears_its_end(pem, end - timedelta(hours=1)) == ""
    assert "was not renewed" in vault_pki.nears_its_end(pem, end - timedelta(minutes=10))
    assert "ended at" in vault_pki.nears_its_end(pem, end)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allow_any_name", True),
        ("allowed_domains", ["a.svc", "b.svc"]),
        ("max_ttl", 10**9),
        ("allow_subdomains", True),
    ],
)
def test_a_role_that_signs_for_more_than_declared_is_told(field: str, value: object) -> None:
    one = vault_pki.Issues("component-x", ("a.svc",))
    assert vault_pki.differs(one, one.wanted) == ""
    assert vault_pki.differs(one, {**one.wanted, field: value}).startswith(f"{field} is")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"type": "ed25519", "exportable": False}, ""),
        ({}, "is not there"),
        ({"type": "aes256-gcm96"}, "is of aes256-gcm96, not ed25519"),
        ({"type": "ed25519", "exportable": True}, "may leave the vault, or be lost: exportable"),
        ({"type": "ed25519", "deletion_allowed": True}, "or be lost: deletion_allowed"),
    ],
)
def test_a_key_that_may_leave_the_vault_is_told(data: dict[str, object], why: str) -> None:
    assert vault_keys.judged(data).endswith(why) if why else vault_keys.judged(data) == ""


def test_the_vault_is_told_what_each_component_declares(tmp_path: Path) -> None:
    text = f"""{HEAD}
vault: {{}}
logs: {{vault: {{write: [kv/logs/one]}}}}
prometheus: {{}}
chains: {{twin: {{definition: akash, vault: {{files: {{key: "kv/akash/faucet#key"}}}}}}}}
"""
    specs = load_text(text, FILE, registry.sections(), {}).specs
    vault = registry.with_wanted(specs, tmp_path)["vault"]
    assert isinstance(vault, VaultWithClients)
    assert {(c.component, c.namespace, c.account, c.read, c.write) for c in vault.clients} == {
        ("logs", "logs", "logs", (), ("kv/logs/one",)),
        ("chains.twin", "twin", "twin", ("kv/akash/faucet",), ()),
    }


def test_a_policy_has_just_what_is_declared_also_where_paths_overlap() -> None:
    needs = VaultNeeds(read=("kv/akash/*", "kv/one"), write=("kv/akash/out", "kv/two/*"))
    found = client("chains.akash", "akash", "akash", needs)
    assert found is not None
    assert dict(found.role.rules) == {
        "kv/data/akash/*": ("read",),
        "kv/data/akash/out": ("create", "read", "update"),
        "kv/data/one": ("read",),
        "kv/data/two/*": ("create", "update"),
    }
    assert found.role.name == "component-chains-akash"
    assert client("logs", "logs", "logs", VaultNeeds()) is None


LOGIN = {
    "bound_service_account_names": ["logs"],
    "bound_service_account_namespaces": ["logs"],
    "audience": "openbao",
    "token_policies": ["component-logs"],
    "token_ttl": 60,
    "token_max_ttl": 0,
    "token_period": 0,
    "token_explicit_max_ttl": 0,
    "alias_name_source": "serviceaccount_uid",
}
RULES = 'path "kv/data/a" { capabilities = ["read"] }'


@pytest.mark.parametrize(
    ("policy", "login", "why"),
    [
        (RULES, LOGIN, ""),
        (f"{RULES}\n", LOGIN, ""),
        (RULES.replace('"read"', '"read", "update"'), LOGIN, "its policy is not as declared"),
        (RULES.replace("kv/data/a", "kv/data/*"), LOGIN, "its policy is not as declared"),
        (RULES, {**LOGIN, "bound_service_account_names": ["*"]}, "names is *, not logs"),
        (RULES, {**LOGIN, "bound_service_account_namespaces": ["logs", "x"]}, "is logs, x, not"),
        (RULES, {**LOGIN, "token_policies": ["component-logs", "disco"]}, "token_policies is"),
        (RULES, {**LOGIN, "token_period": 60}, "token_period is 60, not 0"),
        (RULES, {}, "has no role"),
        ("", LOGIN, "has no policy"),
    ],
)
def test_a_role_that_was_widened_by_hand_is_told(
    policy: str, login: dict[str, object], why: str
) -> None:
    made = VaultClient(component="logs", namespace="logs", account="logs", read=("kv/a",))
    told = vault_roles.judged(made.role, {"policy": policy} if policy else {}, login)
    assert (why in told) if why else told == ""


def test_an_agent_gets_what_is_declared_and_another_one_with_another_declaration() -> None:
    one = Agent("i", "component-x", {"key": "kv/akash/faucet#key"}, "5s")
    config = json.loads(one.config)
    (template,) = config["template"]
    assert template["destination"] == "/vault/key" and template["perms"] == "0400"
    assert '"kv/data/akash/faucet"' in template["contents"] and '"key"' in template["contents"]
    other = Agent("i", "component-x", {"key": "kv/akash/faucet#other"}, "5s")
    assert one.container != other.container
    assert "startupProbe" in one.container
    assert "startupProbe" not in Agent("i", "r", {}, wait=False).container
    assert VaultDelivery().refresh == Agent("i", "r", {}).refresh
