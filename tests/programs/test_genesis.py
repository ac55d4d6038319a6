"""A genesis is a function of stored secrets, and a chain starts from it: with the real program."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from disco.artifacts.cache import Cache
from disco.chains import (
    Account,
    Command,
    Funded,
    MakeGenesis,
    Parameter,
    ValidatorKeys,
    chains,
    genesis_of,
    make_genesis,
)
from disco.chains.commands import fill
from disco.chains.genesis import MEMORY, canonical
from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.engine.secret import SecretRef
from disco.store.store import Store

AKASH = chains()["akash"].on("local")
TIME = "2026-01-01T00:00:00Z"


def quiet(note: str, share: float | None) -> None:
    assert note


def cached() -> Path | None:
    """The program as a person's own build, or as DISCO built it on this machine."""
    if named := os.environ.get("DISCO_TEST_AKASH"):
        return Path(named)
    cache = Cache.default()
    held = (cache.held("akash", meta.key) for meta in cache.metas("akash"))
    return next((h.path for h in held if h is not None), None)


@pytest.fixture
def akash() -> Path:
    found = cached()
    if found is None:
        pytest.skip("no akash program here: set DISCO_TEST_AKASH, or let `disco apply` build it")
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(Place(tmp_path / "state"))
    yield store
    assert not leftovers(store)


def leftovers(store: Store) -> list[Path]:
    return list(MEMORY.glob(f"disco-{store.place.id}-*"))


def action(store: Store, program: Path, count: int, **changes: Any) -> MakeGenesis:
    """An action whose secrets exist."""
    validators = tuple(ValidatorKeys.under("chains/akash", f"node-{i}") for i in range(count))
    for remember in (r for v in validators for r in v.remembers("akash", AKASH.slip44)):
        if not store.has(remember.secret):
            store.put(remember.secret, remember.generate.make())
    stakes = ("1000000000uakt",) * len(validators)
    made = genesis_of(AKASH, "local", validators, program, TIME, "1000000000000uakt", stakes)
    return replace(made, **changes)


def script(folder: Path, text: str) -> Path:
    path = folder / "akash"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_the_same_secrets_make_the_same_bytes(akash: Path, store: Store) -> None:
    make = action(store, akash, 3)
    await make_genesis(make, store, quiet)
    first = store.kept(make.kept)
    store.discard(make.kept)
    await make_genesis(make, Store(store.place), quiet)
    assert first is not None
    assert store.kept(make.kept) == first == canonical(json.loads(first))
    genesis = json.loads(first)
    assert (genesis["genesis_time"], genesis["chain_id"]) == (TIME, "disco-local-1")
    assert genesis["app_state"]["slashing"]["params"]["signed_blocks_window"] == "10000"
    found = {
        t["body"]["messages"][0]["description"]["moniker"]: (
            t["body"]["memo"],
            t["body"]["messages"][0]["pubkey"]["key"],
        )
        for t in genesis["app_state"]["genutil"]["gen_txs"]
    }
    assert found == {
        v.name: (f"{store.lookup(v.node_id)}@{v.name}:26656", store.lookup(v.pub_key))
        for v in make.validators
    }


async def test_accounts_and_parameters_are_in_the_genesis(akash: Path, store: Store) -> None:
    store.put("faucet", Account("akash").make())
    path = "app_state.gov.voting_params.voting_period"
    make = action(
        store,
        akash,
        1,
        accounts=(Funded(SecretRef("faucet", "words"), "77uakt"),),
        parameters=(Parameter(path, '"60s"'),),
    )
    await make_genesis(make, store, quiet)
    state = json.loads(store.kept(make.kept) or b"")["app_state"]
    assert state["gov"]["voting_params"]["voting_period"] == "60s"
    assert state["staking"]["params"]["bond_denom"] == "uakt"
    balances = {b["address"]: b["coins"] for b in state["bank"]["balances"]}
    assert balances[store.fields("faucet")["address"]] == [{"amount": "77", "denom": "uakt"}]
    with pytest.raises(DiscoError, match=r"no parameter app_state\.gov\.voting_perid"):
        wrong = Parameter("app_state.gov.voting_perid", "1")
        await make_genesis(replace(make, parameters=(wrong,)), store, quiet)


async def test_a_kept_genesis_is_never_replaced_by_another(akash: Path, store: Store) -> None:
    make = action(store, akash, 1)
    await make_genesis(make, store, quiet)
    first = store.kept(make.kept)
    await make_genesis(make, store, quiet)
    with pytest.raises(DiscoError, match="already has another genesis"):
        await make_genesis(replace(make, genesis_time="2026-01-02T00:00:00Z"), store, quiet)
    assert store.kept(make.kept) == first


async def test_one_validator_makes_blocks_from_its_genesis(
    akash: Path, store: Store, tmp_path: Path
) -> None:
    make = action(store, akash, 1)
    await make_genesis(make, store, quiet)
    home = tmp_path / "home"
    rpc = free_port()
    environment = node_environment(rpc, free_port(), home)
    await run(akash, fill(make.line(Command.INIT, moniker="node-0", chain_id="x")), home)
    put_keys(store, make, home)
    start = (*AKASH.command_lines()[Command.START], "--home", str(home))
    with (tmp_path / "log").open("wb") as log:
        node = await asyncio.create_subprocess_exec(
            akash, *start, stdout=log, stderr=log, env=environment
        )
    try:
        height = await height_reaches(2, rpc, node, within_s=60)
    finally:
        if node.returncode is None:
            node.terminate()
        await asyncio.wait_for(node.wait(), 20)
    assert height >= 2, (tmp_path / "log").read_text()[-2000:]


async def test_no_consensus_key_and_no_words_are_given_to_the_program_by_name_or_file(
    store: Store, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    genesis = '{"app_state": {"genutil": {"gen_txs": [{}]}}}'
    text = f"""echo "$@" >> {log}; eval home=\\${{$#}}
      [ "$1" = init ] && mkdir -p $home/config && echo '{genesis}' > $home/config/genesis.json
      cat $(find $home -type f) >> {log}; exit 0"""
    make = action(store, script(tmp_path, text), 1, parameters=())
    await make_genesis(make, store, quiet)
    told = log.read_text()
    assert store.lookup(make.validators[0].pub_key) in told
    assert len(store.revealed()) >= 4
    assert not [value for value in store.revealed() if value in told]


async def test_a_program_that_fails_leaves_nothing_and_tells_no_words(
    store: Store, tmp_path: Path
) -> None:
    genesis = "{}"
    text = f"""eval home=\\${{$#}}
      [ "$1" = init ] && mkdir -p $home/config && echo '{genesis}' > $home/config/genesis.json
      [ "$1" = keys ] && {{ echo "Error: bad mnemonic: $(cat)" >&2; exit 1; }}
      exit 0"""
    make = action(store, script(tmp_path, text), 1, parameters=())
    with pytest.raises(DiscoError, match="keys add failed") as caught:
        await make_genesis(make, store, quiet)
    assert caught.value.why == "Error: bad mnemonic: [secret]"
    assert not store.has_kept(make.kept)


async def test_a_genesis_without_a_validator_is_not_kept(store: Store, tmp_path: Path) -> None:
    text = """eval home=\\${$#}; mkdir -p $home/config
      [ -e $home/config/genesis.json ] || echo '{}' > $home/config/genesis.json"""
    make = action(store, script(tmp_path, text), 2, parameters=())
    with pytest.raises(DiscoError, match="0 of 2 validators"):
        await make_genesis(make, store, quiet)
    assert not store.has_kept(make.kept)


async def test_what_a_killed_run_left_in_memory_is_removed_by_the_next(
    store: Store, tmp_path: Path
) -> None:
    left = MEMORY / f"disco-{store.place.id}-genesis-killed"
    left.mkdir(mode=0o700)
    (left / "wallet").write_text("words")
    with pytest.raises(DiscoError):
        await make_genesis(action(store, script(tmp_path, "exit 1"), 1), store, quiet)
    assert not left.exists()


async def test_a_copied_key_is_refused_before_the_program_runs(
    store: Store, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    make = action(store, script(tmp_path, f"touch {ran}"), 2)
    one, two = (v.validator_key.name for v in make.validators)
    store.put(two, store.fields(one))
    with pytest.raises(DiscoError, match="node-0 and node-1 share a key"):
        await make_genesis(make, store, quiet)
    assert not ran.exists()


def test_an_action_with_one_key_for_two_validators_cant_be_made(tmp_path: Path) -> None:
    one = ValidatorKeys.under("chains/akash", "node-0")
    two = replace(ValidatorKeys.under("chains/akash", "node-1"), validator_key=one.validator_key)
    with pytest.raises(DiscoError, match="node-0 and node-1 share a key"):
        genesis_of(AKASH, "local", (one, two), tmp_path, TIME, "2uakt", ("1uakt", "1uakt"))


def test_a_plan_shows_the_commands_with_references_only(store: Store) -> None:
    make = action(store, Path("akash"), 2)
    assert make.describe() == "make the genesis of disco-local-1 (akash) with 2 validators"
    assert make.identity == "genesis kept chains/akash/genesis.json"
    assert "akash collect-gentxs" in make.command()
    assert "'${secret:chains/akash/node-1/node#id}'" in make.command()
    assert make.digest != replace(make, genesis_time="2026-01-02T00:00:00Z").digest
    one = replace(make, validators=make.validators[:1], stakes=make.stakes[:1])
    assert make.digest != one.digest


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def node_environment(rpc: int, p2p: int, home: Path) -> dict[str, str]:
    more = {
        "rpc.laddr": f"tcp://127.0.0.1:{rpc}",
        "rpc.pprof_laddr": "",
        "p2p.laddr": f"tcp://127.0.0.1:{p2p}",
        "instrumentation.prometheus": "false",
        "api.enable": "false",
        "grpc.enable": "false",
        "grpc-web.enable": "false",
    }
    return {"HOME": str(home), "PATH": os.defpath, **AKASH.environment("fast", more)}


def put_keys(store: Store, make: MakeGenesis, home: Path) -> None:
    (home / "config/genesis.json").write_bytes(store.kept(make.kept) or b"")
    (keys,) = make.validators
    (home / "config/node_key.json").write_text(store.lookup(keys.node_key))
    (home / "config/priv_validator_key.json").write_text(store.lookup(keys.validator_key))


async def run(program: Path, arguments: tuple[str, ...], home: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, "--home", str(home), stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, env={"HOME": str(home), "PATH": os.defpath},
    )  # fmt: skip
    assert await asyncio.wait_for(process.wait(), 30) == 0


async def height_reaches(
    wanted: int, rpc: int, node: asyncio.subprocess.Process, within_s: float
) -> int:
    height = 0
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{rpc}", timeout=2) as client:
        while height < wanted and loop.time() < deadline and node.returncode is None:
            try:
                status = (await client.get("/status")).json()
                height = int(status["result"]["sync_info"]["latest_block_height"])
            except httpx2.TransportError:
                await asyncio.wait([asyncio.create_task(node.wait())], timeout=0.2)
    return height
