"""The lock file: first figure wins, faults have a line."""

from pathlib import Path

import pytest

from disco.artifacts.lock import Figure, Lock
from disco.engine.errors import DiscoError

A, B = "a" * 64, "b" * 64
HELM = Figure("helm", "4.3.1", "download", "amd64")


def test_a_figure_survives_writing_and_reading(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "disco.lock")
    lock.settle(HELM, A, "published")
    lock.save()
    found = Lock.beside(tmp_path / "stack.yaml").find(HELM)
    assert found is not None and found.sha256 == A and found.verified == "published"


def test_a_missing_file_holds_nothing(tmp_path: Path) -> None:
    assert Lock.load(tmp_path / "disco.lock").find(HELM) is None


def test_another_figure_for_the_same_thing_is_an_error_that_names_both(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "disco.lock")
    lock.settle(HELM, A, "x")
    lock.settle(HELM, A, "x")
    with pytest.raises(DiscoError) as caught:
        lock.settle(HELM, B, "x")
    assert A in caught.value.what and B in caught.value.what
    assert str(tmp_path) in caught.value.where


def test_another_version_or_other_inputs_are_another_thing(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "disco.lock")
    lock.settle(Figure("kube", "1", "build", "amd64", "in1"), A, "x")
    lock.settle(Figure("kube", "1", "build", "amd64", "in2"), B, "x")
    lock.settle(Figure("kube", "1", "build", "arm64", "in2"), A, "x")
    found = lock.find(Figure("kube", "1", "build", "amd64", "in2"))
    assert found is not None and found.sha256 == B
    assert lock.find(Figure("kube", "1", "build", "amd64", "in1")) is None


def test_the_file_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    texts = []
    figures = [HELM, Figure("age", "1", "build", "amd64"), Figure("age", "1", "download", "amd64")]
    for order in (figures, figures[::-1]):
        lock = Lock(tmp_path / "disco.lock")
        for figure in order:
            lock.settle(figure, A, "x")
        lock.save()
        texts.append(lock.path.read_text())
    assert texts[0] == texts[1]
    assert texts[0].index("age:") < texts[0].index("helm:")


GOOD = f"""format: 1
artifacts:
  helm:
  - version: 4.3.1
    source: download
    arch: amd64
    sha256: {A}
    verified: x
    when: '2026-01-01'
"""


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (A, "abc", "7:5"),
        ("    source: download\n", "", "4:5"),
        ("  helm:\n", "  helm: {\n", "4:3"),
        ("format: 1", "format: 2", "1:1"),
        ("    arch: amd64\n", "<<<<<<< HEAD\n    arch: amd64\n", "7:9"),
        ("    arch: amd64\n", "    arch: amd64\n    arch: amd64\n", "7:5"),
        ("verified: x", "verified: \xff", "8:15"),
        ("    arch: amd64\n", "    arch: &a [*a]\n", "6:11"),
        ("  helm:\n", f"  {'[' * 60}\n  helm:\n", "3:34"),
        ("verified: x", "verified: \x7f", "8:15"),
        ("helm:", "*helm :", "3:3"),
    ],
)
def test_a_broken_file_is_told_in_its_place(tmp_path: Path, old: str, new: str, place: str) -> None:
    path = tmp_path / "disco.lock"
    path.write_text(GOOD)
    assert Lock.load(path).find(HELM) is not None
    path.write_text(GOOD.replace(old, new), "latin-1")
    with pytest.raises(DiscoError) as caught:
        Lock.load(path)
    assert caught.value.where == f"{path}:{place}"
    assert caught.value.fix


@pytest.mark.parametrize("text", ["[]", "format: 1", "artifacts: {}", "just words", "a: b: c"])
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "disco.lock"
    path.write_text(text)
    with pytest.raises(DiscoError, match="lock file"):
        Lock.load(path)
