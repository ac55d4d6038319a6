"""A server's health is read from what a real one prints, and judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from disco.checks.counted import counted
from disco.engine.errors import DiscoError
from disco.layers.servers import health
from disco.layers.servers.health import GIB, MIB, Room, parse

TOLD = """clock 1000.5
up_s 4211
disk / 264212084 57992120
inodes / 16777216 15900000
disk /var/log 1024 0
memory 24682496 21705728
units 129
failed broken.service
restart linux-image libc6
"""


def seen(text: str = TOLD, asked: float = 1000.0, answered: float = 1001.0) -> health.Health:
    return parse("h1", text, asked, answered)


def test_what_a_server_prints_is_read() -> None:
    found = seen()
    assert found.disks == {
        "/": Room(264212084 * 1024, 57992120 * 1024),
        "/var/log": Room(1024 * 1024, 0),
    }
    assert found.inodes == {"/": Room(16777216, 15900000)}
    assert found.memory == Room(24682496 * 1024, 21705728 * 1024)
    assert (found.units, found.failed) == (129, ("broken.service",))
    assert found.restart == ("linux-image", "libc6")


@pytest.mark.parametrize("missing", ["clock", "up_s", "memory", "units", "disk"])
def test_an_answer_with_something_missing_is_no_answer(missing: str) -> None:
    text = "\n".join(line for line in TOLD.splitlines() if not line.startswith(missing))
    with pytest.raises(DiscoError, match="can't be read"):
        seen(text)


@pytest.mark.parametrize(
    ("asked", "answered", "fault"),
    [
        (1000.0, 1001.0, ""),
        (970.6, 970.7, ""),  # 29.8 s ahead
        (970.0, 970.1, "+30 s off"),
        (1031.0, 1032.0, "-30 s off"),
        (940.0, 941.0, "+60 s off"),
    ],
)
def test_a_clock_is_off_by_what_the_question_did_not_take(
    asked: float, answered: float, fault: str
) -> None:
    assert health.clock(seen(TOLD, asked, answered)) == fault


@pytest.mark.parametrize(
    ("room", "fault"),
    [
        (Room(100 * GIB, 3 * GIB), ""),
        (Room(100 * GIB, 1 * GIB), "1.0 GiB of 100.0 GiB free on /"),
        (Room(1 * GIB, 200 * MIB), ""),
        (Room(1 * GIB, 50 * MIB), "50 MiB of 1.0 GiB free on /"),
    ],
)
def test_a_disk_is_full_by_its_size(room: Room, fault: str) -> None:
    assert health.disk(replace(seen(), disks={"/": room}, inodes={})) == fault


def test_a_disk_without_inodes_is_full() -> None:
    found = replace(seen(), disks={}, inodes={"/": Room(1000, 40)})
    assert health.disk(found) == "40 of 1000 inodes free on /"


def test_a_limit_of_the_servers_own_counts_and_what_can_be_given_back_is_free() -> None:
    limited = seen(f"{TOLD}limit {GIB} {GIB - 50 * MIB} {30 * MIB}\n")
    assert limited.memory == Room(GIB, 80 * MIB)
    assert health.memory(limited) == "80 MiB of 1.0 GiB free"


@pytest.mark.parametrize("limit", ["9223372036854771712", "max"])
def test_a_limit_above_the_memory_is_none(limit: str) -> None:
    assert seen(f"{TOLD}limit {limit} 500 0\n").memory == seen().memory


def test_failed_units_and_a_due_restart_are_named() -> None:
    assert health.units(seen()) == "failed: broken.service"
    assert health.units(replace(seen(), units=0, failed=())) == "systemd lists no unit"
    assert health.restart(seen()) == "due for linux-image, libc6"
    assert health.restart(replace(seen(), restart=())) == "due"
    assert health.restart(replace(seen(), restart=None)) == ""


def test_every_host_is_counted_by_its_name() -> None:
    answer = counted({"h1": "", "h2": health.units(seen())}, "servers without a failed unit")
    assert answer.evidence == "1 of 2 servers without a failed unit; h2: failed: broken.service"
