"""The dashboard of a chain: blocks, validators, peers and transactions, by CometBFT's metrics.

One file for all chains: `@NAMESPACE@` is the chain's entry in the stack file, `@METRICS@` the first
part of its metrics' names, `cometbft` or, of programs before 2023, `tendermint`.
"""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, better_below

MINE = 'namespace="@NAMESPACE@"'


def _of(metric: str) -> str:
    return f"@METRICS@_{metric}{{{MINE}}}"


HEIGHT = _of("consensus_height")
CHAIN = Board(
    "chain",
    "@TITLE@",
    "Blocks, validators, peers and transactions of @TITLE@ (@CHAIN_ID@).",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Height",
                    "The newest block that any node has.",
                    (Query(f"max({HEIGHT})"),),
                    "",
                    "figure",
                    alerts=("ChainStopped", "ChainGone"),
                    columns=4,
                    decimals=0,
                ),
                Panel(
                    "Time between blocks",
                    "The average of the last five minutes.",
                    (Query(f"1 / max(rate({HEIGHT}[5m]))"),),
                    "s",
                    "figure",
                    alerts=("ChainStopped",),
                    columns=4,
                    decimals=2,
                ),
                Panel(
                    "Voting power that does not sign",
                    "Share of all, in the last block. At a third the chain stops.",
                    (
                        Query(
                            f"max({_of('consensus_missing_validators_power')})"
                            f" / max({_of('consensus_validators_power')})"
                        ),
                    ),
                    "percentunit",
                    "figure",
                    better_below(0.05, 0.2),
                    ("ChainValidatorsMissing",),
                    columns=4,
                ),
                Panel(
                    "Validators",
                    "That may sign blocks.",
                    (Query(f"max({_of('consensus_validators')})"),),
                    "",
                    "figure",
                    columns=4,
                ),
                Panel(
                    "Fewest peers",
                    "Of the node that has the fewest.",
                    (Query(f"min({_of('p2p_peers')})"),),
                    "",
                    "figure",
                    alerts=("ChainFewPeers",),
                    columns=4,
                ),
                Panel(
                    "Furthest behind",
                    "Blocks that a node lacks of the newest, at most.",
                    (Query(f"max({HEIGHT}) - min({HEIGHT})"),),
                    "",
                    "figure",
                    better_below(5, 20),
                    ("ChainNodeBehind",),
                    columns=4,
                ),
            ),
        ),
        Row(
            "Blocks",
            (
                Panel(
                    "Height of each node",
                    "Where lines part, the lower node is behind; a validator there does not vote.",
                    (Query(HEIGHT, "{{pod}}"),),
                    alerts=("ChainNodeBehind",),
                    least=None,
                ),
                Panel(
                    "Time between blocks",
                    "As each node saw it.",
                    (
                        Query(
                            f"rate({_of('consensus_block_interval_seconds_sum')}[$__rate_interval])"
                            f" / rate({_of('consensus_block_interval_seconds_count')}"
                            "[$__rate_interval])",
                            "{{pod}}",
                        ),
                    ),
                    "s",
                    alerts=("ChainStopped",),
                ),
                Panel(
                    "Round",
                    "Of the block that is being decided. Above 0, who had to propose it was "
                    "silent or too slow.",
                    (Query(_of("consensus_rounds"), "{{pod}}"),),
                    alerts=("ChainStopped",),
                ),
                Panel(
                    "Time of a block in the program",
                    "That each node takes to carry out the transactions of a block.",
                    (
                        Query(
                            f"rate({_of('state_block_processing_time_sum')}[$__rate_interval])"
                            f" / rate({_of('state_block_processing_time_count')}[$__rate_interval])"
                            " / 1000",
                            "{{pod}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "Size of a block",
                    "The newest of each node.",
                    (Query(_of("consensus_block_size_bytes"), "{{pod}}"),),
                    "bytes",
                ),
                Panel(
                    "Still fetching",
                    "1: the node fetches old blocks or a snapshot, and does not follow yet.",
                    (
                        Query(
                            f"max by (pod) ({_of('consensus_fast_syncing')}"
                            f" or {_of('blocksync_syncing')})",
                            "{{pod}}",
                        ),
                    ),
                    alerts=("ChainNodeBehind",),
                    most=1,
                ),
            ),
        ),
        Row(
            "Validators",
            (
                Panel(
                    "Validators that miss the newest block",
                    "Whose signature is not in it, as each node counts.",
                    (Query(_of("consensus_missing_validators"), "{{pod}}"),),
                    alerts=("ChainValidatorsMissing",),
                ),
                Panel(
                    "Blocks missed within an hour",
                    "By each of our validators. Who misses too many is jailed and loses stake.",
                    (
                        Query(
                            f"increase({_of('consensus_validator_missed_blocks')}[1h])"
                            f" or on (pod) 0 * {HEIGHT}",
                            "{{pod}}",
                        ),
                    ),
                    alerts=("ChainValidatorsMissing",),
                    thresholds=better_below(10, 100),
                ),
                Panel(
                    "Voting power",
                    "Of each of our nodes; those that only follow have none.",
                    (
                        Query(
                            f"{_of('consensus_validator_power')} or on (pod) 0 * {HEIGHT}",
                            "{{pod}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Peers and transactions",
            (
                Panel(
                    "Peers",
                    "That each node is connected with.",
                    (Query(_of("p2p_peers"), "{{pod}}"),),
                    alerts=("ChainFewPeers",),
                ),
                Panel(
                    "Transactions that wait",
                    "In each node's mempool.",
                    (Query(_of("mempool_size"), "{{pod}}"),),
                ),
                Panel(
                    "Transactions",
                    "In blocks, each second.",
                    (
                        Query(
                            f"max(rate({_of('consensus_total_txs')}[$__rate_interval]))",
                            "transactions",
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Received from peers",
                    "By each node.",
                    (
                        Query(
                            "sum by (pod) (rate("
                            f"{_of('p2p_peer_receive_bytes_total')}[$__rate_interval]))",
                            "{{pod}}",
                        ),
                    ),
                    "Bps",
                    columns=12,
                ),
                Panel(
                    "Memory",
                    "That each node's process holds.",
                    (Query(f"process_resident_memory_bytes{{{MINE}}}", "{{pod}}"),),
                    "bytes",
                    columns=12,
                ),
            ),
        ),
    ),
    uid="chain-@NAMESPACE@",
)
