"""What was changed by hand on a host is told field by field, over a real sshd."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from disco.engine.drift import Difference
from disco.engine.secret import SecretRef, Text
from disco.hosts import drift
from disco.hosts.actions import HostAction, Packages, Program, Put
from disco.hosts.sessions import Sessions
from ssh_server import SSHD, Server

CANARY = "c4nary-in-a-file"
pytestmark = pytest.mark.skipif(
    not SSHD or (not Path("/run/sshd").exists() and os.geteuid() != 0),
    reason="needs OpenSSH's sshd and its folder /run/sshd",
)


def lookup(ref: SecretRef) -> str:
    return CANARY


@pytest.fixture
async def sessions() -> AsyncIterator[Sessions]:
    opened = Sessions(lookup)
    yield opened
    await opened.close()


async def told(sessions: Sessions, action: HostAction) -> list[Difference]:
    return await drift.of_action(sessions, lookup, action)


async def test_a_file_is_shown_line_by_line_with_its_owner(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    path.write_text("=== a\nmine\nthree\n")
    path.chmod(0o640)
    put = Put(server.host, str(path), Text.of("=== a\ntwo\nthree\n"), 0o600)

    mode, content = await told(sessions, put)

    assert (mode.field, mode.now, mode.declared) == ("mode", "640", "600")
    assert content.now.splitlines() == ["-two", "+mine"]
    assert content.owner.startswith(path.owner())


async def test_a_file_that_holds_a_secret_is_only_said_to_be_another(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    path.write_text(f"key={CANARY}x\n")
    path.chmod(0o600)
    put = Put(server.host, str(path), Text.of("key=", SecretRef("a"), "\n"), 0o600)

    (found,) = await told(sessions, put)

    assert found.now == "another"
    assert CANARY not in repr(found)


async def test_a_long_difference_is_cut_and_counted(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    path.write_text("".join(f"{i}\n" for i in range(100)))
    path.chmod(0o644)
    (found,) = await told(sessions, Put(server.host, str(path), Text.of("")))
    assert found.now.splitlines()[-1] == f"… {100 - drift.LINES} more lines"


async def test_what_is_gone_is_said_to_be_gone(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    put = Put(server.host, str(tmp_path / "none"), Text.of("x"))
    assert await told(sessions, put) == [Difference(put.touches, "", "gone")]


async def test_nothing_is_told_of_what_is_as_declared(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    path.chmod(0o644)
    assert await told(sessions, Put(server.host, str(path), Text.of("x"))) == []


async def test_a_name_that_leads_elsewhere_is_shown(
    server: Server, sessions: Sessions, tmp_path: Path
) -> None:
    name = tmp_path / "tool"
    name.symlink_to("/bin/false")
    program = Program(server.host, "tool", "ab" * 32, (str(name), str(tmp_path / "other")))
    first, second = await told(sessions, program)
    assert (first.now, first.declared) == ("/bin/false", program.target)
    assert second.now == "no link of ours"


async def test_a_package_that_is_not_installed_is_named(server: Server, sessions: Sessions) -> None:
    packages = Packages(server.host, ("dpkg", "no-such-package-anywhere"))
    (found,) = await told(sessions, packages)
    assert found == Difference(
        "h1:package no-such-package-anywhere", "", "not installed", "installed"
    )
