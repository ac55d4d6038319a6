"""The definitions that come with DISCO are valid; mistakes in others are shown in their place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from disco.chains import Command, chains, find, load
from disco.chains.commands import FAMILIES, fill, unknown_placeholders
from disco.engine.errors import Exit, Several, WrongUse

MINE = """\
name: mine
title: Mine
version: v1
image: localhost/mine
binary: mined
env_prefix: MINED
home: /home/chain
denom: umine
address_prefix: mine
minimum_gas_price: 0umine
family: sdk50
networks:
  local: {chain_id: mine-1}
"""


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_akash_comes_with_its_networks() -> None:
    akash = chains()["akash"]
    assert (akash.binary, akash.denom, akash.address_prefix) == ("akash", "uakt", "akash")
    assert akash.image_reference == f"localhost/akash:{akash.version}"
    assert akash.network("mainnet").chain_id == "akashnet-2"
    assert akash.network("mainnet").is_public
    assert not akash.network("local").is_public
    assert (akash.ports.p2p, akash.ports.rpc, akash.ports.metrics) == (26656, 26657, 26660)


def test_settings_become_environment_variables_with_the_chains_prefix() -> None:
    akash = chains()["akash"].on("local")
    found = akash.environment("fast", {"p2p.pex": "false", "pruning": "default"})
    assert found["AKASH_MINIMUM_GAS_PRICES"] == "0.025uakt"
    assert found["AKASH_P2P_ADDR_BOOK_STRICT"] == "false"
    assert found["AKASH_CONSENSUS_TIMEOUT_COMMIT"] == "200ms"
    assert (found["AKASH_P2P_PEX"], found["AKASH_PRUNING"]) == ("false", "default")
    assert "AKASH_CONSENSUS_TIMEOUT_COMMIT" not in akash.environment("upstream")


def test_settings_for_private_addresses_do_not_reach_public_networks() -> None:
    akash = chains()["akash"]
    assert "AKASH_P2P_ADDR_BOOK_STRICT" in akash.on("local").environment()
    assert "AKASH_P2P_ADDR_BOOK_STRICT" not in akash.on("mainnet").environment()


def test_a_network_can_have_another_version_with_other_command_lines() -> None:
    akash = chains()["akash"]
    assert akash.command_lines()[Command.COLLECT] == ("collect-gentxs",)
    mainnet = akash.on("mainnet")
    assert mainnet.version.startswith("2.")
    assert mainnet.command_lines()[Command.COLLECT] == ("genesis", "collect")
    assert mainnet.command_lines()[Command.INIT][:2] == ("genesis", "init")


def test_an_unknown_network_or_pace_is_answered_with_those_there_are() -> None:
    akash = chains()["akash"]
    with pytest.raises(WrongUse) as caught:
        akash.on("moon")
    assert "local, mainnet, sandbox" in caught.value.fix
    with pytest.raises(WrongUse) as caught:
        akash.environment("warp")
    assert "fast" in caught.value.fix


def test_every_placeholder_of_every_family_is_filled() -> None:
    for lines in FAMILIES.values():
        assert set(lines) == set(Command)
        assert not any(unknown_placeholders(c, line) for c, line in lines.items())
    line = FAMILIES[chains()["akash"].family][Command.GENTX]
    filled = fill(line, key="node-0", stake="5uakt", chain_id="lab-1")
    assert filled == ("gentx", "node-0", "5uakt", "--chain-id", "lab-1")


def test_a_chain_of_ones_own_is_found_by_its_path(tmp_path: Path) -> None:
    written(tmp_path, MINE + "commands: {start: [start, --fast]}\n")
    mine = find("./mine.yaml", tmp_path)
    assert mine.command_lines()[Command.START] == ("start", "--fast")
    assert mine.command_lines()[Command.COLLECT] == ("genesis", "collect-gentxs")
    assert set(chains([tmp_path / "mine.yaml"])) >= {"akash", "mine"}


def package(folder: Path, body: str) -> None:
    """An installed package that brings chains."""
    info = folder / "bringer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bringer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[disco.chains]\nmine = bringer_of_mine:FILES\n")
    (folder / "bringer_of_mine.py").write_text(body)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("bringer_of_mine", None)


def test_another_package_can_bring_chains(site: Path) -> None:
    package(site, f"FILES = [{str(written(site, MINE))!r}]\n")
    assert chains()["mine"].title == "Mine"


def test_a_package_whose_chains_cant_be_loaded_is_named(site: Path) -> None:
    package(site, "raise RuntimeError('no luck')\n")
    with pytest.raises(WrongUse, match="bringer_of_mine") as caught:
        chains()
    assert "no luck" in caught.value.why


def test_every_mistake_is_shown_with_its_line_and_column(tmp_path: Path) -> None:
    text = MINE.replace("family: sdk50", "family: sdk99").replace("version: v1\n", "")
    path = written(tmp_path, text + "colour: red\n")
    with pytest.raises(Several) as caught:
        load(path)
    shown = [str(e) for e in caught.value.errors]
    assert caught.value.exit is Exit.WRONG_USE
    assert any(s.startswith(f"{path}:1:1: version: field required") for s in shown)
    assert any(s.startswith(f"{path}:10:1: family: ") and "sdk50" in s for s in shown)
    assert any(s.startswith(f"{path}:13:1: colour: ") for s in shown)


def test_a_mistake_deep_inside_is_shown_where_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, MINE.replace("{chain_id: mine-1}", "{chain_id: mine-1, seeds: 7}"))
    with pytest.raises(WrongUse) as caught:
        load(path)
    assert caught.value.where == f"{path}:13:29"


def test_a_placeholder_that_nothing_fills_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="moniker") as caught:
        load(written(tmp_path, MINE + "commands: {start: [start, '{moniker}']}\n"))
    assert ":14:1" in caught.value.where


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "\t- x", "a: *b"])
def test_what_is_not_yaml_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(WrongUse) as caught:
        load(path)
    assert caught.value.where.startswith(f"{path}:")


@pytest.mark.parametrize("text", ["", "[]", "name"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(WrongUse):
        load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("version: v1", "version: &a [*a]", "3:10"),
        ("networks:", f"settings: {'[' * 60}\nnetworks:", "12:42"),
        ("title: Mine", "title: \xff", "2:8"),
        ("title: Mine", "title: \x1b[31m", "2:8"),
        ("title: Mine", "<<: 5", "2:5"),
        ("title: Mine", "? [a]\n: b", "2:3"),
        ("title: Mine", "title: !!set {a}", "2:8"),
        ("title: Mine", 'title: "\\U00110000"', "2:9"),
    ],
)
def test_what_yaml_allows_and_a_definition_does_not_is_refused_in_its_place(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(MINE.replace(old, new).encode("latin-1"))
    with pytest.raises((WrongUse, Several)) as caught:
        load(path)
    errors = caught.value.errors if isinstance(caught.value, Several) else [caught.value]
    assert f"{path}:{place}" in [e.where for e in errors]


def test_aliases_in_a_definition_can_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["z0: &z0 [x]"]
    lines += [f"z{i}: &z{i} [{', '.join([f'*z{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(WrongUse, match="holds more than"):
        load(written(tmp_path, MINE + "\n".join(lines)))


def test_a_missing_file_and_an_unknown_name_are_answered_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no such chain definition"):
        find("no/such.yaml", tmp_path)
    with pytest.raises(WrongUse, match="no chain 'moon'") as caught:
        find("moon", tmp_path)
    assert "akash" in caught.value.fix


def test_two_chains_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    path = written(tmp_path, MINE.replace("name: mine", "name: akash"))
    with pytest.raises(WrongUse, match="defined twice") as caught:
        chains([path])
    assert caught.value.where == str(path)
    assert "akash.yaml" in caught.value.why
