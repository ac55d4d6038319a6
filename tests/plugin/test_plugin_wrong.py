"""Packages that bring something that can't be: an error that names each of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from disco.chains import registry as chains
from disco.engine.errors import Several, WrongUse
from disco.layers import registry
from plugin_packages import SOUND, Disco, write

WRONG = {
    "raises": ("raise RuntimeError('half')", "can't be loaded: RuntimeError: half"),
    "exits": ("raise SystemExit(3)", "can't be loaded: SystemExit: 3"),
    "nothing": ("", "can't be loaded: AttributeError"),
    "number": ("C = 7", "is no component"),
    "newer": (
        SOUND.replace("contract = 1", "contract = 2"),
        "was made for another DISCO: it was written for contract 2; this DISCO has contract 1",
    ),
    "unversioned": (SOUND.replace("contract = 1", ""), "written for none that it names"),
    "vaults": (SOUND.replace('"other"', '"vault"'), "section `vault` of a stack file is taken by"),
    "names": (SOUND.replace('"other"', '"name"'), "section `name` of a stack file is taken by"),
    "spelled": (SOUND.replace('"other"', '"An-other"'), "its section is 'An-other'"),
    "sectionless": (SOUND.replace('section = "other"', ""), "its section is None"),
    "high": (SOUND.replace("Layer.SERVICES", "7"), "its layer is 7; choose one of Layer.SERVERS"),
    "layerless": (SOUND.replace("layer = Layer.SERVICES", ""), "its layer is None"),
    "stepless": (SOUND.replace("def steps", "def stops"), "it does not define steps"),
    "specless": (SOUND.replace("    spec: S\n", ""), "its annotations can't be read"),
    "giving": (SOUND.replace(" -> O", ""), "its annotations can't be read"),
    "odd": (SOUND.replace("spec: S", "spec: S\n    to: 'Gone'"), "its annotations can't be read"),
}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which packages are found; what was imported from it is forgotten."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


def refusals() -> list[str]:
    with pytest.raises(Several) as refused:
        registry.components()
    assert all(isinstance(e, WrongUse) and e.fix for e in refused.value.errors)
    return [str(e) for e in refused.value.errors]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_component_is_told_with_its_package(packages: Path, name: str) -> None:
    code, told = WRONG[name]
    write(packages, f"wrong_{name}", code, "C")

    (said,) = refusals()
    assert f"thing of the package wrong_{name} 1.0 " in said
    assert told in said


def test_all_wrong_packages_are_told_at_once(packages: Path) -> None:
    write(packages, "first_wrong", "raise RuntimeError('one')", "C")
    write(packages, "second_wrong", "C = 7", "C")
    write(packages, "third_sound", SOUND, "C")

    said = refusals()
    assert len(said) == 2
    assert "first_wrong 1.0" in said[0] and "second_wrong 1.0" in said[1]


def test_of_two_packages_with_one_section_the_error_names_both(packages: Path) -> None:
    write(packages, "a_package", SOUND, "C")
    write(packages, "b_package", SOUND, "C")

    (said,) = refusals()
    assert "thing of the package b_package 1.0" in said
    assert "the section `other` of a stack file is taken by a_package 1.0" in said


def test_a_sound_component_is_one_more(packages: Path) -> None:
    write(packages, "sound_package", SOUND, "C")

    assert registry.components()[:-1] == registry.OWN
    assert registry.sections()[-1].key == "other"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit", "thing of the package odd_chains 1.0 can't be loaded"),
        ("C = 7", "thing of the package odd_chains 1.0 names no chains"),
        ("C = [7]", "thing of the package odd_chains 1.0 names no chains"),
        ("C = '/nowhere/x.yaml'", "there is no such chain definition"),
    ],
)
def test_what_is_wrong_with_chains_is_told_with_their_package(
    packages: Path, code: str, told: str
) -> None:
    write(packages, "odd_chains", code, "C", group="disco.chains")

    with pytest.raises(WrongUse) as refused:
        chains.chains()
    assert told in str(refused.value)


def test_help_is_there_whatever_is_installed_and_other_commands_name_the_package(
    tmp_path: Path,
) -> None:
    write(tmp_path, "broken_package", "raise RuntimeError('half')", "C")
    disco = Disco(tmp_path, tmp_path)

    assert disco("--help").code == disco("up", "--help").code == 0
    said = disco("schema")
    assert said.code == 2
    assert (
        "error: broken_package:C: thing of the package broken_package 1.0 can't be loaded"
        in said.err
    )
    assert "fix: mend that package, or: pip uninstall broken_package" in said.err
    assert "Traceback" not in said.err
