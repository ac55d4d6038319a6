"""Sessions, probes and executors against a real sshd on loopback."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disco.engine.errors import DiscoError, NotThere
from disco.engine.secret import SecretRef, Text
from disco.hosts.actions import AwaitHost, Program, Put, Run
from disco.hosts.connection import Connection
from disco.hosts.execute import HostExecutors
from disco.hosts.reader import Hosts
from disco.hosts.sessions import Sessions
from ssh_server import SSHD, Server, free_port

pytestmark = pytest.mark.skipif(
    not SSHD or (not Path("/run/sshd").exists() and os.geteuid() != 0),
    reason="needs OpenSSH's sshd and its folder /run/sshd",
)
CANARY = "canary-5f2c9a"


def lookup(ref: SecretRef) -> str:
    if ref.name == "missing":
        raise NotThere("there is no secret missing")
    return CANARY


def quiet(note: str, share: float | None = None) -> None:
    return None


@pytest.fixture
async def sessions(server: Server) -> AsyncIterator[Sessions]:
    made = Sessions(lookup)
    yield made
    await made.close()


@pytest.fixture
def executors(sessions: Sessions, tmp_path: Path) -> HostExecutors:
    return HostExecutors(sessions, lookup, lambda name: tmp_path / name)


async def test_a_program_runs_and_its_code_and_output_come_back(
    server: Server, sessions: Sessions
) -> None:
    done = await sessions.run(server.host, ["sh", "-c", "cat; echo bad >&2; exit 7"], b"in")
    assert (done.code, done.out, done.err) == (7, "in", "bad\n")


async def test_arguments_reach_the_program_as_they_are(server: Server, sessions: Sessions) -> None:
    words = ["a b", "$HOME", "'", '"', "*", "\\", "ü"]
    out = await sessions.must(server.host, ["printf", "%s|", *words])
    assert out.split("|")[:-1] == words


async def test_a_failing_program_is_an_error_that_names_the_host(
    server: Server, sessions: Sessions
) -> None:
    with pytest.raises(DiscoError) as caught:
        await sessions.must(server.host, ["sh", "-c", "echo no such thing >&2; exit 3"])
    assert caught.value.where == "h1"
    assert "no such thing" in caught.value.why


async def test_a_program_that_hangs_is_given_up(server: Server, sessions: Sessions) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(DiscoError, match="no answer in time"):
            await sessions.run(server.host, ["sleep", "20"], within_s=0.3)
    assert (await sessions.run(server.host, ["true"])).ok, "a new connection is made"


async def test_what_is_followed_can_be_left_while_it_goes_on(
    server: Server, sessions: Sessions
) -> None:
    lines = sessions.follow(server.host, ["sh", "-c", "echo one; sleep 20"])
    async with asyncio.timeout(10):
        assert await anext(lines) == "one\n"
        await lines.aclose()  # type: ignore[attr-defined]
    assert (await sessions.run(server.host, ["true"])).ok


async def test_a_program_that_ends_before_its_input_is_written_has_its_code_and_output(
    server: Server, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine: it was started, and DISCO goes on when it has ended."""

    class Late(Connection):
        async def start(self, line: str, **how: Any) -> Any:
            process = await super().start(line, **how)
            await asyncio.sleep(0.3)
            return process

    monkeypatch.setattr("disco.hosts.sessions.Connection", Late)
    done = await sessions.run(server.host, ["sh", "-c", "echo out; exit 7"])
    assert (done.code, done.out) == (7, "out\n")
    assert (await sessions.run(server.host, ["true"], b"in")).ok


async def test_another_host_key_is_refused(server: Server, sessions: Sessions) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGMdFg9mC0lYm1Y0Sz3Nq0jG8JdQm2e6m8m3N1Kq0d9E"
    with pytest.raises(DiscoError, match="host key is not the pinned one"):
        await sessions.run(replace(server.host, host_key=other), ["true"])


async def test_no_host_key_is_refused_with_the_way_to_get_one(
    server: Server, sessions: Sessions
) -> None:
    with pytest.raises(DiscoError) as caught:
        await sessions.run(replace(server.host, host_key=""), ["true"])
    assert "ssh-keyscan" in caught.value.fix


async def test_nobody_listening_is_not_there_and_no_wrong_key(
    server: Server, sessions: Sessions
) -> None:
    reader = Hosts(sessions, lookup)
    assert await reader.answers(server.host)
    assert not await reader.answers(replace(server.host, port=free_port()))


async def test_a_file_is_put_whole_with_its_mode_and_then_recognised(
    server: Server, sessions: Sessions, executors: HostExecutors, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "er" / "file"
    put = Put(server.host, str(path), Text.of("user=", SecretRef("a"), "\n"), 0o600)
    reader = Hosts(sessions, lookup)
    assert await reader.satisfied(server.host, [put]) == frozenset()
    await executors.put(put, quiet)
    assert path.read_text() == f"user={CANARY}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["file"], "no temporary file is left"
    assert await reader.satisfied(server.host, [put]) == {put.identity}


async def test_a_file_that_can_not_be_put_leaves_nothing_behind(
    server: Server, executors: HostExecutors, tmp_path: Path
) -> None:
    taken = tmp_path / "folder" / "taken"
    taken.mkdir(parents=True)
    with pytest.raises(DiscoError) as failed:
        await executors.put(Put(server.host, str(taken), Text.of("x"), 0o600), quiet)
    assert "directory" in failed.value.why
    assert [p.name for p in taken.parent.iterdir()] == ["taken"]
    assert not list(taken.iterdir())


@pytest.mark.parametrize("change", ["content", "mode", "gone"])
async def test_a_changed_file_is_noticed(
    server: Server, sessions: Sessions, executors: HostExecutors, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "file"
    put = Put(server.host, str(path), Text.of("as declared\n"))
    await executors.put(put, quiet)
    if change == "content":
        path.write_text("by hand\n")
    elif change == "mode":
        path.chmod(0o666)
    else:
        path.unlink()
    assert await Hosts(sessions, lookup).satisfied(server.host, [put]) == frozenset()


async def test_an_action_whose_secret_is_not_made_yet_is_not_done(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    put = Put(server.host, str(tmp_path / "x"), Text.of(SecretRef("missing")))
    assert await Hosts(sessions, lookup).satisfied(server.host, [put]) == frozenset()


async def test_probes_are_asked_in_one_round_trip(
    server: Server, sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    run = sessions.must

    async def counted(*args: Any, **more: Any) -> str:
        asked.append(args)
        return await run(*args, **more)

    monkeypatch.setattr(sessions, "must", counted)
    runs = [Run(server.host, ("true",), f"r{i}", done="true") for i in range(40)]
    found = await Hosts(sessions, lookup).satisfied(server.host, runs)
    assert len(found) == 40
    assert len(asked) == 1


async def test_a_damaged_program_is_not_put_in_place(
    server: Server, executors: HostExecutors, tmp_path: Path
) -> None:
    (tmp_path / "tool").write_bytes(b"#!/bin/sh\n")
    program = Program(server.host, "tool", "0" * 64, (str(tmp_path / "bin" / "tool"),))
    program = _under(program, tmp_path)
    with pytest.raises(DiscoError, match="ended with 1"):
        await executors.program(program, quiet)
    assert not Path(program.target).exists()


def _under(program: Program, folder: Path) -> Program:
    """The same program, kept below a folder of the test instead of /opt."""

    class Elsewhere(Program):
        @property
        def target(self) -> str:
            return str(folder / "opt" / self.artifact)

    return Elsewhere(program.host, program.artifact, program.sha256, program.names)


async def test_a_program_that_ends_while_it_is_sent_a_file_says_why(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(32 << 20))
    script = "head -c 100000 > /dev/null; echo no space left >&2; exit 3"
    with pytest.raises(DiscoError) as failed:
        await sessions.send(server.host, ["sh", "-c", script], big, lambda share: None)
    assert "ended with 3" in failed.value.what
    assert failed.value.why == "no space left"


async def test_waiting_ends_with_what_was_seen_last(
    server: Server, executors: HostExecutors
) -> None:
    wait = AwaitHost(server.host, "pigs fly", "echo still walking >&2; false", 0.4)
    with pytest.raises(DiscoError) as caught:
        await executors.await_host(wait, quiet)
    assert "still walking" in caught.value.why
    assert "pigs fly" in caught.value.what


async def test_waiting_ends_when_it_is_so(
    server: Server, executors: HostExecutors, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    notes: list[str] = []

    def see(note: str, share: float | None = None) -> None:
        notes.append(note)
        flag.touch()

    await executors.await_host(AwaitHost(server.host, "flag", f"test -e {flag}", 10), see)
    assert notes, "it said that it waits"


async def test_facts_of_this_machine_are_true(server: Server, sessions: Sessions) -> None:
    facts = await Hosts(sessions, lookup).facts(server.host)
    assert facts.cpus == len(os.sched_getaffinity(0))
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert server.host.port in facts.ports
    assert abs(facts.clock_offset_s) < 1
