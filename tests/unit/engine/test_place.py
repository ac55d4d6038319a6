"""The state folder: its owner's only, and never used by a program or machine that may not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from disco.engine.errors import WrongUse
from disco.engine.place import FORMAT, Place, machine_id, write_atomically


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "deep" / "state")


def marked(place: Place, content: str) -> None:
    place.open()
    (place.root / "state.json").write_text(content)


def refusal(place: Place) -> WrongUse:
    with pytest.raises(WrongUse) as caught:
        place.open()
    return caught.value


def test_it_is_made_for_its_owner_only_and_opened_again(place: Place) -> None:
    os.umask(0o022)
    place.open()
    place.open()

    assert place.root.stat().st_mode & 0o777 == 0o700
    assert (place.root / "state.json").stat().st_mode & 0o777 == 0o600


def test_rights_that_somebody_widened_are_narrowed_again(place: Place) -> None:
    place.open()
    place.root.chmod(0o755)

    place.open()
    assert place.root.stat().st_mode & 0o777 == 0o700


def test_a_newer_format_is_refused_with_the_number_and_nothing_is_changed(place: Place) -> None:
    marked(place, json.dumps({"format": FORMAT + 1, "machine": machine_id()}))
    before = (place.root / "state.json").read_bytes()

    error = refusal(place)
    assert f"format {FORMAT + 1}" in error.what and error.fix
    assert (place.root / "state.json").read_bytes() == before


def test_the_folder_of_another_machine_is_refused_with_its_name(place: Place) -> None:
    marked(place, json.dumps({"format": FORMAT, "machine": "0" * 32, "host": "laptop"}))

    error = refusal(place)
    assert "another machine (laptop)" in error.what and str(place.root) in error.fix


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", "{}", '{"format": null}', '{"format": "x"}', "\x00"),
        *('{"format": Infinity}', '{"format": 1e400}', "[" * 100_000),
    ],
    ids=lambda content: content[:20],
)
def test_a_marker_that_can_not_be_read_is_named(place: Place, content: str) -> None:
    marked(place, content)

    error = refusal(place)
    assert "marker" in error.what and error.where.endswith("state.json") and error.fix


def test_a_marker_that_is_no_text_is_named(place: Place) -> None:
    place.open()
    (place.root / "state.json").write_bytes(b"\xff\xfe\x00")

    assert "marker" in refusal(place).what


def test_a_file_where_the_folder_should_be_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")

    error = refusal(Place(tmp_path / "state" / "devnet"))
    assert error.what == "the state folder can't be made"
    assert str(tmp_path / "state") in error.where and error.fix


def test_the_folder_is_beside_the_stack_file_or_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISCO_STATE", raising=False)
    assert Place.of(tmp_path / "stack.yaml", "x").root == tmp_path / ".disco" / "x"
    monkeypatch.setenv("DISCO_STATE", str(tmp_path / "far"))
    there = Place.of(tmp_path / "stack.yaml", "x")
    assert (there.root, there.stack_folder) == (tmp_path / "far" / "x", tmp_path)


def test_ids_of_two_folders_differ_and_stay(tmp_path: Path) -> None:
    one, other = Place(tmp_path / "one"), Place(tmp_path / "other")

    assert one.id != other.id and one.id == Place(tmp_path / "one").id
    assert len(one.id) == 8 and int(one.id, 16) >= 0


def test_a_file_is_replaced_as_a_whole_with_the_wanted_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"old", 0o644)
    assert path.stat().st_mode & 0o777 == 0o644

    write_atomically(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()  # can't be replaced by a file
    with pytest.raises(OSError):
        write_atomically(path, b"new")

    assert path.is_dir()
    assert list(tmp_path.iterdir()) == [path]
