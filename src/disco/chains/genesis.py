"""The genesis of a chain of one's own: a function of stored secrets and parameters.

The chain's own program makes it, in a private folder in memory that is always removed. Consensus
keys stay in the store (only their public halves are needed); the words of accounts reach the
program by its stdin. The kept file is written last: it is the only thing that counts as done.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from disco.chains.commands import Arguments, Command, fill
from disco.chains.definition import Chain
from disco.chains.keys import address
from disco.chains.program import Program
from disco.chains.validators import (
    ValidatorKeys,
    refuse_duplicate_keys,
    refuse_shared_references,
)
from disco.engine.action import Action
from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.engine.secret import SecretRef
from disco.store.redact import redact
from disco.store.store import Store

UPSTREAM_DENOM = "stake"  # what `init` of every Cosmos SDK program writes
MEMORY = Path("/dev/shm")
KEYRING = ("--keyring-backend", "test")


@dataclass(frozen=True)
class Funded:
    """An account that has coins from the start: field `words` of a secret, `1000uakt,…`."""

    account: SecretRef
    coins: str


@dataclass(frozen=True)
class Parameter:
    """A value in the genesis by its path: `app_state.gov.voting_params.voting_period`, in JSON."""

    path: str
    json: str


@dataclass(frozen=True)
class MakeGenesis(Action):
    """Make the genesis and keep it.

    commands:     the program's command lines, `Chain.command_lines()` in order.
    coins:        what each validator's account has: `1000uakt`.
    stakes:       how much of it each validator stakes, in their order.
    genesis_time: RFC 3339, UTC; decides the bytes, so it comes from outside.
    program:      the chain's program on this machine.
    kept:         name of the kept file.
    """

    kind: ClassVar[str] = "genesis"
    chain: str
    denom: str
    address_prefix: str
    slip44: int
    commands: tuple[tuple[Command, Arguments], ...]
    chain_id: str
    validators: tuple[ValidatorKeys, ...]
    coins: str
    stakes: tuple[str, ...]
    genesis_time: str
    program: Path
    kept: str
    accounts: tuple[Funded, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        refuse_shared_references(self.validators)
        if len(self.stakes) != len(self.validators):
            raise ValueError("each validator has one stake")

    @property
    def touches(self) -> str:
        return f"kept {self.kept}"

    def describe(self) -> str:
        number = len(self.validators)
        validators = "1 validator" if number == 1 else f"{number} validators"
        return f"make the genesis of {self.chain_id} ({self.chain}) with {validators}"

    def command(self) -> str:
        return "\n".join(self._outline())

    def line(self, command: Command, **values: str) -> Arguments:
        return fill(dict(self.commands)[command], **values)

    def funded(self) -> tuple[Funded, ...]:
        """Every account that has coins, the validators' first."""
        return (*(Funded(v.account, self.coins) for v in self.validators), *self.accounts)

    def _outline(self) -> Iterator[str]:
        first = self.validators[0].name
        yield self._shell(self.line(Command.INIT, moniker=first, chain_id=self.chain_id))
        yield f"# in config/genesis.json: genesis_time {self.genesis_time}, denom {self.denom}"
        for parameter in self.parameters:
            yield f"# in config/genesis.json: {parameter.path} = {parameter.json}"
        for validator in self.validators:
            recover = self._shell(("keys", "add", validator.name, "--recover", *KEYRING))
            yield f"{recover} < {validator.account}"
        for account in self.funded():
            who = str(replace(account.account, field="address"))
            yield self._shell(self.line(Command.ADD_ACCOUNT, address=who, coins=account.coins))
        for validator in self.validators:
            keys = (str(validator.node_id), str(validator.pub_key))
            yield self._shell(gentx_line(self, validator, *keys))
        yield self._shell(self.line(Command.COLLECT))
        yield self._shell(self.line(Command.VALIDATE))

    def _shell(self, arguments: Arguments) -> str:
        return shlex.join((str(self.program), *arguments))


def genesis_of(
    chain: Chain,
    network: str,
    validators: tuple[ValidatorKeys, ...],
    program: Path,
    genesis_time: str,
    coins: str,
    stakes: tuple[str, ...],
    accounts: tuple[Funded, ...] = (),
    parameters: tuple[Parameter, ...] = (),
) -> MakeGenesis:
    """The action for one of a chain's own networks; kept as `chains/NAME/genesis.json`."""
    there = chain.on(network)
    own = tuple(Parameter(p, j) for p, j in chain.network(network).genesis.items())
    return MakeGenesis(
        chain=chain.name,
        denom=chain.denom,
        address_prefix=chain.address_prefix,
        slip44=chain.slip44,
        commands=tuple(there.command_lines().items()),
        chain_id=chain.network(network).chain_id,
        validators=validators,
        coins=coins,
        stakes=stakes,
        genesis_time=genesis_time,
        program=program,
        kept=genesis_name(chain.name),
        accounts=accounts,
        parameters=(*own, *parameters),
    )


def genesis_name(chain: str) -> str:
    """The name of a chain's kept genesis."""
    return f"chains/{chain}/genesis.json"


async def make_genesis(action: MakeGenesis, store: Store, report: Report) -> None:
    """Same secrets and parameters, same bytes; another genesis never replaces a kept one."""
    refuse_duplicate_keys(action.validators, store.lookup)
    with _private_folder(store) as home:
        program = Program(action.program, home, lambda text: redact(text, store.revealed()))
        content = await _make(action, store, program, report)
    kept = store.kept(action.kept)
    if kept is None:
        store.keep(action.kept, content)
    elif kept != content:
        raise DiscoError(
            f"{action.chain_id} already has another genesis",
            where=f"kept/{store.stack}/{action.kept}",
            why="a chain that runs can't change its first block",
            fix="take the chain down with its data, then make the new one: disco down",
        )


async def _make(action: MakeGenesis, store: Store, program: Program, report: Report) -> bytes:
    first = action.validators[0].name
    await program.run(action.line(Command.INIT, moniker=first, chain_id=action.chain_id))
    genesis = program.home / "config" / "genesis.json"
    _write(genesis, _with_parameters(json.loads(genesis.read_text()), action))
    await _add_accounts(action, store, program)
    for validator in action.validators:
        report(f"signing the first transaction of {validator.name}", None)
        node_id, pub_key = store.lookup(validator.node_id), store.lookup(validator.pub_key)
        await program.run(gentx_line(action, validator, node_id, pub_key))
    await program.run(action.line(Command.COLLECT))
    await program.run(action.line(Command.VALIDATE))
    made = json.loads(genesis.read_text())
    _refuse_missing_validators(action, made)
    return canonical(made)


async def _add_accounts(action: MakeGenesis, store: Store, program: Program) -> None:
    for validator in action.validators:
        # The program reads the words from one line; a wrong sentence makes it fail.
        words = store.lookup(validator.account)
        recover = ("keys", "add", validator.name, "--recover", *KEYRING)
        await program.run(recover, stdin=f"{words}\n")
    for funded in action.funded():
        who = address(store.lookup(funded.account), action.address_prefix, action.slip44)
        await program.run(action.line(Command.ADD_ACCOUNT, address=who, coins=funded.coins))


def gentx_line(
    action: MakeGenesis, validator: ValidatorKeys, node_id: str, pub_key: str
) -> Arguments:
    """The line that signs a validator's first transaction; keys are public ones."""
    key = json.dumps({"@type": "/cosmos.crypto.ed25519.PubKey", "key": pub_key})
    stake = action.stakes[action.validators.index(validator)]
    line = action.line(Command.GENTX, key=validator.name, stake=stake, chain_id=action.chain_id)
    who = ("--moniker", validator.name, "--ip", validator.name)
    return (*line, *KEYRING, *who, "--node-id", node_id, "--pubkey", key)


def canonical(genesis: dict[str, Any]) -> bytes:
    """One spelling of a genesis: sorted keys, two spaces, one newline at the end."""
    text = json.dumps(genesis, sort_keys=True, indent=2, ensure_ascii=False)
    return text.encode() + b"\n"


def _with_parameters(genesis: dict[str, Any], action: MakeGenesis) -> dict[str, Any]:
    changed: dict[str, Any] = _in_denom(genesis, action.denom)
    changed["genesis_time"] = action.genesis_time
    for parameter in action.parameters:
        _set(changed, parameter)
    return changed


def _in_denom(value: Any, denom: str) -> Any:
    """The same document with the chain's denom where the SDK's own stood."""
    if isinstance(value, dict):
        return {k: _in_denom(v, denom) for k, v in value.items()}
    if isinstance(value, list):
        return [_in_denom(v, denom) for v in value]
    return denom if value == UPSTREAM_DENOM else value


def _set(genesis: dict[str, Any], parameter: Parameter) -> None:
    """Replace a value that exists: a misspelt path must not pass unnoticed."""
    *parents, last = parameter.path.split(".")
    place: Any = genesis
    for key in parents:
        place = place.get(key) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last not in place:
        raise DiscoError(
            f"the genesis has no parameter {parameter.path}",
            fix="look at the genesis that the program's `init` writes for the right path",
        )
    place[last] = json.loads(parameter.json)


def validators_in(genesis: bytes) -> int:
    """How many validators a kept genesis begins with; 0 when it does not tell."""
    try:
        return len(_signed(json.loads(genesis)))
    except (ValueError, AttributeError, TypeError):
        return 0


def _signed(genesis: dict[str, Any]) -> list[Any]:
    """The transactions by which validators came to be."""
    found: list[Any] = genesis.get("app_state", {}).get("genutil", {}).get("gen_txs", [])
    return found


def _refuse_missing_validators(action: MakeGenesis, genesis: dict[str, Any]) -> None:
    """`collect` leaves out transactions that it dislikes without failing in some versions."""
    collected = len(_signed(genesis))
    if collected != len(action.validators):
        raise DiscoError(
            f"the genesis has {collected} of {len(action.validators)} validators",
            where=str(action.program),
            fix="check that the program's version fits the chain's definition: disco chain",
        )


def _write(path: Path, genesis: dict[str, Any]) -> None:
    path.write_bytes(canonical(genesis))


@contextmanager
def _private_folder(store: Store) -> Iterator[Path]:
    """A folder for this user only, in memory where there is such a place; removed at the end.

    A killed run leaves one with a wallet in it. A stack has one writer at a time, so whatever
    this stack left is swept here.
    """
    top = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    prefix = f"disco-{store.place.id}-genesis-"
    for left in top.glob(f"{prefix}*"):
        if left.lstat().st_uid == os.geteuid():
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=top))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
