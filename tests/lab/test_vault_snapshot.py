"""The drill: a vault is kept in a file, its cluster destroyed, and a new one holds it all again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from stack import UP_S, LabStack, lab_stack
from tools import Tools

from disco.layers.platform.openbao import KEYS, OpenBao
from disco.layers.platform.vault_snapshot import opened
from disco.store.store import Store

STACK = """
name: drill
servers: {provider: local, count: 1, network: 10.88.226.0/24}
kubernetes: {metrics_server: false}
vault: {}
"""
CANARY = "drill-canary-77c1"


@pytest.fixture
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("drill"), STACK) as stack:
        stack.must("up", "--yes", within_s=UP_S)
        yield stack


async def _write(bao: OpenBao, token: str) -> None:
    await bao.call(token, "POST", "kv/data/drill", {"data": {"value": CANARY}})


async def _read(bao: OpenBao, token: str) -> object:
    return await bao.read(token, "drill")


def token(stack: LabStack) -> str:
    return Store(stack.place).fields(KEYS)["root_token"]


def test_a_vault_comes_back_in_a_new_cluster_also_when_disco_died_in_between(
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

    drill.must("down", "--yes", "--allow-destroy", within_s=UP_S)
    drill.must("up", "--yes", within_s=UP_S)
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
