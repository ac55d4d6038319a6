"""`disco doctor` names what is wrong with its fix, changes nothing, and never waits for long."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_said import Disco

from disco.checks.runner import ask_within
from disco.cli import looking
from disco.cli.findings import Finding, Kind, in_order
from disco.engine.check import Answer, Check
from disco.engine.journal import Journal
from disco.engine.place import Place
from disco.store import generate
from disco.store.generate import Generator
from disco.store.redact import PUBLIC_FIELDS
from disco.store.store import Store
from ssh_server import SSHD, sshd
from thorough import every

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDEyMzQ1"
SSH = """\
name: lab
servers:
  provider: ssh
  hosts:
  - {{name: h1, address: {address}, port: {port}, key: id, host_key: "{host_key}"}}
kubernetes: {{}}
vault: {{}}
"""
ERROR = {"what": "the vault is sealed", "where": "vault", "why": "3 of 5", "fix": "unseal it"}


@pytest.fixture
def given(stack: Path) -> Path:
    """A stack whose one server's sshd does not listen."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "id"], check=True)
    stack.write_text(SSH.format(address="127.0.0.1", port=1, host_key=HOST_KEY))
    return stack


@pytest.fixture
def bare(stack: Path) -> Path:
    """A stack that needs no server and no artifact: all of it is there."""
    stack.write_text("name: lab\n")
    return stack


def failed(stack: Path, **end: Any) -> Journal:
    journal = Journal(Place.of(stack, "lab").journal)
    note = {"run": "aa11", "step": "vault/open", "action": "init vault"}
    journal.write("run", run="aa11", who="me@here", what="up", steps=4, version="1", plan="0f")
    journal.write("intent", **note)
    journal.write("failed", **note, error="vault: the vault is sealed: 3 of 5")
    counts = {"done": 1, "failed": 1, "skipped": 2, "seconds": 3.0}
    why = {"vault did not come up": ["akash/a", "akash/b"]}
    told = {"outcome": "failed", "errors": [ERROR], "why_skipped": why, **counts}
    journal.write("end", run="aa11", **(told | end))
    return journal


def found(disco: Disco, *arguments: str) -> list[dict[str, Any]]:
    said = disco("doctor", "--json", *arguments)
    listed: list[dict[str, Any]] = json.loads(said.out)["found"]
    assert said.code == (3 if any(f["kind"] != "mended" for f in listed) else 0)
    return listed


@pytest.mark.usefixtures("bare")
def test_nothing_wrong_is_told_and_gives_0(disco: Disco) -> None:
    said = disco("doctor")
    assert (said.code, said.out) == (0, "")
    assert "Nothing found." in said.err
    assert "disco 0." in said.err


def test_a_stack_file_with_mistakes_is_wrong_use(disco: Disco, stack: Path) -> None:
    stack.write_text("name: 7\n")
    assert disco("doctor").code == 2


@pytest.mark.usefixtures("given")
def test_the_host_that_does_not_answer_comes_first_with_its_fix(disco: Disco) -> None:
    first = found(disco)[0]
    assert (first["kind"], first["what"]) == ("host", "the connection was lost or refused")
    assert first["where"].startswith("h1 ") and first["fix"]
    said = disco("doctor")
    assert said.out.startswith("1. h1 (root@127.0.0.1:1): ")
    assert "\n   fix: " in said.out


def test_it_leaves_nothing_behind(disco: Disco, given: Path) -> None:
    before = sorted(given.parent.rglob("*"))
    disco("doctor")
    assert sorted(given.parent.rglob("*")) == before


def test_a_host_that_takes_the_connection_and_says_nothing_is_named_in_bounded_time(
    disco: Disco, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "HOST_S", 0.5)
    monkeypatch.setattr(looking, "TOTAL_S", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        given.write_text(SSH.format(address="127.0.0.1", port=port, host_key=HOST_KEY))
        begun = time.monotonic()
        said = json.loads(disco("doctor", "--json").out)
        took = time.monotonic() - begun
    assert took < 5
    assert (said["found"][0]["kind"], said["found"][0]["where"]) == ("host", "h1")
    assert "what is missing: no answer in time" in said["not_looked_at"]


@pytest.mark.usefixtures("bare")
def test_a_look_that_takes_too_long_is_a_finding_and_hides_no_other(
    disco: Disco, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "TOTAL_S", 0.0)
    listed = found(disco)
    assert {f["kind"] for f in listed} == {"late"}
    assert "what is missing: no answer in time" in [f["what"] for f in listed]


def test_what_failed_in_the_last_run_has_place_reason_and_fix(disco: Disco, given: Path) -> None:
    failed(given)
    listed = found(disco)
    one = next(f for f in listed if f["kind"] == "failed")
    assert {k: one[k] for k in ERROR} == ERROR
    assert one["details"] == ["in vault/open: init vault"]
    skipped = next(f for f in listed if f["kind"] == "skipped")
    assert skipped["what"] == "2 steps skipped: vault did not come up"
    assert skipped["details"] == ["akash/a", "akash/b"]
    assert "1 done, 1 failed, 2 skipped of 4" in disco("doctor").err


def test_a_failure_of_an_older_journal_is_told_by_what_it_has(disco: Disco, given: Path) -> None:
    failed(given, errors=[])
    one = next(f for f in found(disco) if f["kind"] == "failed")
    assert (one["where"], one["what"]) == ("vault/open", "init vault failed")
    assert one["why"] == "vault: the vault is sealed: 3 of 5"


def test_a_run_killed_inside_an_action_is_told_with_the_lock_that_is_free(
    disco: Disco, given: Path
) -> None:
    journal = failed(given)
    journal.write("run", run="bb22", who="me@here", what="up", steps=1)
    journal.write("intent", run="bb22", step="servers/h1", action="boot h1")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    note = {"pid": gone.pid, "who": "me@here", "what": "up", "at": time.time() - 1}
    Place.of(given, "lab").lock.write_text(json.dumps(note))
    cut = next(f for f in found(disco) if f["kind"] == "cut off")
    assert cut["what"] == "the last run was cut off inside 1 action"
    assert cut["details"] == ["servers/h1: boot h1"]
    assert cut["fix"].startswith("disco up; ")
    assert "which held the lock, is gone: it is free" in disco("doctor").err


def test_a_run_that_goes_on_is_told_with_who_runs_it_and_is_no_finding(
    disco: Disco, bare: Path
) -> None:
    journal = Journal(Place.of(bare, "lab").journal)
    journal.write("run", run="bb22", who="me@here", what="up", steps=1)
    journal.write("intent", run="bb22", step="servers/h1", action="boot h1")
    note = {"pid": os.getpid(), "who": "me@here", "what": "up"}
    Place.of(bare, "lab").lock.write_text(json.dumps(note))
    assert found(disco) == []
    assert f"disco up by me@here (process {os.getpid()})" in disco("doctor").err
    assert json.loads(disco("doctor", "--json").out)["running"]["who"] == "me@here"


def test_a_failure_after_which_nothing_is_missing_is_told_as_over(disco: Disco, bare: Path) -> None:
    failed(bare)
    (one,) = found(disco)
    assert (one["kind"], one["details"][0]) == ("mended", "vault: the vault is sealed")


def test_a_journal_cut_off_at_any_byte_is_diagnosed(disco: Disco, bare: Path) -> None:
    failed(bare)
    file = Place.of(bare, "lab").journal
    content = file.read_bytes()
    for length in range(0, len(content) + 1, every(17)):
        file.write_bytes(content[:length])
        assert disco("doctor").code in (0, 3), length


def test_what_is_missing_is_told_and_an_artifact_that_was_damaged(
    disco: Disco, stack: Path
) -> None:
    stack.write_text("name: lab\nartifacts: {also: [akash]}\n")
    (first,) = found(disco)
    assert (first["what"], first["fix"]) == ("nothing was made yet", "disco up")
    shelf = stack.parent / "cache/programs/akash/0123"
    shelf.mkdir(parents=True)
    meta = {"name": "akash", "version": "1", "key": "0123", "file": "akash", "sha256": "0" * 64}
    meta |= {"size": 5, "mtime_ns": 1, "origin": "build", "inputs": "", "toolchain": "", "more": {}}
    (shelf / "meta.json").write_text(json.dumps(meta))
    damaged = next(f for f in found(disco) if f["kind"] == "artifact")
    assert damaged["fix"] == f"rm -r {shelf}; disco artifacts obtain akash"


@pytest.mark.usefixtures("ordinary")
def test_without_root_it_says_so_and_looks_at_the_rest(disco: Disco, stack: Path) -> None:
    failed(stack)
    kinds = [f["kind"] for f in found(disco)]
    assert kinds[0] == "rights"
    assert "failed" in kinds


def test_a_state_folder_of_somebody_else_is_named(
    disco: Disco, stack: Path, request: pytest.FixtureRequest
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder of somebody else")
    failed(stack)
    request.getfixturevalue("ordinary")
    first = found(disco)[0]
    assert (first["kind"], first["why"]) == ("rights", "permission denied")
    assert "sudo" in first["fix"]


def test_a_state_folder_of_a_newer_disco_is_named(disco: Disco, stack: Path) -> None:
    failed(stack)
    Place.of(stack, "lab").marker.write_text(json.dumps({"format": 99}))
    assert found(disco)[0]["kind"] == "state"


@pytest.mark.usefixtures("bare")
def test_a_cache_that_can_not_be_written_is_named(
    disco: Disco, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCO_CACHE", "/proc/nothing")
    (one,) = found(disco)
    assert (one["kind"], one["where"], one["what"]) == (
        "rights",
        "/proc/nothing",
        "can't be written",
    )


def test_an_error_that_nobody_foresaw_is_told_once_with_its_step(disco: Disco, stack: Path) -> None:
    failed(stack, errors=[ERROR | {"what": "a mistake", "where": "", "why": "E: sealed"}])
    journal = Place.of(stack, "lab").journal
    journal.write_text(journal.read_text().replace("vault: the vault is sealed: 3 of 5", "sealed"))
    (one,) = [f for f in found(disco) if f["kind"] == "failed"]
    assert (one["what"], one["details"]) == ("a mistake", ["in vault/open: init vault"])


@pytest.mark.skipif(not SSHD or os.geteuid() != 0, reason="no sshd that a root can run")
def test_a_host_that_answers_is_asked_its_checks_and_a_red_one_has_its_logs_in_the_bundle(
    disco: Disco, stack: Path
) -> None:
    with sshd(stack.parent) as server:
        host = server.host
        text = SSH.format(address=host.address, port=host.port, host_key=host.host_key)
        stack.write_text(text.partition("kubernetes")[0].replace("key: id", f"key: {host.key}"))
        said = json.loads(disco("doctor", "--json", "--bundle", "b.tar.gz").out)
    assert not [f for f in said["found"] if f["what"] == "the connection was lost or refused"]
    inside = unpacked(stack.parent / "b.tar.gz")
    answers = {a["check"]: a["ok"] for a in json.loads(inside["checks.json"])}
    assert answers["servers/ssh"]
    red = {f["what"].removesuffix(" is red") for f in said["found"] if f["kind"] == "check"}
    assert red == {check for check, ok in answers.items() if not ok}
    assert {f["name"] for f in said["bundle"]["files"]} == set(inside)
    hosts_too = any(f["kind"] in ("host", "check") for f in said["found"])
    assert ("logs/h1.log" in inside) == hosts_too


def test_a_nearly_full_disk_is_named_with_what_is_free() -> None:
    (one,) = looking.of_room({"/a": looking.ROOM_BYTES - 1, "/b": looking.ROOM_BYTES})
    assert (one.kind, one.where) == (Kind.DISK, "/a")


def test_one_thing_found_in_two_ways_is_told_once_in_its_likeliest_place() -> None:
    def one(kind: Kind, what: str) -> Finding:
        return Finding(kind, what, "h1")

    told = in_order([one(Kind.CHECK, "b"), one(Kind.FAILED, "a"), one(Kind.HOST, "a")])
    assert [(f.kind, f.what) for f in told] == [(Kind.HOST, "a"), (Kind.CHECK, "b")]


def test_checks_that_do_not_answer_in_time_hide_no_other() -> None:
    async def slow() -> Answer:
        await asyncio.sleep(60)
        return Answer(True, "")

    async def quick() -> Answer:
        return Answer(False, "red")

    async def ask() -> list[str]:
        checks = [Check("a/slow", "?", "", slow), Check("a/quick", "?", "", quick)]
        return [a.check.id for a in await ask_within(checks, 0.3, 8)]

    assert asyncio.run(ask()) == ["a/quick"]


def kinds_of_secrets() -> Iterator[type[Generator]]:
    for kind in vars(generate).values():
        if isinstance(kind, type) and issubclass(kind, Generator) and kind is not Generator:
            yield kind


def filled(store: Store) -> list[bytes]:
    """A canary in every field of every kind of secret that may not be seen."""
    canaries = []
    for number, kind in enumerate(kinds_of_secrets()):
        wanted = [f for f in dataclasses.fields(kind) if f.init]
        fields = kind(*(16 if f.type == "int" else "x" for f in wanted)).make()
        for field in fields:
            if field not in PUBLIC_FIELDS:
                canaries.append(f"canary-{number}-{field}-{os.urandom(9).hex()}".encode())
                armour = "-----BEGIN-----\n{}\n-----END-----\n" if "\n" in fields[field] else "{}"
                fields[field] = armour.format(canaries[-1].decode())
        store.put(f"kinds/{kind.__name__.lower()}", fields)
    return canaries


def forms(canary: bytes) -> Iterator[str]:
    """What it looks like in plain, hex, and base64 wherever it stands in what is encoded."""
    yield canary.decode()
    yield canary.hex()
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + canary + b"yz").decode()
        yield encoded[4 : len(canary)]


def test_a_bundle_holds_no_secret_in_plain_base64_or_hex(
    disco: Disco, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries = filled(Store(Place.of(given, "lab")))
    assert len(canaries) >= 11
    name = "canary-env-" + os.urandom(9).hex()
    monkeypatch.setenv("WHERE", name)
    given.write_text(SSH.format(address="'${env:WHERE}'", port=1, host_key=HOST_KEY))
    canaries.append(name.encode())
    leaks = [f for c in canaries for f in (c.decode(), c.hex())]
    leaks += ["." * n + c.decode() for c in canaries for n in (590, 1990)]
    leaks += [base64.b64encode(b"a" * n + c + b"b").decode() for c in canaries for n in range(3)]
    leaks += [(b"{" + c + b"}").hex().upper() for c in canaries]
    why = {"stopped": leaks}
    failed(given, errors=[{**ERROR, "why": leak} for leak in leaks], why_skipped=why)
    said = disco("doctor", "--bundle", "b.tar.gz")
    assert said.code == 3
    inside = unpacked(given.parent / "b.tar.gz")
    assert {"stack.yaml", "config.txt", "journal.jsonl", "doctor.json"} <= set(inside)
    assert "${env:WHERE}" in inside["stack.yaml"]
    assert "[secret]" in inside["journal.jsonl"]
    for file, text in inside.items():
        held = [f for c in canaries for f in forms(c) if f in text or f.upper() in text]
        assert not held, (file, held[:3])


def unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        members = {m.name.partition("/")[2]: archive.extractfile(m) for m in archive}
        return {n: f.read().decode() for n, f in members.items() if f}


def test_a_bundle_is_its_owners_alone_and_its_contents_are_listed(disco: Disco, bare: Path) -> None:
    failed(bare)
    said = disco("doctor", "--bundle", "b.tar.gz")
    path = bare.parent / "b.tar.gz"
    assert path.stat().st_mode & 0o777 == 0o600
    inside = unpacked(path)
    assert all(f"\n{name} " in said.out for name in inside)
    assert json.loads(inside["versions.json"])["disco"]
    assert [json.loads(line)["event"] for line in inside["journal.jsonl"].splitlines()][-1] == "end"


def test_a_bundle_is_never_written_over_a_file(disco: Disco, bare: Path) -> None:
    (bare.parent / "mine").write_text("mine")
    assert disco("doctor", "--bundle", "mine").code == 2
    assert disco("doctor", "--bundle", "nowhere/b.tar.gz").code == 2
    assert (bare.parent / "mine").read_text() == "mine"


def test_what_a_program_said_is_left_out_while_a_secret_can_not_be_opened(
    disco: Disco, bare: Path
) -> None:
    failed(bare)
    store = Store(Place.of(bare, "lab"))
    store.put("some/password", {"value": "canary-canary"})
    store.shelf.write("Damage it", files={"secrets/lab/some/password.age": b"damaged"})
    disco("doctor", "--bundle", "b.tar.gz")
    inside = unpacked(bare.parent / "b.tar.gz")
    assert "some/password" in inside["left-out.txt"]
    assert not {"journal.jsonl", "doctor.json", "checks.json"} & set(inside)
