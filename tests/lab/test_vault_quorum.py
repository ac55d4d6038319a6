"""A team of three opens its vault of three pods with two shares: each from a folder and with an own
key. Its cluster is destroyed, and another two of them open what was kept in a new one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import UP_S, LabStack, lab_stack, until
from tools import Tools

from disco.layers.platform import quorum
from disco.layers.platform.openbao import KEYS, OpenBao
from disco.store.store import Store
from disco.store.team import keys

GROUND = """
name: ground
servers: {provider: local, count: 3, network: 10.88.229.0/24}
"""
CANARY = "quorum-canary-51d7"
HOLDERS = ("anna", "ben", "carla")
PODS = 3


class Team:
    """anna, ben and carla share a stack on three servers; dora is an operator without a share."""

    def __init__(self, ground: LabStack) -> None:
        self.ground, self.top = ground, ground.file.parent
        store = Store(ground.place)
        login = self.top / "login"
        login.write_text(store.fields("servers/login")["private"])
        login.chmod(0o600)
        self.text = (
            "name: ours\nkubernetes: {metrics_server: false}\n"
            f"vault: {{replicas: 3, holders: [{', '.join(HOLDERS)}], threshold: 2}}\n"
            "servers:\n  provider: ssh\n  hosts:\n"
        )
        for n in (1, 2, 3):
            pinned = store.fields(f"servers/h{n}/host-key")["public"].split()[:2]
            self.text += (
                f"    - {{name: h{n}, address: 10.88.229.{10 + n}, key: {login}, "
                f"host_key: '{' '.join(pinned)}'}}\n"
            )
        self.remote = self.top / "team.git"
        words = ["git", "init", "-q", "--bare", "--initial-branch=main", str(self.remote)]
        subprocess.run(words, check=True)

    def member(self, name: str) -> LabStack:
        folder = self.top / name
        if not folder.exists():
            folder.mkdir()
            keys.make(folder / "key", name)
            (folder / "stack.yaml").write_text(self.text)
        return LabStack("ours", folder / "stack.yaml")

    def found(self) -> None:
        anna = self.member("anna")
        remote, key = str(self.remote), str(anna.folder / "key")
        words = ("--remote", remote, "--team", "acme", "--name", "anna", "--key", key)
        anna.must("team", "init", *words)
        for name in ("ben", "carla", "dora"):
            public = str(keys.Own([self.member(name).folder / "key"]).public[0])
            anna.must("team", "add", name, "--key", public)
        root = json.loads(anna.must("store", "status", "--json"))["first_commit"]
        for name in ("ben", "carla", "dora"):
            stack = self.member(name)
            key = str(stack.folder / "key")
            stack.must("store", "join", remote, "--root", root, "--key", key)

    def share(self, name: str) -> str:
        return Store(self.member(name).place).lookup(quorum.share(name))

    def texts(self) -> Iterator[tuple[Path, bytes]]:
        """Every file of everybody's, git's objects packed as they are."""
        for path in self.top.rglob("*"):
            if path.is_file():
                yield path, path.read_bytes()


@pytest.fixture
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with lab_stack(tmp_path_factory.mktemp("ground"), GROUND) as ground:
        ground.must("apply", "--yes", within_s=UP_S)
        yield Team(ground)


async def _write(bao: OpenBao, token: str) -> None:
    await bao.call(token, "POST", "kv/data/drill", {"data": {"value": CANARY}})


async def _read(bao: OpenBao, token: str) -> object:
    return await bao.read(token, "drill")


def pods(stack: LabStack) -> tuple[int, list[dict[str, object]]]:
    done = stack.disco("vault", "status", "--json")
    return done.returncode, json.loads(done.stdout)["pods"]


def sealed(stack: LabStack) -> int:
    """How many of the pods are."""
    return sum(bool(p.get("sealed")) for p in pods(stack)[1])


def led(stack: LabStack) -> bool:
    return any(p.get("leads") for p in pods(stack)[1])


def test_two_of_three_open_the_vault_and_nobody_alone(team: Team) -> None:
    anna = team.member("anna")
    refused = anna.disco("apply", "--yes")
    assert refused.returncode == 2 and "disco team init" in refused.stderr, refused.stderr
    team.found()
    ben, carla, dora = (team.member(n) for n in ("ben", "carla", "dora"))
    said = anna.disco("up", "--yes", within_s=UP_S)
    assert said.returncode == 0, said.stdout + said.stderr
    Tools(anna).vault(_write)
    code, found = pods(anna)
    assert code == 0 and sum(bool(p["leads"]) for p in found) == 1
    assert {(p["threshold"], p["shares"]) for p in found} == {(2, 3)} and len(found) == PODS
    assert "unseal_0" not in Store(anna.place).fields(KEYS)
    ben.must("store", "sync")
    assert ben.must("secrets", "who-can-read", "vault/share-carla").split() == ["carla"]
    assert ben.disco("secrets", "get", "vault/share-carla").returncode == 2

    names = [f"openbao-{n}" for n in range(PODS)]
    Tools(anna).kubectl("-n", "vault", "delete", "pod", *names, "--wait=true")
    until("all are sealed", lambda: sealed(anna) == PODS, 90)
    code, rows = Tools(anna).checks("vault/unsealed")
    row = rows["vault/unsealed"]
    assert code == 3 and not row.ok and all(n in row.evidence for n in names)
    assert "2 of anna, ben, carla" in row.fix and "disco vault unseal" in row.fix
    plan = anna.disco("plan").stdout
    assert "apply stops there until 2 of anna, ben, carla" in plan, plan
    stopped = anna.disco("apply", "--yes")
    assert stopped.returncode == 1 and "its holders have to open it" in stopped.stderr
    assert "disco vault unseal" in stopped.stderr

    stranger = dora.disco("vault", "unseal")
    assert stranger.returncode == 2 and "dora has no share" in stranger.stderr, stranger.stderr
    for _ in range(2):  # the same share counts once
        first = ben.disco("vault", "unseal")
        assert first.returncode == 0, first.stderr
        for name in names:
            wanted = f"{name}: 1 of 2 given; still needed: anna or carla"
            assert wanted in first.stderr, first.stderr
        assert sealed(ben) == PODS
    second = carla.disco("vault", "unseal")
    assert second.returncode == 0 and "The vault is unsealed" in second.stderr, second.stderr
    until("one leads", lambda: led(carla), 60)
    assert sealed(carla) == 0
    assert Tools(carla).vault(_read) == {"value": CANARY}
    carla.must("check", "--only", "vault", "--wait", "60")

    sealing = anna.disco("vault", "seal", "--yes")
    assert sealing.returncode == 0 and "no pod gets a secret from it" in sealing.stderr
    assert sealed(anna) == PODS
    for one in (anna, ben):
        one.must("vault", "unseal")
    assert sealed(anna) == 0
    told = [said, first, second, stopped, sealing]
    shares = [team.share(n) for n in HOLDERS]
    assert not [s for s in shares for t in told if s in t.stdout + t.stderr]
    assert not [p for s in shares for p, content in team.texts() if s.encode() in content]
    file = anna.folder / "vault.age"
    anna.must("vault", "snapshot", "--to", str(file))
    break_glass(team, anna, ben)
    new_shares(team, anna, ben, dora)
    put_back(file, anna, ben, dora)
    anna.must("down", "--yes", "--allow-destroy", within_s=600)


def break_glass(team: Team, anna: LabStack, ben: LabStack) -> None:
    """Two shares make a root token that lives a while, and everybody sees it."""
    words = ("vault", "break-glass", "--reason", "a drill", "--yes", "--to")
    first = anna.disco(*words, str(anna.folder / "token"))
    assert first.returncode == 0 and "1 of 2 given" in first.stderr, first.stderr
    assert not (anna.folder / "token").exists()
    ben.must("store", "sync")
    row = Tools(ben).checks("vault/break-glass")[1]["vault/break-glass"]
    assert not row.ok and "1 of 2 given" in row.evidence and "anna" in row.evidence, row
    second = ben.disco(*words, str(ben.folder / "token"))
    assert second.returncode == 0, second.stderr
    token = (ben.folder / "token").read_text().strip()

    async def policies(bao: OpenBao, _: str) -> object:
        return (await bao.call(token, "GET", "auth/token/lookup-self"))["data"]["policies"]

    assert Tools(ben).vault(policies) == ["root"]
    row = Tools(anna).checks("vault/break-glass")[1]["vault/break-glass"]
    assert not row.ok and "by ben: a drill" in row.evidence, row
    secrets = [token, *(team.share(n) for n in HOLDERS)]
    assert not [s for s in secrets for t in (first, second) if s in t.stdout + t.stderr]
    assert [p for p, c in team.texts() if token.encode() in c] == [ben.folder / "token"]
    anna.must("vault", "break-glass", "--end")
    assert Tools(ben).checks("vault/break-glass")[0] == 0


def new_shares(team: Team, anna: LabStack, ben: LabStack, dora: LabStack) -> None:
    """carla leaves with a share, dora comes: two of the old holders make new ones."""
    assert anna.disco("team", "remove", "carla", "--yes").returncode == 0
    owed = Tools(anna).checks("store/owed")[1]["store/owed"]
    assert not owed.ok
    assert "vault/share-carla" in anna.disco("secrets", "list", "--owed").stdout
    for one in (anna, ben, dora):
        one.file.write_text(team.text.replace("carla", "dora"))
    row = Tools(anna).checks("vault/shares")[1]["vault/shares"]
    assert not row.ok and "dora: has no share" in row.evidence, row
    assert "carla: left with a share" in row.evidence and "disco vault rekey" in row.fix, row
    ben.must("store", "sync")
    old = [team.share(n) for n in ("anna", "ben")]
    first = anna.disco("vault", "rekey")
    assert first.returncode == 0, first.stderr
    assert "1 of 2 given; still needed: 1 of ben" in first.stderr, first.stderr
    second = ben.disco("vault", "rekey")
    assert second.returncode == 0 and "The vault has new shares" in second.stderr, second.stderr
    for one in (anna, dora):
        one.must("store", "sync")
    new = [team.share(n) for n in ("anna", "ben", "dora")]
    assert not set(new) & set(old)
    assert not [s for s in (*new, *old) for t in (first, second) if s in t.stdout + t.stderr]
    anna.must("check", "--only", "vault/shares")
    assert "vault/share" not in anna.disco("secrets", "list", "--owed").stdout
    anna.must("vault", "seal", "--yes")
    for one in (dora, anna):
        one.must("vault", "unseal")
    until("one leads", lambda: led(anna), 60)
    assert Tools(dora).vault(_read) == {"value": CANARY}


def put_back(file: Path, anna: LabStack, ben: LabStack, dora: LabStack) -> None:
    """The cluster is destroyed; a snapshot from before carla left is opened in a new one, by those
    of its holders who are still there. dora, who had no share of it, can't."""
    anna.must("down", "--yes", "--allow-destroy", within_s=600)
    anna.must("apply", "--yes", within_s=600)  # not up: what carla could read is owed still
    assert Tools(anna).vault(_read) is None
    words = ("vault", "restore", str(file), "--yes", "--allow-destroy")
    stopped = anna.disco(*words, within_s=300)
    assert stopped.returncode == 1 and "its holders have to open it" in stopped.stderr
    assert "it takes 2 of anna, ben" in stopped.stderr, stopped.stderr
    assert "then: disco apply" in stopped.stderr and "once more" not in stopped.stderr
    until("all are sealed", lambda: sealed(anna) == PODS, 60)  # who leads ends a moment later
    assert dora.disco("vault", "unseal").returncode == 2
    for one in (ben, anna):
        one.must("vault", "unseal")
    until("one leads", lambda: led(ben), 60)
    assert sealed(ben) == 0
    assert Tools(ben).vault(_read) == {"value": CANARY}
    done = ben.disco("apply", "--yes", within_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
