"""The blockchains that DISCO can run, each described in one YAML file, and their genesis."""

from disco.chains.commands import Command, Family
from disco.chains.definition import Chain, Network, Ports
from disco.chains.genesis import (
    Funded,
    MakeGenesis,
    Parameter,
    genesis_name,
    genesis_of,
    make_genesis,
)
from disco.chains.keys import Account, address
from disco.chains.registry import chains, find, load
from disco.chains.validators import (
    ValidatorKeys,
    duplicate_keys,
    peers,
    refuse_duplicate_keys,
    refuse_shared_references,
)

__all__ = [
    "Account",
    "Chain",
    "Command",
    "Family",
    "Funded",
    "MakeGenesis",
    "Network",
    "Parameter",
    "Ports",
    "ValidatorKeys",
    "address",
    "chains",
    "duplicate_keys",
    "find",
    "genesis_name",
    "genesis_of",
    "load",
    "make_genesis",
    "peers",
    "refuse_duplicate_keys",
    "refuse_shared_references",
]
