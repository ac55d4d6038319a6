"""CometBFT's RPC of one node, through the cluster's API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.reader import Kube

# block_id_flag of a signature that is for the block (CometBFT, types.BlockIDFlagCommit).
FOR_THE_BLOCK = 2


@dataclass(frozen=True)
class Status:
    """What a node says of itself. pub_key: base64, of the key that it would sign with."""

    node_id: str
    chain_id: str
    height: int
    catching_up: bool
    pub_key: str


class Rpc:
    """pod: `namespace/name`."""

    def __init__(self, kube: Kube, cluster: Cluster, pod: str, port: int) -> None:
        namespace, _, name = pod.partition("/")
        self._kube, self._cluster = kube, cluster
        self._target = f"{namespace}/pods/{name}:{port}"

    async def call(self, method: str, **params: str) -> dict[str, Any]:
        """The result of a method. Raises DiscoError when the node does not answer."""
        answer = await self._kube.proxy(
            self._cluster, self._target, f"/{method}", params=params, timeout=5
        )
        try:
            result: dict[str, Any] = answer.json()["result"]
        except (ValueError, KeyError):
            why = " ".join(answer.text.split())[:200]
            raise DiscoError(
                f"the node does not answer {method}",
                where=self._target,
                why=f"{why} ({answer.status_code})",
            ) from None
        return result

    async def status(self) -> Status:
        found = await self.call("status")
        node, sync = found["node_info"], found["sync_info"]
        return Status(
            node_id=node["id"],
            chain_id=node["network"],
            height=int(sync["latest_block_height"]),
            catching_up=bool(sync["catching_up"]),
            pub_key=found["validator_info"]["pub_key"]["value"],
        )

    async def peers(self) -> set[str]:
        """Ids of the nodes that it is connected with."""
        return {p["node_info"]["id"] for p in (await self.call("net_info"))["peers"]}

    async def genesis(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.call("genesis"))["genesis"]
        return found

    async def validators(self) -> set[str]:
        """Addresses of the active validators, up to a hundred."""
        found = await self.call("validators", per_page="100")
        return {v["address"] for v in found["validators"]}

    async def signers(self, height: int) -> set[str]:
        """Addresses of the validators that signed this block."""
        found = await self.call("commit", height=str(height))
        signatures = found["signed_header"]["commit"]["signatures"]
        return {s["validator_address"] for s in signatures if s["block_id_flag"] == FOR_THE_BLOCK}
