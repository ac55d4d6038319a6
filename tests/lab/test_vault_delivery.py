"""What comes from the vault into pods, who gets in from the cluster, and a way in for the night."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from stack import LabStack, until
from tools import CHAIN, SMALL, Tools

from disco.engine.errors import DiscoError
from disco.layers.platform.openbao import OpenBao

ROLE = "component-chains-akash"
CERTIFICATES = "/BEGIN CERT/,/END CERT/p"


@pytest.fixture(scope="module")
def tools(stack: LabStack) -> Tools:
    return Tools(stack)


def file_of(tools: Tools, pod: str = SMALL) -> str:
    return tools.kubectl("-n", CHAIN, "exec", pod, "-c", "node", "--", "cat", "/vault/motd")


def certificate(tools: Tools) -> x509.Certificate:
    where = ("-n", CHAIN, "exec", SMALL, "-c", "vault-agent", "--")
    shown = tools.kubectl(*where, "busybox", "sed", "-n", CERTIFICATES, "/vault/tls.pem")
    return x509.load_pem_x509_certificate(shown.encode())


@pytest.fixture(scope="module")
def first(tools: Tools) -> x509.Certificate:
    """That the pod had when these tests began."""

    def delivered() -> x509.Certificate | None:
        try:
            return certificate(tools)
        except (AssertionError, ValueError):  # not yet
            return None

    found: x509.Certificate = until("there is one", delivered, 60)
    return found


def starts(tools: Tools) -> list[Any]:
    """What tells one run of a pod's containers from the next."""
    pod = tools.get("-n", CHAIN, "pod", SMALL)
    each = [*pod["status"]["containerStatuses"], *pod["status"]["initContainerStatuses"]]
    return [pod["metadata"]["uid"], sorted((c["name"], c["restartCount"]) for c in each)]


def test_a_changed_secret_is_in_a_pods_file_without_a_restart(
    stack: LabStack, tools: Tools, first: x509.Certificate
) -> None:
    until("the first one is there", lambda: file_of(tools) == "the first one", 60)
    before = starts(tools)
    stack.put("lab/motd", "the second one")
    stack.must("apply", "--yes", within_s=300)
    begun = time.monotonic()
    until("the second one is there", lambda: file_of(tools) == "the second one", 30, 0.1)
    print(f"the file had the changed secret {time.monotonic() - begun:.1f} s after the apply")
    assert starts(tools) == before
    mode = tools.kubectl(
        "-n", CHAIN, "exec", SMALL, "-c", "node", "--", "stat", "-c", "%a", "/vault/motd"
    )
    assert mode.strip() == "400"


def test_an_agent_goes_on_after_the_vault_was_sealed(stack: LabStack, tools: Tools) -> None:
    stack.must("vault", "seal", "--yes", within_s=180)
    assert file_of(tools) == "the second one", "it keeps what it had"
    stack.put("lab/motd", "the third one")
    stack.must("apply", "--yes", within_s=300)
    begun = time.monotonic()
    until("the third one is there", lambda: file_of(tools) == "the third one", 120, 0.1)
    print(f"after it was sealed, the file had it {time.monotonic() - begun:.1f} s after the apply")


def test_nobody_but_the_pods_account_gets_in_and_it_gets_no_more_than_declared(
    tools: Tools,
) -> None:
    def login(account: str) -> str:
        namespace, name = account.split("/")
        jwt = tools.kubectl("-n", namespace, "create", "token", name, "--audience=openbao").strip()

        async def work(bao: OpenBao, _: str) -> str:
            body = {"role": ROLE, "jwt": jwt}
            found = await bao.call("", "POST", "auth/kubernetes/login", body)
            return str(found["auth"]["client_token"])

        try:
            return str(tools.vault(work))
        except DiscoError as error:
            return f"refused: {error.why}"

    for stranger in (f"{CHAIN}/default", "default/default", "logs/logs", "vault-probe/vault-probe"):
        assert login(stranger).startswith("refused: "), stranger
        assert "(403)" in login(stranger)
    token = login(f"{CHAIN}/{CHAIN}")
    assert not token.startswith("refused")

    async def may(bao: OpenBao, _: str) -> dict[str, Any]:
        paths = [*MAY]
        found = await bao.call(token, "POST", "sys/capabilities-self", {"paths": paths})
        await bao.call(token, "POST", "auth/token/revoke-self")
        return {p: found[p] for p in paths}

    assert tools.vault(may) == MAY


MAY = {
    "kv/data/lab/motd": ["read"],
    "kv/data/lab/other": ["deny"],
    "kv/data/disco/probe": ["deny"],
    "sys/mounts": ["deny"],
    "pki/issue/component-chains-akash": ["update"],
    "transit/sign/lab": ["update"],
    "transit/export/signing-key/lab": ["deny"],
}


def test_what_is_declared_no_more_may_nothing_any_more(stack: LabStack, tools: Tools) -> None:
    text = stack.file.read_text()
    without = text.replace("logs: {vault: {write: ['kv/logs/*']}}", "logs: {}")
    assert without != text
    try:
        stack.file.write_text(without)
        done = stack.disco("apply", "--yes", within_s=300)
        assert done.returncode == 0, done.stderr
        told = " ".join((done.stdout + done.stderr).split())
        assert "component-logs: nobody declares any more what it may" in told

        async def names(bao: OpenBao, token: str) -> list[str]:
            found: list[str] = (await bao.call(token, "LIST", "sys/policies/acl"))["data"]["keys"]
            return found

        assert ROLE in tools.vault(names) and "component-logs" not in tools.vault(names)
    finally:
        stack.file.write_text(text)
    stack.must("apply", "--yes", within_s=300)
    assert "component-logs" in tools.vault(names)


def test_the_glass_is_broken_seen_by_everybody_and_whole_again(
    stack: LabStack, tools: Tools
) -> None:
    to, why = stack.folder / "token", "nobody else is awake"
    words = ("--reason", why, "--to", str(to), "--yes")
    stack.must("vault", "break-glass", *words)
    token = to.read_text().strip()
    assert to.stat().st_mode & 0o077 == 0
    code, rows = tools.checks("vault/break-glass")
    assert code == 3 and why in rows["vault/break-glass"].evidence
    assert why in stack.must("history")

    async def root(bao: OpenBao, _: str) -> Any:
        return (await bao.call(token, "GET", "auth/token/lookup-self"))["data"]["policies"]

    assert tools.vault(root) == ["root"]
    journal = "\n".join(json.dumps(r) for r in stack.journal())
    assert token not in journal
    stack.must("vault", "break-glass", "--end")
    with pytest.raises(DiscoError):
        tools.vault(root)
    code, rows = tools.checks("vault/break-glass")
    assert code == 0, rows


def test_the_vault_writes_with_another_key(stack: LabStack) -> None:
    assert "key number 2" in " ".join(stack.disco("vault", "rotate", "--yes").stderr.split())


def test_a_certificate_was_renewed_before_it_ended(tools: Tools, first: x509.Certificate) -> None:
    """It is signed for a minute."""

    def another() -> x509.Certificate | None:
        found = certificate(tools)
        return found if found.serial_number != first.serial_number else None

    now = until("it is another one", another, 60)
    left = (now.not_valid_after_utc - datetime.now(UTC)).total_seconds()
    print(f"another one, with {left:.0f} s to go")
    assert 0 < left <= 60
    code, rows = tools.checks("vault/certificates")
    assert code == 0, rows
