"""OpenBao itself: what DISCO's role may, a root token that is revoked, its certificate, its log."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from charts_helm import program
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import verification
from cryptography.x509.verification import PolicyBuilder, VerificationError
from vault_running import CLUSTER, VALUES, WITHIN_S, Direct, Running, begun, until

from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.engine.secret import SecretRef
from disco.layers.platform import (
    check_vault,
    vault_access,
    vault_break_glass,
    vault_keys,
    vault_pki,
    vault_roles,
)
from disco.layers.platform.openbao import AUTHORITY, KEYS, OpenBao
from disco.layers.platform.quorum import OWN_KEY, Quorum
from disco.layers.platform.vault_agent import FOLDER, Agent
from disco.layers.platform.vault_break_glass import Attempt, BreakGlass, EndBreakGlass, Glass
from disco.layers.platform.vault_clients import VaultCertificate
from disco.layers.platform.vault_roles import Role
from disco.layers.platform.vault_rotate import RotateVault, Rotator, term
from disco.store import certificates
from disco.store.store import Store
from sim.store import Folder

T = TypeVar("T")
CANARY = "CANARY-5b1f"
PROBE = Role("vault-probe", "b", "a", (("kv/data/disco/probe", ("read",)),))
LOGS = Role("component-logs", "logs", "logs", (("kv/data/logs/*", ("create", "read", "update")),))


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with begun(tmp_path_factory.mktemp("bao"), VALUES, {}) as running:
        running.keys = running.do(_begin)
        yield running


async def _begin(bao: OpenBao) -> dict[str, str]:
    answer = await until(lambda: bao.init(Quorum()))
    await bao.unseal(0, answer["keys_base64"][0])
    keys = {vault_access.ROOT: str(answer["root_token"]), **vault_access.fresh()}
    keys[OWN_KEY] = answer["keys_base64"][0]
    await until(lambda: bao.call(keys[vault_access.ROOT], "GET", "sys/mounts"))
    return keys


async def _refused(bao: OpenBao, token: str, method: str, path: str, body: Any = None) -> bool:
    try:
        await bao.call(token, method, path, body)
    except DiscoError as error:
        assert "permission denied" in error.why, error.why
        return True
    return False


def test_its_role_does_what_disco_needs_and_root_is_of_no_use_any_more(vault: Running) -> None:
    async def work(bao: OpenBao) -> None:
        keys = dict(vault.keys)
        assert await vault_access.token(bao, keys) == keys[vault_access.ROOT]
        await vault_access.grant(bao, keys)
        await vault_access.grant(bao, keys)  # a run that was cut off does it once more
        await vault_access.revoke_root(bao, keys)
        await vault_access.revoke_root(bao, keys)
        assert await _refused(bao, keys[vault_access.ROOT], "GET", "sys/mounts")
        own = await vault_access.token(bao, keys)
        del keys[vault_access.ROOT]
        assert await vault_access.token(bao, keys) and await vault_access.grant(bao, keys)
        await bao.call(own, "POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        await bao.call(own, "POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        await vault_roles.write(bao, own, PROBE)
        write = {"data": {"value": CANARY}}
        await until(lambda: bao.call(own, "POST", "kv/data/disco/probe", write))
        assert await bao.read(own, "disco/probe") == {"value": CANARY}
        found = await bao.call(own, "GET", "sys/storage/raft/configuration")
        assert check_vault.raft(found["data"]["config"]["servers"], ["openbao-0"]).ok
        rotation = {"secret_shares": 1, "secret_threshold": 1, "require_verification": True}
        await bao.call(own, "POST", "sys/rotate/root/init", rotation)
        await bao.call(own, "GET", "sys/rotate/root/init")
        await bao.call(own, "DELETE", "sys/rotate/root/init")
        assert await bao.restore(own, await bao.snapshot(own))

    vault.do(work)


def test_its_role_may_not_do_everything(vault: Running) -> None:
    async def work(bao: OpenBao) -> None:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        assert await _refused(bao, own, "POST", "auth/token/create", {})
        assert await _refused(bao, own, "DELETE", "sys/audit/stdout")
        assert await _refused(bao, own, "POST", "sys/auth/userpass", {"type": "userpass"})
        assert await _refused(bao, own, "POST", "sys/mounts/other", {"type": "kv"})
        assert await _refused(bao, own, "GET", "auth/approle/role/disco")
        assert await _refused(bao, own, "POST", "sys/policies/acl/other", {"policy": ""})
        assert await _refused(bao, own, "DELETE", f"sys/policies/acl/{vault_access.ROLE}")
        path = f"sys/policies/acl/{vault_access.ROLE}"
        policy = (await bao.call(own, "GET", path))["data"]["policy"]
        kept = {n: v for n, v in vault.keys.items() if n != vault_access.ROOT}
        assert check_vault.access(kept, policy).ok
        more = f'{policy}\npath "x" {{ capabilities = ["read"] }}'
        assert not check_vault.access(kept, more).ok
        assert not check_vault.access(vault.keys, policy).ok

    vault.do(work)


def test_roles_of_components_are_made_compared_and_removed(vault: Running) -> None:
    async def work(bao: OpenBao) -> None:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        assert await vault_roles.strangers(bao, own, [LOGS]) == ()
        await vault_roles.write(bao, own, LOGS)
        assert await vault_roles.wrong(bao, own, [LOGS]) == {"component-logs": ""}
        assert await vault_roles.strangers(bao, own, []) == ("component-logs",)
        wide = 'path "kv/data/*" { capabilities = ["read"] }'
        await bao.call(own, "POST", "sys/policies/acl/component-logs", {"policy": wide})
        found = await vault_roles.wrong(bao, own, [LOGS])
        assert found == {"component-logs": "its policy is not as declared"}
        await vault_roles.write(bao, own, LOGS)
        login = {"bound_service_account_names": ["*"], "token_period": "1h"}
        await bao.call(own, "POST", "auth/kubernetes/role/component-logs", login)
        found = await vault_roles.wrong(bao, own, [LOGS])
        assert found == {"component-logs": "bound_service_account_names is *, not logs"}
        await vault_roles.write(bao, own, LOGS)  # what was added by hand goes again
        assert await vault_roles.wrong(bao, own, [LOGS]) == {"component-logs": ""}
        theirs = {**LOGS.login, "bound_service_account_names": ["x"]}
        await bao.call(own, "POST", "auth/kubernetes/role/theirs", theirs)
        told = await vault_roles.others(bao, own, [LOGS])
        assert told == {"theirs": "is no role of a component and has the policy component-logs"}
        await bao.call(own, "DELETE", "auth/kubernetes/role/theirs")
        await vault_roles.remove(bao, own, "component-logs")
        await vault_roles.remove(bao, own, "component-logs")  # by a run that was cut off
        assert await vault_roles.strangers(bao, own, []) == ()
        assert await vault_roles.wrong(bao, own, [LOGS]) == {"component-logs": "has no policy"}

    vault.do(work)


# What DISCO's role could do before components said what they may.
EARLIER = """
path "kv/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "auth/kubernetes/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/policies/acl/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/mounts" { capabilities = ["read"] }
"""


def test_a_role_of_an_earlier_disco_is_brought_over_by_itself(vault: Running) -> None:
    async def work(bao: OpenBao) -> None:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        policy = f"sys/policies/acl/{vault_access.ROLE}"
        await bao.call(own, "POST", policy, {"policy": EARLIER})
        assert await _refused(bao, own, "GET", "sys/key-status")
        assert await vault_roles.strangers(bao, own, []) == ()
        own = await vault_access.grant(bao, vault.keys)
        assert await term(bao, own)

    vault.do(work)


def test_another_key_is_written_with_and_what_was_written_is_read(
    vault: Running, tmp_path: Path
) -> None:
    async def work(bao: OpenBao) -> None:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        before = await term(bao, own)
        rotate = Rotator(bao._kube, _store(vault, tmp_path))
        for _ in range(2):  # by a run that was cut off
            await rotate(RotateVault(CLUSTER, before), _silent)
        assert await term(bao, own) == before + 1
        assert await bao.read(own, "disco/probe") == {"value": CANARY}

    vault.do(work)


def _silent(note: str, part: float | None) -> None:
    """Nobody listens."""


def _store(vault: Running, folder: Path) -> Store:
    """With the vault's keys, as DISCO keeps them when it is set up."""
    store = Store(Place(folder / "here", folder), Folder(folder / "store"))
    store.put(KEYS, {n: v for n, v in vault.keys.items() if n != vault_access.ROOT})
    store.put(AUTHORITY, {"crt": vault.ca[0], "key": vault.ca[1]})
    return store


@dataclass(frozen=True)
class Let:
    """Somebody who broke the glass."""

    store: Store
    glass: Glass
    token: str


async def _broken(bao: OpenBao, vault: Running, folder: Path) -> Let:
    store = _store(vault, folder)
    glass, to = Glass(bao._kube, store), folder / "token"
    share = SecretRef(KEYS, OWN_KEY)
    await glass.breaks(BreakGlass(CLUSTER, "anna", share, "no way in", str(to)), _silent)
    return Let(store, glass, to.read_text().strip())


def test_the_glass_is_broken_by_a_share_seen_while_it_is_and_whole_again(
    vault: Running, tmp_path: Path
) -> None:
    async def work(bao: OpenBao) -> None:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        await vault_access.revoke_root(bao, vault.keys)
        store = _store(vault, tmp_path)
        assert (await vault_break_glass.ask(bao, own, store)).ok
        let = await _broken(bao, vault, tmp_path)
        assert (tmp_path / "token").stat().st_mode & 0o077 == 0
        me = (await bao.call(let.token, "GET", "auth/token/lookup-self"))["data"]
        assert me["policies"] == ["root"] and me["explicit_max_ttl"] == 900 and me["orphan"]
        assert 0 < me["ttl"] <= 900 and me["meta"] == {"by": "anna", "reason": "no way in"}
        seen = await vault_break_glass.ask(bao, own, let.store)
        assert not seen.ok and "by anna: no way in" in seen.evidence, seen.evidence
        assert len(await vault_break_glass.alive(bao, own)) == 1  # the one it was made with is gone
        assert await bao.call(let.token, "GET", "sys/policies/acl/root")
        with pytest.raises(DiscoError):  # it can't be made to live longer
            await bao.call(let.token, "POST", "auth/token/renew-self", {"increment": "10h"})
        again = await _broken(bao, vault, tmp_path)
        assert len(await vault_break_glass.alive(bao, own)) == 1  # and not two of them
        await again.glass.ends(EndBreakGlass(CLUSTER), _silent)
        assert await _refused(bao, again.token, "GET", "auth/token/lookup-self")
        seen = await vault_break_glass.ask(bao, own, again.store)
        assert seen.ok, seen.evidence

    vault.do(work)


def test_shares_for_a_root_token_are_seen_and_forgotten(vault: Running, tmp_path: Path) -> None:
    async def work(bao: OpenBao) -> None:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        store = _store(vault, tmp_path)
        await bao.call(own, "POST", f"{vault_break_glass.GENERATE}/attempt", {})
        seen = await vault_break_glass.ask(bao, own, store)
        assert not seen.ok and "0 of 1 given for a root token" in seen.evidence
        await Glass(bao._kube, store).ends(EndBreakGlass(CLUSTER), _silent)
        assert not (await Attempt.read(bao, own)).started
        assert (await vault_break_glass.ask(bao, own, store)).ok

    vault.do(work)


def test_nobody_gets_a_root_token_with_a_share_alone(vault: Running) -> None:
    async def work(bao: OpenBao) -> None:
        for path in ("sys/generate-root/attempt", f"{vault_break_glass.GENERATE}/attempt"):
            with pytest.raises(DiscoError) as caught:
                await bao.call("", "POST", path, {})
            assert "(403)" in caught.value.why or "(405)" in caught.value.why, caught.value.why

    vault.do(work)


def test_an_agent_brings_what_its_role_may_read_and_a_changed_value_without_a_restart(
    vault: Running, tmp_path: Path
) -> None:
    """As a pod's agent, but for who it is: a token of the role's policy instead of a pod's."""

    async def prepared(bao: OpenBao) -> str:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        await vault_roles.write(bao, own, LOGS)
        for name in ("logs/one", "other/one"):
            await bao.call(own, "POST", f"kv/data/{name}", {"data": {"key": "first"}})
        let = await _broken(bao, vault, tmp_path)
        body = {"policies": [LOGS.name], "ttl": "5m", "no_parent": True}
        made = await bao.call(let.token, "POST", "auth/token/create", body)
        await let.glass.ends(EndBreakGlass(CLUSTER), _silent)
        return str(made["auth"]["client_token"])

    async def changed(bao: OpenBao) -> None:
        own = await vault_access.token(bao, vault.keys)
        await bao.call(own, "POST", "kv/data/logs/one", {"data": {"key": "second"}})

    (tmp_path / "login").write_text(vault.do(prepared))
    files = {"mine": "kv/logs/one#key", "theirs": "kv/other/one#key"}
    with _running(Agent("", LOGS.name, files, "1s"), vault, tmp_path) as agent:
        _until_is(tmp_path / "mine", "first", agent, tmp_path / "log")
        vault.do(changed)
        took = _until_is(tmp_path / "mine", "second", agent, tmp_path / "log")
        print(f"a changed secret was in the file after {took:.1f} s")
        assert (tmp_path / "mine").stat().st_mode & 0o377 == 0
        assert not (tmp_path / "theirs").exists()


@contextmanager
def _running(
    agent: Agent, vault: Running, folder: Path, login: dict[str, Any] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """With its configuration, but for paths, and another login than by a pod's account."""
    config = json.loads(agent.config)
    config["vault"] = {
        "address": f"https://127.0.0.1:{vault.port}",
        "ca_cert": f"{vault.folder}/ca.crt",
    }
    by_token = {"type": "token_file", "config": {"token_file_path": f"{folder}/login"}}
    config["auto_auth"]["method"][0] |= login or by_token
    for one in config["template"]:
        one["destination"] = one["destination"].replace(FOLDER, str(folder))
    (folder / "agent.json").write_text(json.dumps(config))
    argv = [program("bao"), "agent", f"-config={folder}/agent.json"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _until_is(file: Path, content: str, agent: subprocess.Popen[bytes], log: Path) -> float:
    """Seconds until a file says so."""
    begun = time.monotonic()
    while not file.exists() or file.read_text() != content:
        assert agent.poll() is None and time.monotonic() < begun + WITHIN_S, log.read_text()
        time.sleep(0.05)
    return time.monotonic() - begun


def test_an_agent_logs_in_again_when_a_token_of_no_use_has_ended(
    vault: Running, tmp_path: Path
) -> None:
    """As after the vault was begun anew. Its login is another one than a pod's; tokens of roles of
    components live a minute, this one ten seconds."""
    role = "auth/approle/role/agent"

    async def prepared(bao: OpenBao) -> str:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        await vault_roles.write(bao, own, LOGS)
        await bao.call(own, "POST", "kv/data/logs/one", {"data": {"key": "first"}})
        let = await _broken(bao, vault, tmp_path)
        limits = {"token_policies": [LOGS.name], "token_ttl": "10s"}
        await bao.call(let.token, "POST", role, limits)
        found = await bao.call(let.token, "GET", f"{role}/role-id")
        (tmp_path / "role").write_text(found["data"]["role_id"])
        made = await bao.call(let.token, "POST", f"{role}/secret-id")
        (tmp_path / "secret").write_text(made["data"]["secret_id"])
        return let.token

    async def revoked(bao: OpenBao) -> None:
        found = await bao.call(root, "LIST", "auth/token/accessors")
        for one in found["data"]["keys"]:
            asked = {"accessor": one}
            data = (await bao.call(root, "POST", "auth/token/lookup-accessor", asked))["data"]
            if LOGS.name in data["policies"]:
                await bao.call(root, "POST", "auth/token/revoke-accessor", asked)
        own = await vault_access.token(bao, vault.keys)
        await bao.call(own, "POST", "kv/data/logs/one", {"data": {"key": "second"}})
        await Glass(bao._kube, _store(vault, tmp_path)).ends(EndBreakGlass(CLUSTER), _silent)

    root = vault.do(prepared)
    login = {
        "type": "approle",
        "mount_path": "auth/approle",
        "config": {
            "role_id_file_path": f"{tmp_path}/role",
            "secret_id_file_path": f"{tmp_path}/secret",
            "remove_secret_id_file_after_reading": False,
        },
    }
    agent = Agent("", LOGS.name, {"mine": "kv/logs/one#key"}, "1s")
    with _running(agent, vault, tmp_path, login) as process:
        _until_is(tmp_path / "mine", "first", process, tmp_path / "log")
        vault.do(revoked)
        took = _until_is(tmp_path / "mine", "second", process, tmp_path / "log")
        print(f"it logged in again, and had what changed, {took:.1f} s later")


def test_an_agent_gets_a_certificate_and_the_next_one_before_it_ends(
    vault: Running, tmp_path: Path
) -> None:
    names, role = ("rpc.a.svc", "a.a.svc"), "component-chains-a"
    issues = vault_pki.Issues(role, names)
    store = _store(vault, tmp_path)

    async def prepared(bao: OpenBao) -> str:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        for _ in range(2):  # by a run that was cut off
            await vault_pki.make(bao, own, store.lookup, [issues], certificates.inner_authority)
        found = await vault_pki.wrong(bao, own, store.lookup, [issues], vault_pki.RENEW_DAYS)
        assert found == {"authority of pods": "", f"certificates of {role}": ""}
        wide = {**issues.wanted, "allow_any_name": True}
        await bao.call(own, "POST", f"pki/roles/{role}", wide)
        found = await vault_pki.wrong(bao, own, store.lookup, [issues], vault_pki.RENEW_DAYS)
        assert found[f"certificates of {role}"] == "allow_any_name is True, not False"
        await bao.call(own, "POST", f"pki/roles/{role}", issues.wanted)
        await vault_roles.write(
            bao, own, Role(role, "a", "a", tuple(vault_pki.rules(role).items()))
        )
        assert await _refused(bao, own, "POST", f"pki/issue/{role}", {"common_name": names[0]})
        let = await _broken(bao, vault, tmp_path)
        body = {"policies": [role], "ttl": "5m", "no_parent": True}
        made = await bao.call(let.token, "POST", "auth/token/create", body)
        pod = str(made["auth"]["client_token"])
        for name in ("b.a.svc", "openbao-active.vault.svc", "10.0.0.1"):
            with pytest.raises(DiscoError):
                await bao.call(pod, "POST", f"pki/issue/{role}", {"common_name": name})
        await _for_the_vaults_own_name(bao, let.token, vault.ca[0])
        await let.glass.ends(EndBreakGlass(CLUSTER), _silent)
        return pod

    wanted = VaultCertificate.model_construct(names=names, lasts="40s")
    agent = Agent("", role, {}, "1s", certificate=wanted)
    (tmp_path / "login").write_text(vault.do(prepared))
    file = tmp_path / "tls.pem"
    with _running(agent, vault, tmp_path):
        begun = time.monotonic()
        first = _until_other(file, "")
        print(f"an agent had a certificate after {time.monotonic() - begun:.1f} s")
        leaf, inner = x509.load_pem_x509_certificates(first.encode())[:2]
        assert set(certificates.names_of(leaf)) == set(names)
        load_pem_private_key(first.encode(), None)
        ca = x509.load_pem_x509_certificate(vault.ca[0].encode())
        verifier = (
            PolicyBuilder()
            .store(verification.Store([ca]))
            .build_server_verifier(x509.DNSName(names[0]))
        )
        verifier.verify(leaf, [inner])
        assert vault_pki.nears_its_end(first) == ""
        begun = time.monotonic()
        second = _until_other(file, first)
        print(f"it had the next one {time.monotonic() - begun:.1f} s later, of 40 s")
        now = datetime.now(UTC)
        assert leaf.not_valid_after_utc > now, "it had ended"
        left = (leaf.not_valid_after_utc - now).total_seconds()
        print(f"{left:.1f} s before the first one ended")
        assert x509.load_pem_x509_certificate(second.encode()).serial_number != leaf.serial_number
    assert "ended at" in vault_pki.nears_its_end(second, now + timedelta(hours=1))


async def _for_the_vaults_own_name(bao: OpenBao, root: str, ca: str) -> None:
    """Who may do everything can have one signed, and nobody believes it."""
    name = "openbao-active.vault.svc"
    role = {"allow_any_name": True, "key_type": "ec", "key_bits": 256, "ttl": "1h"}
    await bao.call(root, "POST", "pki/roles/any", role)
    made = (await bao.call(root, "POST", "pki/issue/any", {"common_name": name}))["data"]
    await bao.call(root, "DELETE", "pki/roles/any")
    leaf = x509.load_pem_x509_certificate(made["certificate"].encode())
    inner = x509.load_pem_x509_certificate(made["issuing_ca"].encode())
    limits = inner.extensions.get_extension_for_class(x509.NameConstraints).value
    assert x509.DNSName("vault.svc") in (limits.excluded_subtrees or ())
    trusted = x509.load_pem_x509_certificate(ca.encode())
    build = PolicyBuilder().store(verification.Store([trusted])).build_server_verifier
    with pytest.raises(VerificationError):
        build(x509.DNSName(name)).verify(leaf, [inner])


def _until_other(file: Path, content: str) -> str:
    ends = time.monotonic() + WITHIN_S
    while not file.exists() or not file.read_text() or file.read_text() == content:
        assert time.monotonic() < ends, (file.parent / "log").read_text()
        time.sleep(0.05)
    return file.read_text()


def test_a_component_signs_with_a_key_that_nobody_gets(vault: Running, tmp_path: Path) -> None:
    signs = Role("component-signs", "signs", "signs", tuple(vault_keys.rules("mine").items()))
    message = b"block 17"

    async def work(bao: OpenBao) -> tuple[str, str]:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        for _ in range(2):  # by a run that was cut off
            await vault_keys.make(bao, own, ["mine"])
        assert await vault_keys.wrong(bao, own, ["mine", "none"]) == {
            "key mine": "",
            "key none": "is not there",
        }
        await vault_roles.write(bao, own, signs)
        let = await _broken(bao, vault, tmp_path)
        made = await bao.call(let.token, "POST", "auth/token/create", {"policies": [signs.name]})
        pod = str(made["auth"]["client_token"])
        body = {"input": base64.b64encode(message).decode()}
        signed = await bao.call(pod, "POST", "transit/sign/mine", body)
        public = (await bao.call(pod, "GET", "transit/keys/mine"))["data"]["keys"]["1"]
        with pytest.raises(DiscoError):  # DISCO itself may make keys, and not sign with them
            await bao.call(own, "POST", "transit/sign/mine", body)
        for path in ("transit/export/signing-key/mine", "transit/backup/mine"):
            for token in (pod, own, let.token):
                with pytest.raises(DiscoError):
                    await bao.call(token, "GET", path)
        with pytest.raises(DiscoError) as caught:
            await bao.call(let.token, "POST", "transit/keys/other", {"type": "ecdsa-secp256k1"})
        assert "unknown key type" in caught.value.why
        await let.glass.ends(EndBreakGlass(CLUSTER), _silent)
        return signed["data"]["signature"], public["public_key"]

    signature, public = vault.do(work)
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public))
    made = base64.b64decode(signature.removeprefix("vault:v1:"))
    key.verify(made, message)
    with pytest.raises(InvalidSignature):
        key.verify(made, b"block 18")


def test_every_request_is_written_down_without_a_secret(vault: Running) -> None:
    async def work(bao: OpenBao) -> dict[str, Any]:
        own = await until(lambda: vault_access.grant(bao, vault.keys))
        found: dict[str, Any] = (await bao.call(own, "GET", "sys/audit"))["data"]
        return found

    assert check_vault.audited(vault.do(work)).ok
    lines = [json.loads(x) for x in vault.log.splitlines() if x.startswith('{"time"')]
    asked = {x["request"]["path"] for x in lines if x["type"] == "request"}
    assert {"auth/approle/login", "kv/data/disco/probe", "sys/audit"} <= asked
    halves = (vault_access.ROOT, vault_access.SECRET_ID)
    assert [s for s in (CANARY, *(vault.keys[n] for n in halves)) if s in vault.log] == []


def test_a_signal_has_it_show_another_certificate_and_stay_unsealed(vault: Running) -> None:
    before = vault.shown
    new = vault.certify(365)
    assert vault.shown == before
    vault.process.send_signal(signal.SIGHUP)
    ends = time.monotonic() + WITHIN_S
    while vault.shown.strip() != new.strip() and time.monotonic() < ends:
        time.sleep(0.05)
    assert check_vault.vault_certificate.judged({"openbao-0": vault.shown}, new, vault.ca[0]).ok
    assert not vault.do(lambda bao: bao.seal_status(0)).sealed


def test_who_trusts_another_authority_does_not_speak_to_it(vault: Running) -> None:
    other = certificates.authority("another", 10)

    async def work() -> None:
        kube = Direct(vault.port, other[0])
        await OpenBao(kube, CLUSTER, lambda ref: other[0]).seal_status(0)

    with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
        asyncio.run(work())
