"""One chain as its YAML file describes it: everything that differs between chains, as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

import pydantic

from disco.chains.commands import FAMILIES, Arguments, Command, Family, unknown_placeholders
from disco.engine.errors import WrongUse
from disco.stack.model import Model, var

NAME = r"^[a-z][a-z0-9-]*$"
Settings = dict[str, str]  # a path in config.toml or app.toml -> its value
NONE: Mapping[str, str] = MappingProxyType({})


class Ports(Model):
    """Ports that a node listens on."""

    p2p: int = var(26656, ge=1, le=65535)
    """Other nodes."""
    rpc: int = var(26657, ge=1, le=65535)
    """CometBFT's RPC."""
    api: int | None = var(1317, ge=1, le=65535)
    """REST; none when the program has no such server."""
    grpc: int | None = var(9090, ge=1, le=65535)
    """gRPC; none when the program has no such server."""
    metrics: int = var(26660, ge=1, le=65535)
    """Prometheus metrics."""


class Metrics(Model):
    """Names of the metrics that checks, alerts and dashboards read."""

    height: str = "cometbft_consensus_height"
    """The height of the last block."""

    @property
    def family(self) -> str:
        """What the names of all of them begin with."""
        return self.height.partition("_consensus_")[0]


class Network(Model):
    """One network of a chain: a local one that DISCO starts, or a public one that nodes join."""

    chain_id: str = var(min_length=1, max_length=50)
    """The chain's id, in every signed transaction."""
    version: str | None = None
    """The program's version there, when it is not the chain's own."""
    family: Family | None = None
    """The command lines of that version, when they are not the chain's own."""
    minimum_gas_price: str | None = None
    """The lowest gas price there, when it is not the chain's own."""
    genesis_url: str | None = None
    """Where the genesis of a public network is published; none when DISCO makes it."""
    genesis_sha256: str | None = var(None, pattern=r"^[0-9a-f]{64}$")
    """What that file must be."""
    seeds: tuple[str, ...] = ()
    """Nodes that tell of other nodes: id@host:port."""
    persistent_peers: tuple[str, ...] = ()
    """Nodes to stay connected with: id@host:port."""
    statesync_rpc: tuple[str, ...] = ()
    """Public RPC servers to start from a snapshot with; take two of different operators."""
    settings: Settings = var({})
    """Settings of a node there, over those of the chain."""
    genesis: dict[str, str] = var({})
    """Values in a genesis that DISCO makes, as JSON, by their path: `app_state.gov.…`."""

    @property
    def is_public(self) -> bool:
        return self.genesis_url is not None


class Chain(Model):
    """A blockchain that DISCO can run."""

    name: str = var(pattern=NAME)
    """Its name in stack files and commands."""
    title: str
    """Its name for people."""
    version: str
    """The program's version that is run unless a network says otherwise; the image's tag."""
    image: str
    """The container image with the program, without its tag."""
    binary: str = var(pattern=r"^[a-z][a-z0-9._-]*$")
    """The program's name."""
    env_prefix: str = var(pattern=r"^[A-Z][A-Z0-9]*$")
    """Prefix of the environment variables that the program reads its settings from."""
    home: PurePosixPath
    """The node's home in its container."""
    denom: str = var(pattern=r"^[a-z][a-zA-Z0-9/:._-]{1,126}[a-zA-Z0-9]$")
    """The smallest unit of the coin that is staked and pays fees."""
    address_prefix: str = var(pattern=r"^[a-z]+$")
    """The first part of an address."""
    slip44: int = var(118, ge=0)
    """The coin type in the path of its accounts (SLIP 44)."""
    minimum_gas_price: str
    """The lowest price per unit of gas that a node accepts, with its denom."""
    ports: Ports = Ports()
    """Where a node listens."""
    metrics: Metrics = Metrics()
    """What a node measures."""
    family: Family
    """Which command lines the program understands."""
    commands: dict[Command, Arguments] = var({})
    """Command lines that differ from the family's."""
    settings: Settings = var({})
    """Settings of every node, by their path in config.toml or app.toml."""
    paces: dict[str, Settings] = var({})
    """Settings that decide the time between blocks, by the name of the pace."""
    networks: dict[str, Network] = var(min_length=1)
    """Its networks, by name."""

    @pydantic.field_validator("commands")
    @classmethod
    def _known_placeholders(cls, value: dict[Command, Arguments]) -> dict[Command, Arguments]:
        for command, arguments in value.items():
            unknown = unknown_placeholders(command, arguments)
            if unknown:
                raise ValueError(f"nothing fills {{{min(unknown)}}} in {command.value}")
        return value

    def network(self, name: str) -> Network:
        if name not in self.networks:
            raise WrongUse(
                f"{self.title} has no network {name!r}",
                fix=f"choose one of {', '.join(sorted(self.networks))}",
            )
        return self.networks[name]

    def on(self, network: str) -> Chain:
        """The chain as it is on one of its networks: version, command lines, settings."""
        there = self.network(network)
        changes = {
            "version": there.version,
            "family": there.family,
            "minimum_gas_price": there.minimum_gas_price,
        }
        given = {k: v for k, v in changes.items() if v is not None}
        return self.model_copy(update={**given, "settings": {**self.settings, **there.settings}})

    @property
    def image_reference(self) -> str:
        return f"{self.image}:{self.version}"

    @property
    def image_name(self) -> str:
        """Two chains may run one program: `localhost/akash` -> `akash`."""
        return self.image.rpartition("/")[2]

    def command_lines(self) -> Mapping[Command, Arguments]:
        """Arguments after the program's name, with placeholders."""
        return {**FAMILIES[self.family], **self.commands}

    def environment(self, pace: str | None = None, more: Mapping[str, str] = NONE) -> Settings:
        """Environment variables of a node.

        Later settings win: the chain's, those of the pace, then `more`.
        """
        if pace is not None and pace not in self.paces:
            raise WrongUse(
                f"{self.title} has no pace {pace!r}",
                fix=f"choose one of {', '.join(sorted(self.paces)) or 'none'}",
            )
        chosen = {"minimum-gas-prices": self.minimum_gas_price, **self.settings}
        chosen |= self.paces[pace] if pace is not None else {}
        return {self.variable(path): value for path, value in {**chosen, **more}.items()}

    def variable(self, setting: str) -> str:
        """The environment variable of a setting: `p2p.addr_book_strict` -> `AKASH_P2P_ADDR…`."""
        return f"{self.env_prefix}_{setting.upper().replace('.', '_').replace('-', '_')}"
