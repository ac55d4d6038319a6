"""A vault of three pods that another one's transit engine opens: restarted, sealed by hand, without
the other one, put back from a snapshot, and by its recovery key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from stack import DISCO, UP_S, LabStack, lab_stack, until
from tools import Tools

from disco.artifacts.obtain import Artifacts
from disco.engine.secret import SecretRef
from disco.layers.platform.openbao import NAMESPACE, OpenBao
from disco.store import certificates

NETWORK = "10.88.239.0/24"
ADDRESS, PORT = "10.88.239.1", 18239  # this machine, as the stack's hosts reach it
KEY, ROOT = "lab", "another-root"
GROUND = f"""
name: auto
servers: {{provider: local, count: 1, network: {NETWORK}}}
kubernetes: {{metrics_server: false}}
"""
PODS = ("openbao-0", "openbao-1", "openbao-2")


@contextmanager
def another(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """A vault with a transit engine; its process, its authority's certificate, a token for the
    key."""
    ca, key = certificates.authority("another", 30)
    crt, private = certificates.server_certificate(ca, key, (ADDRESS, "another"), 30)
    for name, text in (("ca.crt", ca), ("tls.crt", crt), ("tls.key", private)):
        (folder / name).write_text(text)
    (folder / "bao.hcl").write_text(
        f'listener "tcp" {{\n  address = "{ADDRESS}:{PORT}"\n'
        f'  tls_cert_file = "{folder}/tls.crt"\n  tls_key_file = "{folder}/tls.key"\n}}\n'
        'storage "inmem" {}\n'
    )
    subprocess.run([*DISCO, "artifacts", "obtain", "--yes", "bao"], check=True, timeout=UP_S)
    held = Artifacts().held("bao")
    assert held
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [held.path, "server", f"-config={folder}/bao.hcl"], stdout=log, stderr=log
        )
    try:
        with httpx2.Client(
            base_url=f"https://{ADDRESS}:{PORT}/v1/", verify=str(folder / "ca.crt"), trust_env=False
        ) as http:
            yield process, ca, until("it has a token", lambda: _token(http), 60)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()


def _token(http: httpx2.Client) -> str:
    try:
        begun = http.put("sys/init", json={"secret_shares": 1, "secret_threshold": 1}).json()
    except httpx2.TransportError:
        return ""
    http.put("sys/unseal", json={"key": begun["keys"][0]}).raise_for_status()
    http.headers["X-Vault-Token"] = begun["root_token"]
    may = "\n".join(
        f'path "transit/{does}/{KEY}" {{ capabilities = ["update"] }}'
        for does in ("encrypt", "decrypt")
    )
    until("it leads", lambda: http.get("sys/mounts").status_code == 200, 30)
    http.post("sys/mounts/transit", json={"type": "transit"}).raise_for_status()
    http.post(f"transit/keys/{KEY}").raise_for_status()
    http.put(f"sys/policies/acl/{KEY}", json={"policy": may}).raise_for_status()
    body = {"policies": [KEY], "period": "24h", "no_parent": True}
    made = http.post("auth/token/create", json=body).raise_for_status().json()
    return str(made["auth"]["client_token"])


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LabStack, int]]:
    """The stack with its vault, and the process of the other one."""
    folder = tmp_path_factory.mktemp("auto")
    with lab_stack(folder, GROUND) as stack:
        stack.must("up", "--yes", within_s=UP_S)  # the other one listens on the network's address
        place = tmp_path_factory.mktemp("another")
        with another(place) as (process, ca, token):
            said = {
                "url": f"https://{ADDRESS}:{PORT}",
                "key": KEY,
                "token": "${secret:vault/transit}",
                "authority": ca,
            }
            vault = {"replicas": 3, "seal": {"transit": said}}
            stack.put("vault/transit", token)
            stack.file.write_text(f"{GROUND}vault: {json.dumps(vault)}\n")
            plan = stack.must("plan", "--commands")
            assert "unsealed by transit" in plan and token not in plan
            begun = time.monotonic()
            stack.must("up", "--yes", within_s=UP_S)
            print(f"up with its vault {time.monotonic() - begun:.0f} s")
            assert token not in stack.place.journal.read_text()
            yield stack, process.pid


@pytest.fixture
def stack(other: tuple[LabStack, int]) -> LabStack:
    return other[0]


def is_open(t: Tools) -> bool:
    """By the label that each pod gives itself."""
    found = t.get("-n", NAMESPACE, "pods", "-l", "openbao-sealed=false")["items"]
    return sorted(p["metadata"]["name"] for p in found) == list(PODS)


def ready(t: Tools) -> int:
    found = t.get("-n", NAMESPACE, "statefulset/openbao")["status"]
    return int(found.get("readyReplicas", 0))


def test_all_pods_restarted_are_open_again_without_anybody(stack: LabStack) -> None:
    t = Tools(stack)
    assert ready(t) == 3
    t.kubectl("-n", NAMESPACE, "delete", "pods", *PODS, "--now")
    begun = time.monotonic()
    until("all pods are open", lambda: ready(t) == 3 and is_open(t), 90)
    print(f"three pods open {time.monotonic() - begun:.1f} s after all were deleted")
    stack.must("check", "--only", "vault", "--wait", "60")
    assert "Nothing to do" in stack.disco("apply", "--yes").stderr


def test_one_that_was_sealed_by_hand_is_mended(stack: LabStack) -> None:
    t = Tools(stack)

    async def seal(bao: OpenBao, token: str) -> None:
        for pod in range(3):
            if await bao.leads(pod):
                await bao.seal(pod, token)

    t.vault(seal)
    code, rows = t.checks("vault/unsealed")
    assert code == 3 and "is sealed" in rows["vault/unsealed"].evidence
    stack.must("apply", "--yes", within_s=300)
    stack.must("check", "--only", "vault", "--wait", "60")
    refused = stack.disco("vault", "seal", "--yes")
    assert refused.returncode == 2 and "can't be kept sealed" in refused.stderr


def test_without_the_other_one_those_that_run_stay_open(other: tuple[LabStack, int]) -> None:
    stack, pid = other
    t = Tools(stack)
    os.kill(pid, signal.SIGSTOP)
    try:
        t.kubectl("-n", NAMESPACE, "delete", "pod", "openbao-2", "--now")
        until("it is not ready", lambda: ready(t) == 2, 60)
        time.sleep(5)
        assert ready(t) == 2
        code, rows = t.checks("vault/unsealed")
        assert code == 3 and "openbao-2" in rows["vault/unsealed"].evidence

        async def write(bao: OpenBao, token: str) -> None:
            await bao.call(token, "POST", "kv/data/lab", {"data": {"value": "kept"}})

        t.vault(write)
    finally:
        os.kill(pid, signal.SIGCONT)
    begun = time.monotonic()
    until("it is open", lambda: ready(t) == 3, 120)
    print(f"open {time.monotonic() - begun:.1f} s after the other one answered again")


def test_a_snapshot_is_put_back_and_every_pod_has_it(stack: LabStack) -> None:
    t, file = Tools(stack), stack.folder / "vault.age"

    async def read(bao: OpenBao, token: str) -> object:
        return await bao.read(token, "lab")

    async def spoil(bao: OpenBao, token: str) -> None:
        await bao.call(token, "POST", "kv/data/lab", {"data": {"value": "spoilt"}})

    assert t.vault(read) == {"value": "kept"}
    stack.must("vault", "snapshot", "--to", str(file))
    t.vault(spoil)
    stack.must("vault", "restore", str(file), "--yes", "--allow-destroy", within_s=300)
    assert t.vault(read) == {"value": "kept"}
    until("all pods are open", lambda: ready(t) == 3, 90)
    t.kubectl("-n", NAMESPACE, "delete", "pod", _leader(t), "--now")
    until("all pods are open", lambda: ready(t) == 3, 90)
    until("somebody leads", lambda: _leader(t), 30)
    assert t.vault(read) == {"value": "kept"}  # by one that was a standby
    stack.must("check", "--only", "vault", "--wait", "60")


def _leader(t: Tools) -> str:
    found = t.get("-n", NAMESPACE, "pods", "-l", "openbao-active=true")["items"]
    return str(found[0]["metadata"]["name"]) if found else ""


def test_its_recovery_key_makes_a_root_token_and_opens_nothing(stack: LabStack) -> None:
    to = stack.folder / "root"
    words = ("vault", "break-glass", "--reason", "lab", "--to", str(to), "--yes")
    stack.must(*words)
    assert to.read_text().startswith("s.")
    stack.must("vault", "break-glass", "--end")


def test_another_key_is_refused_while_it_is_there(stack: LabStack) -> None:
    text = stack.file.read_text()
    stack.file.write_text(text.replace(f'"key": "{KEY}"', '"key": "none"'))
    try:
        refused = stack.disco("plan")
        assert refused.returncode == 1, refused.stdout + refused.stderr
        assert "what opens the vault can't be changed while it is there" in refused.stderr
    finally:
        stack.file.write_text(text)


def test_the_token_is_in_its_secret_alone(stack: LabStack) -> None:
    t = Tools(stack)
    value = t.store.lookup(SecretRef("vault/transit", "value"))
    for kind in ("configmaps", "statefulsets", "pods"):
        assert value not in json.dumps(t.get("-n", NAMESPACE, kind))
    for pod in PODS:
        assert value not in t.kubectl("-n", NAMESPACE, "logs", pod)
    args = t.on_host("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert value not in args
