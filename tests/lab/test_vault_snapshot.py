"""The drill: a vault is kept in a file and destroyed, and a new one holds it all again. The same in
a new cluster, with shares, is in test_vault_quorum.

And how it is spoken to: over TLS, by a role of DISCO's own, with all of it written down.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from stack import UP_S, LabStack, lab_stack
from tools import Tools

from disco.engine.errors import DiscoError
from disco.layers.platform.openbao import AUTHORITY, CERTIFICATE, HOSTS, KEYS, OpenBao
from disco.layers.platform.vault_access import ROOT, SECRET_ID
from disco.layers.platform.vault_snapshot import opened
from disco.store import certificates
from disco.store.store import Store

STACK = """
name: drill
servers: {provider: local, count: 1, network: 10.88.226.0/24}
kubernetes: {metrics_server: false}
vault: {}
"""
CANARY = "drill-canary-77c1"


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("drill"), STACK) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


async def _write(bao: OpenBao, token: str) -> None:
    await bao.call(token, "POST", "kv/data/drill", {"data": {"value": CANARY}})


async def _read(bao: OpenBao, token: str) -> object:
    return await bao.read(token, "drill")


def token(stack: LabStack) -> str:
    """What is another one with each vault that was begun; its root token is gone."""
    fields = Store(stack.place).fields(KEYS)
    assert ROOT not in fields
    return fields[SECRET_ID]


def test_a_new_vault_holds_what_was_kept_also_when_disco_died_in_between(
    drill: LabStack,
) -> None:
    Tools(drill).vault(_write)
    file, before = drill.folder / "vault.age", token(drill)
    drill.must("vault", "snapshot", "--to", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert CANARY.encode() not in file.read_bytes() and before.encode() not in file.read_bytes()
    if age := shutil.which("age"):
        words = [age, "-d", "-i", str(drill.place.identity), str(file)]
        assert before.encode() in subprocess.run(words, check=True, capture_output=True).stdout

    for text in (STACK.replace("vault: {}\n", ""), STACK):
        drill.file.write_text(text)
        drill.must("apply", "--yes", "--allow-destroy", within_s=UP_S)
    assert token(drill) != before
    assert Tools(drill).vault(_read) is None
    refused = drill.disco("vault", "restore", str(file), "--yes")
    assert refused.returncode == 2 and "--allow-destroy" in refused.stderr, refused.stderr
    assert "put the vault back as it was at" in refused.stderr

    snapshot = opened(Store(drill.place), file)

    async def died(bao: OpenBao, now: str) -> None:
        """As far as a run gets that is killed before the store has the keys."""
        assert await bao.restore(now, snapshot.content)

    Tools(drill).vault(died)
    for _ in range(2):  # what died is finished; and once more, from the beginning
        drill.must("vault", "restore", str(file), "--yes", "--allow-destroy", within_s=300)
        assert token(drill) == before
        assert Tools(drill).vault(_read) == {"value": CANARY}
    drill.must("check", "--only", "vault", "--wait", "60")
    assert "Nothing to do" in drill.disco("apply", "--yes").stderr
    assert "vault restore" in drill.must("history")


def test_what_is_no_snapshot_is_refused(drill: LabStack) -> None:
    file = drill.folder / "no.age"
    file.write_bytes(b"age-encryption.org/v1\n-> none\n--- none\n")
    before = token(drill)
    refused = drill.disco("vault", "restore", str(file), "--yes", "--allow-destroy")
    assert refused.returncode == 2 and "no snapshot" in refused.stderr, refused.stderr
    assert token(drill) == before


def test_nobody_in_between_is_believed(drill: LabStack) -> None:
    """DISCO speaks to no pod whose certificate is by another authority, and a pod to nobody in
    plain."""
    other, _ = certificates.authority("another", 10)

    async def ask(bao: OpenBao, _: str) -> str:
        bao._lookup = lambda ref: other
        try:
            return str(await bao.seal_status(0))
        except DiscoError as error:
            return error.why

    assert "certificate verify failed" in Tools(drill).vault(ask)
    plain = "BAO_ADDR=http://127.0.0.1:8200 bao status 2>&1 || true"
    said = Tools(drill).kubectl("-n", "vault", "exec", "openbao-0", "--", "sh", "-c", plain)
    assert "HTTP request to an HTTPS server" in said, said
    own = Tools(drill).kubectl("-n", "vault", "exec", "openbao-0", "--", "bao", "status")
    assert "Sealed" in own, own


def test_another_certificate_is_taken_without_a_restart(drill: LabStack) -> None:
    store = Store(drill.place)
    ca = store.fields(AUTHORITY)
    crt, key = certificates.server_certificate(ca["crt"], ca["key"], HOSTS, 20)
    store.put(CERTIFICATE, {"crt": crt, "key": key})
    row = Tools(drill).checks("vault/certificate")[1]["vault/certificate"]
    assert not row.ok and "is not the one in the store" in row.evidence, row
    before = _pod(drill)
    done = drill.disco("apply", "--yes")
    assert done.returncode == 0, done.stderr
    assert "the one there ends in 20 days" in done.stderr, done.stderr
    drill.must("check", "--only", "vault", "--wait", "60")
    assert _pod(drill) == before
    assert "Nothing to do" in drill.disco("apply", "--yes").stderr


def _pod(stack: LabStack) -> tuple[str, int]:
    """Which one it is, and how often its container was restarted."""
    found = Tools(stack).get("-n", "vault", "pod", "openbao-0")
    return found["metadata"]["uid"], found["status"]["containerStatuses"][0]["restartCount"]


def test_every_request_is_written_down_without_a_secret(drill: LabStack) -> None:
    Tools(drill).vault(_write)
    store = Store(drill.place)
    lines = Tools(drill).kubectl("-n", "vault", "logs", "openbao-0")
    assert '"path":"kv/data/drill"' in lines
    assert '"path":"auth/approle/login"' in lines and "hmac-sha256:" in lines
    fields = [v for n in (KEYS, "vault/probe") for v in store.fields(n).values()]
    secrets = [CANARY, *(v for v in fields if v != store.fields(KEYS)["role_id"])]
    assert not [s for s in secrets if s in lines]


def test_disco_may_not_do_everything_in_the_vault(drill: LabStack) -> None:
    async def refused(bao: OpenBao, now: str) -> list[str]:
        found = []
        for method, path in (
            ("POST", "auth/token/create"),
            ("DELETE", "sys/audit/stdout"),
            ("POST", "sys/auth/userpass"),
        ):
            try:
                await bao.call(now, method, path, {"type": "userpass"})
            except DiscoError as error:
                found.append(error.why)
        return found

    told = Tools(drill).vault(refused)
    assert len(told) == 3 and all("permission denied" in why for why in told), told
