"""What opens a vault by itself: another one's transit engine, and a service that speaks KMIP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from vault_running import VALUES, Running, begun, ports, until

from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef
from disco.layers.platform import vault_access, vault_break_glass, vault_rekey
from disco.layers.platform.openbao import OpenBao, SealStatus
from disco.layers.platform.quorum import Quorum
from disco.layers.platform.vault_break_glass import Attempt
from disco.layers.platform.vault_seal import Seal
from disco.store import certificates

UNSEALER = "lab-unseal"  # the key, and the policy of who may use it


def _unsealer(vault: Running) -> str:
    """A token of the first vault that may use a key of its transit engine and nothing else."""

    async def work(bao: OpenBao) -> str:
        answer = await bao.init(Quorum())
        await bao.unseal(0, answer["keys_base64"][0])
        root = str(answer["root_token"])
        await until(lambda: bao.call(root, "POST", "sys/mounts/transit", {"type": "transit"}))
        await bao.call(root, "POST", f"transit/keys/{UNSEALER}", {})
        may = "\n".join(
            f'path "transit/{does}/{UNSEALER}" {{ capabilities = ["update"] }}'
            for does in ("encrypt", "decrypt")
        )
        await bao.call(root, "PUT", f"sys/policies/acl/{UNSEALER}", {"policy": may})
        body = {"policies": [UNSEALER], "period": "24h", "no_parent": True}
        made = await bao.call(root, "POST", "auth/token/create", body)
        return str(made["auth"]["client_token"])

    return vault.do(lambda bao: until(lambda: work(bao)))


@dataclass(frozen=True)
class Opener:
    """Who opens the vault under test. secrets: by the name that the stack file says. pid: of its
    program."""

    seal: Seal
    secrets: dict[str, str]
    pid: int

    def lay(self, folder: Path) -> dict[str, str]:
        """Its files, as the pod finds them; gives the variables."""
        for name, text in self.seal.data.items():
            value = "".join(self._of(part) for part in text.parts)
            if name not in self.variables:
                (folder / name).write_text(value)
        return self.variables

    @property
    def variables(self) -> dict[str, str]:
        data = self.seal.data
        return {n: self._of(data[n].parts[0]) for n in self.seal.values()["variables"]}

    def _of(self, part: str | SecretRef) -> str:
        return part if isinstance(part, str) else self.secrets[part.name]


@contextmanager
def transit(folder: Path) -> Iterator[Opener]:
    """The transit engine of another vault."""
    with begun(folder, VALUES, {}) as another:
        said = {
            "url": f"https://127.0.0.1:{another.port}",
            "key": UNSEALER,
            "token": "${secret:vault/transit}",
            "authority": another.ca[0],
        }
        seal = Seal.model_validate({"transit": said})
        yield Opener(seal, {"vault/transit": _unsealer(another)}, another.process.pid)


@contextmanager
def kmip(folder: Path) -> Iterator[Opener]:
    """A service that speaks KMIP, with an AES key that it was asked to make."""
    authority = certificates.authority("kms", 30)
    shown = certificates.server_certificate(*authority, ["127.0.0.1"], 20)
    own = certificates.client_certificate(*authority, "vault", [], 20)
    port, _ = ports()
    texts = {"ca": authority[0], "crt": shown[0], "key": shown[1], "own.crt": own[0]}
    for name, text in {**texts, "own.key": own[1]}.items():
        (folder / name).write_text(text)
    (folder / "policy").mkdir()
    settings = {
        "hostname": "127.0.0.1",
        "port": port,
        "certificate_path": folder / "crt",
        "key_path": folder / "key",
        "ca_path": folder / "ca",
        "auth_suite": "TLS1.2",
        "policy_path": folder / "policy",
        "enable_tls_client_auth": True,
        "database_path": folder / "keys.db",
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    (folder / "server.conf").write_text("\n".join(["[server]", *lines, ""]))
    words = [sys.executable, "-W", "ignore", "-c", SERVE, str(folder)]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, start_new_session=True)
    try:
        made = _key(folder, port)
        said = {
            "endpoint": f"127.0.0.1:{port}",
            "key": made,
            "certificate": own[0],
            "certificate_key": "${secret:vault/kmip}",
            "authority": authority[0],
        }
        seal = Seal.model_validate({"kmip": said})
        yield Opener(seal, {"vault/kmip": own[1]}, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it keeps its policies in a process of their own
        process.wait()


SERVE = """\
import sys
from kmip.services.server import KmipServer
folder = sys.argv[1]
server = KmipServer(config_path=f"{folder}/server.conf", log_path=f"{folder}/log")
with server:
    server.serve()
"""
MAKE = """\
import sys
from kmip import enums
from kmip.pie.client import ProxyKmipClient
folder, port = sys.argv[1:]
paths = {"cert": f"{folder}/own.crt", "key": f"{folder}/own.key", "ca": f"{folder}/ca"}
client = ProxyKmipClient("127.0.0.1", int(port), ssl_version="PROTOCOL_TLSv1_2", **paths)
uses = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
with client:
    made = client.create(enums.CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=uses)
    client.activate(made)
print(made)
"""


def _key(folder: Path, port: int) -> str:
    """Its identifier, as soon as the service answers."""
    words = [sys.executable, "-W", "ignore", "-c", MAKE, str(folder), str(port)]
    ends = time.monotonic() + 30
    while True:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            return done.stdout.split()[-1]
        assert time.monotonic() < ends, done.stderr + (folder / "out").read_text()
        time.sleep(0.3)


async def _status(bao: OpenBao) -> SealStatus:
    return await until(lambda: bao.seal_status(0))


async def _opens(bao: OpenBao) -> SealStatus:
    async def once() -> SealStatus:
        found = await bao.seal_status(0)
        if found.sealed:
            raise DiscoError("it is sealed")
        return found

    return await until(once)


@pytest.mark.parametrize("opened_by", [transit, kmip])
def test_it_opens_by_itself_and_its_shares_only_recover(
    opened_by: Callable[[Path], AbstractContextManager[Opener]], tmp_path: Path
) -> None:
    """With shares: a root token, other shares; a restart without them, and none without the key."""
    (tmp_path / "opener").mkdir()
    with opened_by(tmp_path / "opener") as opener:
        _opens_by_itself(opener, tmp_path)


def _opens_by_itself(opener: Opener, folder: Path) -> None:
    variables = opener.lay(folder)
    values = {**VALUES, "seal": opener.seal.values()}
    with begun(folder, values, variables) as vault:
        assert vault.do(_status).auto
        answer = vault.do(lambda bao: bao.init(Quorum(("a", "b", "c"), 2)))
        shares: list[str] = answer["recovery_keys_base64"]
        assert len(shares) == 3 and not answer["keys_base64"]
        found = vault.do(_opens)
        assert (found.threshold, found.shares, found.auto) == (2, 3, True)
        root = str(answer["root_token"])

        async def recovers(bao: OpenBao) -> None:
            await until(lambda: bao.call(root, "GET", "sys/mounts"))
            keys = {vault_access.ROOT: root, **vault_access.fresh()}
            own = await vault_access.grant(bao, keys)
            assert await bao.opens_itself()
            assert await vault_rekey.rotates(bao) == "sys/rotate/recovery"
            body = {"secret_shares": 2, "secret_threshold": 2, "require_verification": True}
            await bao.call(own, "POST", "sys/rotate/recovery/init", body)
            now, asks = await vault_rekey.Rotation.read(bao, own)
            assert asks == (2, 2) and now.required == 2
            for share in shares[:2]:
                body = {"key": share, "nonce": now.nonce}
                told = (await bao.call(own, "POST", "sys/rotate/recovery/update", body))["data"]
            assert told["complete"] and len(told["keys_base64"]) == 2
            await bao.call(own, "DELETE", "sys/rotate/recovery/init")
            await bao.call(own, "POST", f"{vault_break_glass.GENERATE}/attempt", {})
            attempt = await Attempt.read(bao, own)
            for share in shares[1:]:
                body = {"key": share, "nonce": attempt.nonce}
                path = f"{vault_break_glass.GENERATE}/update"
                told = (await bao.call(own, "POST", path, body))["data"]
            assert told["complete"] and told["encoded_token"]

        vault.do(recovers)
        vault.stop()
        vault.start(vault.environment)
        began = time.monotonic()
        vault.do(_opens)
        print(f"open {time.monotonic() - began:.1f} s after it started, without a share")
        vault.stop()
        os.kill(opener.pid, signal.SIGSTOP)
        try:
            vault.start(vault.environment)
            time.sleep(3)

            async def silent(bao: OpenBao) -> bool:
                try:
                    return (await bao.seal_status(0)).sealed
                except (DiscoError, httpx2.TransportError):
                    return True

            assert vault.do(silent)
        finally:
            os.kill(opener.pid, signal.SIGCONT)
        vault.do(_opens)
        for secret in opener.secrets.values():
            assert secret not in (folder / "bao.hcl").read_text()
            assert secret not in vault.log
