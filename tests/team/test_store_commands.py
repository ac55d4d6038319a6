"""What people do with secrets at a terminal: values come and go without being seen."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

import keybase_helper
from disco.engine.place import Place
from disco.store import shared
from disco.store.store import Store
from disco.store.team import keys
from disco.store.team.git import BRANCH, Git
from https_server import BACKEND, PASSWORD, USER, https_git
from ssh_server import SSHD, sshd

CANARY = "canary-4711-canary"
DISCO = [sys.executable, "-m", "disco.cli.main"]
STACK = "name: dev\nservers: {provider: local, count: 1}\n"
WITHIN_S = 60
# An editor that notes what every process of the machine shows while it is open, then changes it.
EDITOR = """#!/bin/sh
for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/cmdline; tr '\\0' '\\n' < $p/environ; done \
  > SEEN 2>/dev/null
cp "$1" "$1~"
sed -i s/CANARY/other-value-12/ "$1"
echo "$1" > NAME
"""


class Desk:
    """A folder with a stack file, and a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stack.yaml").write_text(STACK)
        self.environ = {**os.environ, "HOME": str(folder), "NO_COLOR": "1"}
        self.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        self.environ.pop("XDG_STATE_HOME", None)

    def disco(self, *words: str, stdin: str = "", **environ: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*DISCO, *words],
            input=stdin,
            cwd=self.folder,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def must(self, *words: str, stdin: str = "", **environ: str) -> str:
        code, out, err = self.disco(*words, stdin=stdin, **environ)
        assert code == 0, f"{words}: {out}{err}"
        return out


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_value_is_set_got_and_forgotten(desk: Desk) -> None:
    desk.must("secrets", "set", "db/password", stdin=f"{CANARY}\n")
    assert desk.must("secrets", "get", "db/password") == CANARY
    desk.must("secrets", "set", "db/password", "user", stdin="root")
    both = {"user": "root", "value": CANARY}
    assert json.loads(desk.must("secrets", "get", "db/password", "--json")) == both
    desk.must("secrets", "set", "db/password", "--json", stdin='{"only": "this"}')
    assert desk.must("secrets", "get", "db/password") == "this"
    code, _, err = desk.disco("secrets", "get", "db/password", "user")
    assert code == 2 and "its fields are only" in err
    desk.must("secrets", "forget", "db/password", "--yes")
    assert desk.disco("secrets", "get", "db/password")[0] == 1
    history = json.loads(desk.must("secrets", "history", "db/password", "--json"))
    assert [h["what"] for h in history] == ["Forget dev/db/password"] + ["Set dev/db/password"] * 3


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (("set", "db/password"), "", "the value is empty"),
        (("set", "db/password", "--json"), f"{{{CANARY}", "that is no JSON"),
        (("set", "db/password", "--json"), '{"a": 1}', "a field is no text"),
        (("set", "../up"), CANARY, "can't be the name of a secret"),
        (("get", "not/there"), "", "there is no secret dev/not/there"),
        (("rotate", "not/there"), CANARY, "there is no secret not/there"),
        (("history", "not/there"), "", "the stack has no store yet"),
    ],
)
def test_what_can_not_be_is_refused_without_the_value(
    desk: Desk, words: tuple[str, ...], stdin: str, told: str
) -> None:
    code, out, err = desk.disco("secrets", *words, stdin=stdin)
    assert code in (1, 2) and told in err, err
    assert CANARY not in out + err


def test_an_editor_has_the_text_in_memory_and_nobody_sees_it(desk: Desk) -> None:
    desk.must("secrets", "set", "db/password", stdin=CANARY)
    editor, seen, name = (desk.folder / n for n in ("editor", "seen", "name"))
    script = EDITOR.replace("SEEN", str(seen)).replace("NAME", str(name)).replace("CANARY", CANARY)
    editor.write_text(script)
    editor.chmod(0o755)
    desk.must("secrets", "edit", "db/password", EDITOR=str(editor), VISUAL="")
    assert desk.must("secrets", "get", "db/password") == "other-value-12"
    path = Path(name.read_text().strip())
    assert path.is_relative_to("/dev/shm") and not path.parent.exists()
    assert len(seen.read_bytes()) > 1000 and CANARY.encode() not in seen.read_bytes()
    code, _, err = desk.disco("secrets", "edit", "db/password", EDITOR="false", VISUAL="")
    assert code == 1 and "nothing was changed" in err


def test_no_file_below_the_home_and_no_object_of_git_has_the_value(desk: Desk) -> None:
    desk.must("secrets", "set", "db/password", stdin=CANARY)
    desk.must("secrets", "set", "db/password", stdin=f"{CANARY}-2")
    store = Place.of(desk.folder / "stack.yaml", "dev").root / "store.git"
    texts = {str(p): p.read_bytes() for p in desk.folder.rglob("*") if p.is_file()}
    texts |= {name: content for name, _, content in Git(store).everything()}
    assert len(texts) > 20
    forms = (
        CANARY.encode(),
        base64.b64encode(CANARY.encode())[:-4],
        CANARY.encode().hex().encode(),
    )
    assert [n for n, text in texts.items() if any(f in text for f in forms)] == []


def test_secrets_come_from_an_env_file_in_one_commit(desk: Desk) -> None:
    lines = ["# comment", "DB_PASSWORD=one", 'export API_TOKEN="two words"', "", "EMPTY_ONE=''"]
    (desk.folder / "old.env").write_text("\n".join(lines))
    desk.must("store", "import", "env", "old.env", "--under", "legacy")
    names = desk.must("secrets", "list").split()
    assert names == ["legacy/api-token", "legacy/db-password", "legacy/empty-one"]
    assert desk.must("secrets", "get", "legacy/api-token") == "two words"
    assert len(json.loads(desk.must("store", "log", "--json"))) == 2
    code, _, err = desk.disco("store", "import", "env", "old.env", "--under", "legacy")
    assert code == 2 and "there is a secret legacy/api-token already" in err
    (desk.folder / "bad.env").write_text(f"A=1\n{CANARY}\n")
    code, out, err = desk.disco("store", "import", "env", "bad.env")
    assert code == 2 and "bad.env:2" in err and CANARY not in out + err


def test_secrets_come_from_a_sops_file(desk: Desk) -> None:
    if not shutil.which("sops") or not shutil.which("age-keygen"):
        pytest.skip("sops or age is not installed")
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    (desk.folder / "key.txt").write_text(key)
    public = key.split("public key: ")[1].split()[0]
    environ = {"SOPS_AGE_KEY_FILE": str(desk.folder / "key.txt")}
    plain = desk.folder / "plain.yaml"
    plain.write_text("db:\n  user: root\n  passWord: hunter22\nports: [1, 2]\n")
    words = ["sops", "encrypt", "--age", public, "--in-place", str(plain)]
    subprocess.run(words, check=True, env={**os.environ, **environ})
    desk.must("store", "import", "sops", "plain.yaml", **environ)
    assert desk.must("secrets", "list").split() == ["db/password", "db/user", "ports/0", "ports/1"]
    assert desk.must("secrets", "get", "db/password") == "hunter22"


def test_a_remote_is_no_option_of_git(desk: Desk) -> None:
    keys.make(desk.folder / "key", "ana")
    named = ("--team", "acme", "--name", "ana", "--key", "key")
    code, _, err = desk.disco("team", "init", "--remote=--upload-pack=touch pwned", *named)
    assert code == 2 and "a remote can't begin with -" in err
    code, _, err = desk.disco(
        "store", "join", "--root", "a" * 40, "--", "--upload-pack=touch pwned"
    )
    assert code == 2 and not (desk.folder / "pwned").exists()


def test_all_of_it_is_exported_for_one_key(desk: Desk) -> None:
    desk.must("secrets", "set", "db/password", stdin=CANARY)
    keys.make(desk.folder / "other", "other")
    own = keys.Own([desk.folder / "other"])
    desk.must("store", "export", "all.age", "--key", str(own.public[0]))
    sealed = (desk.folder / "all.age").read_bytes()
    assert CANARY.encode() not in sealed
    assert json.loads(own.open(sealed)) == {"db/password": {"value": CANARY}}
    assert desk.disco("store", "export", "all.age", "--key", str(own.public[0]))[0] == 2


def test_a_key_of_an_agent_signs_and_an_age_identity_opens(desk: Desk, tmp_path: Path) -> None:
    keys.make(tmp_path / "key", "ana")
    public = keys.Own([tmp_path / "key"]).public[0]
    (tmp_path / "ana.pub").write_text(f"{public} ana\n")
    (tmp_path / "age.txt").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    (tmp_path / "age.txt").chmod(0o600)
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    known = dict(w.split("=", 1) for w in agent.replace("\n", ";").split(";") if "=" in w)
    known = {k.strip(): v for k, v in known.items()}
    try:
        environ = {"SSH_AUTH_SOCK": known["SSH_AUTH_SOCK"]}
        words = ["ssh-add", "-q", str(tmp_path / "key")]
        subprocess.run(words, check=True, env={**os.environ, **environ})
        (tmp_path / "key").unlink()
        Git(tmp_path / "team.git").init()
        remote = str(tmp_path / "team.git")
        mine = ("--key", "ana.pub", "--key", "age.txt")
        named = ("--team", "acme", "--name", "ana", *mine)
        desk.must("team", "init", "--remote", remote, *named, **environ)
        desk.must("secrets", "set", "db/password", stdin=CANARY, **environ)
        assert desk.must("secrets", "get", "db/password") == CANARY, "reading needs no agent"
        code, _, err = desk.disco("secrets", "set", "db/password", stdin="x", SSH_AUTH_SOCK="")
        assert code == 1 and "commit-tree" in err
        assert desk.must("secrets", "get", "db/password") == CANARY
    finally:
        os.kill(int(known["SSH_AGENT_PID"]), 15)


@pytest.mark.skipif(not SSHD or not Path("/run/sshd").is_dir(), reason="needs OpenSSH's sshd")
def test_a_remote_over_ssh(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    Git(folder / "team.git").init()
    with sshd(folder) as server:
        at = server.host
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{at.port} {at.host_key}\n")
        ssh = f"ssh -i {server.key} -o UserKnownHostsFile={known} -o BatchMode=yes"
        remote = f"ssh://{at.user}@127.0.0.1:{at.port}{folder / 'team.git'}"
        keys.make(tmp_path / "key", "ana")
        named = ("--team", "acme", "--name", "ana", "--key", "key")
        desk.must("team", "init", "--remote", remote, *named, GIT_SSH_COMMAND=ssh)
        desk.must("secrets", "set", "db/password", stdin=CANARY, GIT_SSH_COMMAND=ssh)
        assert desk.must("secrets", "get", "db/password", GIT_SSH_COMMAND=ssh) == CANARY
        status = json.loads(desk.must("store", "status", "--json", GIT_SSH_COMMAND=ssh))
        assert status["commits_to_push"] == 0 and status["lock"] == "free"
    code, out, err = desk.disco("secrets", "get", "db/password", GIT_SSH_COMMAND=ssh)
    assert (code, out) == (0, CANARY) and "can't be reached" in err, "offline, as it was seen last"
    assert desk.disco("history", GIT_SSH_COMMAND=ssh)[0] == 0
    code, _, err = desk.disco("secrets", "set", "db/password", stdin="later", GIT_SSH_COMMAND=ssh)
    assert code == 1 and "what was changed here is kept" in err
    assert desk.must("secrets", "get", "db/password", GIT_SSH_COMMAND=ssh) == "later"


def two_desks(top: Path) -> tuple[Desk, Desk]:
    """Ana's and ben's, each with a key, and an empty repository for both: team.git."""
    for name in ("ana", "ben"):
        (top / name).mkdir()
    ana, ben = Desk(top / "ana"), Desk(top / "ben")
    for desk in (ana, ben):
        keys.make(desk.folder / "key", "x")
    Git(top / "team.git").init()
    return ana, ben


def join(ana: Desk, ben: Desk, remote: str, **environ: str) -> None:
    """Ana begins a team's store there, and ben is in it."""
    named = ("--team", "acme", "--name", "ana", "--key", "key")
    ana.must("team", "init", "--remote", remote, *named, **environ)
    public = str(keys.Own([ben.folder / "key"]).public[0])
    ana.must("team", "add", "ben", "--key", public, **environ)
    root = json.loads(ana.must("store", "status", "--json", **environ))["first_commit"]
    ben.must("store", "join", remote, "--root", root, "--key", "key", **environ)


@pytest.mark.skipif(not BACKEND.exists(), reason="needs git's HTTP backend")
def test_a_remote_over_https_with_a_password(tmp_path: Path) -> None:
    ana, ben = two_desks(tmp_path)
    Git(tmp_path / "team.git").run("config", "http.receivepack", "true")
    ask = tmp_path / "ask"
    ask.write_text(f'#!/bin/sh\ncase "$1" in User*) echo {USER};; *) echo "$FORGE";; esac\n')
    ask.chmod(0o700)
    with https_git(tmp_path, tmp_path) as served:
        login = {"GIT_SSL_CAINFO": str(served.certificate), "GIT_ASKPASS": str(ask)}
        right = {**login, "FORGE": PASSWORD}
        remote = f"{served.url}/team.git"
        named = ("--team", "acme", "--name", "ana", "--key", "key")
        code, _, err = ana.disco("team", "init", "--remote", remote, *named, FORGE="no", **login)
        assert code == 1 and "can't be" in err, err
        join(ana, ben, remote, **right)
        ben.must("secrets", "set", "db/password", stdin=CANARY, **right)
        assert ana.must("secrets", "get", "db/password", **right) == CANARY
        untrusted = {**right, "GIT_SSL_CAINFO": "/etc/ssl/certs/ca-certificates.crt"}
        code, out, err = ana.disco("secrets", "get", "db/password", **untrusted)
        assert (code, out) == (0, CANARY) and "certificate" in err, "as it was seen last"
    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p != ask)
    assert PASSWORD.encode() not in kept and CANARY.encode() not in kept


def test_a_remote_at_keybase_where_two_write_at_once(tmp_path: Path) -> None:
    """Its helper is a stand-in here, and pushes as Keybase's does."""
    ana, ben = two_desks(tmp_path)
    keybase_helper.install(tmp_path / "bin")
    remote = keybase_helper.url_of(tmp_path / "team.git")
    helped = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    join(ana, ben, remote, **helped)
    listed, go_on = tmp_path / "listed", tmp_path / "go-on"
    waits = {**helped, keybase_helper.LISTED: str(listed), keybase_helper.GO_ON: str(go_on)}
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(ana.disco, "secrets", "set", "db/one", stdin=CANARY, **waits)
        end = time.monotonic() + WITHIN_S
        while not listed.exists() and time.monotonic() < end:
            time.sleep(0.02)
        ben.must("secrets", "set", "db/two", stdin="other-value", **helped)
        go_on.touch()
        code, _, err = late.result(WITHIN_S)
    assert code == 0, err
    assert ben.must("secrets", "get", "db/one", **helped) == CANARY
    assert ana.must("secrets", "get", "db/two", **helped) == "other-value"
    history = Git(tmp_path / "team.git").run("log", "--format=%s", BRANCH).decode()
    assert "Set dev/db/one" in history and "Set dev/db/two" in history
    helped["PATH"] = "/usr/bin:/bin"
    code, _, err = ana.disco("secrets", "set", "db/one", stdin="x", **helped)
    assert code == 1 and keybase_helper.NAME in err, "which is not on this machine"


def test_all_who_share_a_stack_know_its_servers_by_one_mark(tmp_path: Path) -> None:
    ana, ben = two_desks(tmp_path)
    place = Place.of(ana.folder / "stack.yaml", "dev")
    first = place.id
    place.open()
    place.declared.write_text('{"components": {}}')
    join(ana, ben, str(tmp_path / "team.git"))
    assert Place.of(ben.folder / "stack.yaml", "dev").id == first
    assert Place.of(ana.folder / "stack.yaml", "dev").id == first
    store = Store(Place.of(ben.folder / "stack.yaml", "dev"))
    shared.take(store)
    assert store.place.declared.read_text() == place.declared.read_text(), "what leaves is missed"


def test_who_alone_can_read_a_secret_is_taken_out_when_it_was_given_up(tmp_path: Path) -> None:
    ana, ben = two_desks(tmp_path)
    join(ana, ben, str(tmp_path / "team.git"))
    ana.must("team", "access", "dev/pay/*", "ben")
    ben.must("secrets", "set", "pay/card", stdin="4111\n")
    ana.must("store", "sync")

    code, _, err = ana.disco("team", "remove", "ben", "--yes")
    assert code == 2
    assert "nobody but ben may read dev/pay/card" in err
    assert "disco secrets forget pay/card" in err
    ana.must("secrets", "forget", "pay/card", "--yes")
    ana.must("team", "remove", "ben", "--yes")
    assert list(json.loads(ana.must("team", "list", "--json"))["members"]) == ["ana"]
