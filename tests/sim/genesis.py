"""A genesis without a chain's program: the same inputs give the same bytes."""

from __future__ import annotations

import json

from disco.chains.genesis import MakeGenesis, canonical
from disco.chains.validators import refuse_duplicate_keys
from disco.engine.gate import Report
from disco.store.store import Store
from sim.artifacts import NOWHERE
from sim.simulation import Simulation


async def make_genesis(
    action: MakeGenesis, store: Store, simulation: Simulation, report: Report
) -> None:
    refuse_duplicate_keys(action.validators, store.lookup)
    program = action.program
    if program.parent != NOWHERE or program.name not in simulation.state.held:
        raise simulation.refuse(f"the genesis is made by {program}, which is not held")
    for validator in action.validators:
        store.lookup(validator.account)
    public = {v.name: [store.lookup(v.pub_key), store.lookup(v.node_id)] for v in action.validators}
    signed = {"genutil": {"gen_txs": [{"moniker": v.name} for v in action.validators]}}
    told = {"chain_id": action.chain_id, "validators": public, "app_state": signed}
    content = canonical(json.loads(json.dumps(told)))
    kept = store.kept(action.kept)
    if kept is None:
        store.keep(action.kept, content)
    elif kept != content:
        raise simulation.refuse(f"{action.chain_id} already has another genesis")
