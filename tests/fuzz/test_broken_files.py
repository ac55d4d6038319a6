"""Three thousand broken files of every kind. `make fuzz` tries a hundred thousand.

A failure names the input's number: `FUZZ_INPUT=n` judges that one alone, for a debugger.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fuzz.campaign import broken, run
from fuzz.judge import Judge
from fuzz.originals import ORIGINALS, SHARES

INPUTS, PARTS = 3_000, 6
SEED = int(os.environ.get("FUZZ_SEED", "1"))


def inputs(part: int) -> range:
    if alone := os.environ.get("FUZZ_INPUT"):
        number = int(alone)
        return range(number, number + 1) if part == number % PARTS else range(0)
    return range(part * INPUTS // PARTS, (part + 1) * INPUTS // PARTS)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_broken_file_is_taken_or_refused_in_its_place(part: int) -> None:
    wrong = run(SEED, inputs(part)).divergences

    assert not wrong, "\n".join(f"input {n}: {text}" for n, text in [*wrong.items()][:8])


def test_every_kind_of_file_is_broken_in_many_ways() -> None:
    found = [broken(SEED, number) for number in range(1_000)]

    assert {kind for kind, _ in found} == {*ORIGINALS} == {*SHARES}
    assert len({content for _, content in found}) > 900


def test_the_same_number_breaks_a_file_in_the_same_way() -> None:
    assert [broken(SEED, n) for n in range(50)] == [broken(SEED, n) for n in range(50)]


@pytest.mark.parametrize("kind", [*ORIGINALS])
def test_whole_files_are_taken(kind: str, tmp_path: Path) -> None:
    assert Judge(tmp_path)(kind, ORIGINALS[kind][0])
