"""The few families of command lines that Cosmos programs have; what differs is data."""

from __future__ import annotations

import string
from collections.abc import Mapping
from enum import Enum, StrEnum

Arguments = tuple[str, ...]


class Command(StrEnum):
    """What a chain's program is asked to do."""

    INIT = "init"  # make a home with its configuration
    ADD_ACCOUNT = "add_account"  # give an account coins in the genesis
    GENTX = "gentx"  # sign the transaction that makes a validator
    COLLECT = "collect"  # put those transactions into the genesis
    VALIDATE = "validate"  # check the genesis
    NODE_ID = "node_id"  # print the node's id
    START = "start"  # run the node


class Family(Enum):
    """Which command lines a program understands."""

    SDK45 = "sdk45"  # Cosmos SDK up to 0.46: everything at the top level
    SDK50 = "sdk50"  # Cosmos SDK from 0.47: genesis commands under `genesis`
    AKASH2 = "akash2"  # Akash v1 and v2: under `genesis` too, `init` with them, shorter names


SDK45: Mapping[Command, Arguments] = {
    Command.INIT: ("init", "{moniker}", "--chain-id", "{chain_id}"),
    Command.ADD_ACCOUNT: ("add-genesis-account", "{address}", "{coins}"),
    Command.GENTX: ("gentx", "{key}", "{stake}", "--chain-id", "{chain_id}"),
    Command.COLLECT: ("collect-gentxs",),
    Command.VALIDATE: ("validate-genesis",),
    Command.NODE_ID: ("tendermint", "show-node-id"),
    Command.START: ("start",),
}

SDK50: Mapping[Command, Arguments] = {
    **SDK45,
    Command.ADD_ACCOUNT: ("genesis", *SDK45[Command.ADD_ACCOUNT]),
    Command.GENTX: ("genesis", *SDK45[Command.GENTX]),
    Command.COLLECT: ("genesis", *SDK45[Command.COLLECT]),
    Command.VALIDATE: ("genesis", *SDK45[Command.VALIDATE]),
}

AKASH2: Mapping[Command, Arguments] = {
    **SDK50,
    Command.INIT: ("genesis", *SDK45[Command.INIT]),
    Command.ADD_ACCOUNT: ("genesis", "add-account", "{address}", "{coins}"),
    Command.COLLECT: ("genesis", "collect"),
    Command.VALIDATE: ("genesis", "validate"),
}

FAMILIES = {Family.SDK45: SDK45, Family.SDK50: SDK50, Family.AKASH2: AKASH2}

PLACEHOLDERS = {
    Command.INIT: {"moniker", "chain_id"},
    Command.ADD_ACCOUNT: {"address", "coins"},
    Command.GENTX: {"key", "stake", "chain_id"},
}


def unknown_placeholders(command: Command, arguments: Arguments) -> set[str]:
    """Names in braces that nothing fills when this command is used."""
    used = {name for part in arguments for _, name, _, _ in string.Formatter().parse(part) if name}
    return used - PLACEHOLDERS.get(command, set())


def fill(arguments: Arguments, **values: str) -> Arguments:
    return tuple(part.format_map(values) for part in arguments)
