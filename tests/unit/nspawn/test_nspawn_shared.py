from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.nspawn import shared
from disco.nspawn.machine import Network

PANIC = "kernel/panic"


class Place:
    """A machine's /proc/sys, /run and links, in a folder."""

    def __init__(self, top: Path, patch: pytest.MonkeyPatch) -> None:
        self.top, self.sys, self.links = top, top / "sys", top / "links"
        (self.sys / "kernel").mkdir(parents=True)
        self.links.mkdir()
        self.panic = self.sys / PANIC
        self.panic.write_text("1\n")
        patch.setattr(shared, "FOLDER", top / "run")
        patch.setattr(shared, "RECORD", top / "run/shared.json")
        patch.setattr(shared, "NETNS", top / "netns")
        patch.setattr(shared, "SYS", self.sys)
        patch.setattr(shared, "LINKS", self.links)
        patch.setattr(shared, "DIRECTORIES", (str(top / "a"), str(top / "a/b")))

    def stack(self, stack_id: str) -> Network:
        network = Network(stack_id, "10.88.210.0/24", str(self.top / stack_id))
        (self.links / network.bridge).mkdir()
        return network

    def drop(self, network: Network) -> None:
        (self.links / network.bridge).rmdir()
        asyncio.run(shared.give_back(network))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_what_a_host_changed_is_put_back_after_the_last_one(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    place.panic.write_text("10\n")
    place.drop(stack)
    assert place.panic.read_text().strip() == "1"
    assert not shared.RECORD.exists()
    assert not shared.FOLDER.exists()


def test_making_the_network_again_does_not_take_changed_values_for_the_first(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    place.panic.write_text("10\n")
    shared.borrow(stack)
    place.drop(stack)
    assert place.panic.read_text().strip() == "1"


@pytest.mark.parametrize("first_leaves_first", [True, False])
def test_of_two_stacks_the_last_puts_back(place: Place, first_leaves_first: bool) -> None:
    first, second = place.stack("aaaaaaaa"), place.stack("bbbbbbbb")
    shared.borrow(first)
    place.panic.write_text("10\n")
    shared.borrow(second)
    order = [first, second] if first_leaves_first else [second, first]
    place.drop(order[0])
    assert place.panic.read_text().strip() == "10"
    place.drop(order[1])
    assert place.panic.read_text().strip() == "1"


def test_a_stack_whose_bridge_is_gone_does_not_keep_the_values(place: Place) -> None:
    lost, stack = place.stack("aaaaaaaa"), place.stack("bbbbbbbb")
    shared.borrow(lost)
    place.panic.write_text("10\n")
    shared.borrow(stack)
    (place.links / lost.bridge).rmdir()
    place.drop(stack)
    assert place.panic.read_text().strip() == "1"


def test_the_stacks_own_copy_serves_when_run_was_emptied(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    place.panic.write_text("10\n")
    shared.RECORD.unlink()
    shared.borrow(stack)
    place.drop(stack)
    assert place.panic.read_text().strip() == "1"


def test_a_record_from_before_a_restart_is_not_used(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    for path in (shared.RECORD, stack.record):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"machine_boot": "before"}))
    place.panic.write_text("7\n")
    shared.borrow(stack)
    place.panic.write_text("10\n")
    place.drop(stack)
    assert place.panic.read_text().strip() == "7"


def test_a_setting_that_cannot_be_put_back_is_named(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    place.panic.unlink()
    place.panic.mkdir()
    with pytest.raises(DiscoError, match=r"kernel\.panic = 1"):
        place.drop(stack)


def test_folders_that_were_not_there_before_are_removed_when_empty(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    (place.top / "a/b").mkdir(parents=True)
    place.drop(stack)
    assert not (place.top / "a").exists()


def test_a_file_of_somebody_elses_keeps_its_folder(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    (place.top / "a/b").mkdir(parents=True)
    (place.top / "a/other").touch()
    place.drop(stack)
    assert (place.top / "a/other").exists()
    assert not (place.top / "a/b").exists()


def test_what_a_run_that_died_while_it_wrote_left_goes_with_the_last_stack(place: Place) -> None:
    stack = place.stack("aaaaaaaa")
    shared.borrow(stack)
    (shared.FOLDER / f".{shared.RECORD.name}.4711.tmp").write_text("{")
    place.drop(stack)
    assert not shared.FOLDER.exists()
