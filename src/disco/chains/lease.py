"""Who may sign with a validator's key: one place in one cluster, written down in the store.

A lease is a file of the store, at one path for each key whatever stack has it, so that two who take
it are one conflict, and one of them is refused. The fence is a number that grows whenever the key
goes to another place; a volume that was laid for one is known by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from disco.chains.signed import Signed, furthest
from disco.engine.errors import DiscoError
from disco.store.team.layout import KEPT

HOME, SIGNER = "validator", "signer"  # places: the validator's own volume, a signer's
TAKE = "disco signer take"


@dataclass(frozen=True)
class Lease:
    """address: of the key, upper-case hex. cluster: the UID of its namespace kube-system; empty
    while nobody has the lease. signed: what the key had signed, as far as was known when it was
    written last. begun: the fence under which a signer has begun.
    why: what a person said who took it over. going: its stack takes the cluster down, with the
    chain.
    """

    address: str
    chain_id: str
    stack: str = ""
    cluster: str = ""
    place: str = HOME
    fence: int = 0
    signed: Signed = field(default_factory=Signed)
    begun: int = 0
    why: str = ""
    going: bool = False

    @property
    def path(self) -> str:
        return path_of(self.address)

    @property
    def holder(self) -> str:
        return f"the stack {self.stack} in the cluster {self.cluster}"

    def content(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"

    def lines(self) -> bytes:
        """For the gate in the pod: NAME=VALUE, one a line."""
        fields = {
            "address": self.address,
            "fence": self.fence,
            "place": self.place,
            "height": self.signed.height,
            "round": self.signed.round,
            "step": self.signed.step,
            "block": self.signed.block,
        }
        return "".join(f"{name}={value}\n" for name, value in fields.items()).encode()

    def moved(self, place: str, signed: Signed) -> Lease:
        """To another place in the same cluster. Never back: signed is at least what it was."""
        further = furthest(self.signed, signed)
        return replace(self, place=place, fence=self.fence + 1, signed=further)


def path_of(address: str) -> str:
    return f"{KEPT}leases/{address.lower()}.json"


def read(content: bytes | None, address: str, chain_id: str) -> Lease:
    """What the store has of a key. Raises DiscoError for what can't be read: a lease that nobody
    understands is somebody's."""
    if content is None:
        return Lease(address, chain_id)
    try:
        data: dict[str, Any] = json.loads(content)
        found = Lease(**{**data, "signed": Signed(**data["signed"])})
    except (ValueError, TypeError, KeyError) as error:
        raise DiscoError(
            f"the lease of the key {address} can't be read",
            where=path_of(address),
            why=str(error),
            fix="see who wrote it: disco store log; a newer DISCO may have",
        ) from None
    if found.address != address:
        raise DiscoError(
            f"the lease of the key {address} is another key's",
            where=path_of(address),
            why=f"it says {found.address}",
            fix="see who wrote it: disco store log",
        )
    return found


def taken(lease: Lease, stack: str, cluster: str, place: str) -> Lease:
    """The lease as this stack in this cluster has it. Raises DiscoError where it is another's."""
    if lease.going and (lease.stack, lease.cluster) == (stack, cluster):
        return replace(lease, going=False)
    if not lease.cluster or (lease.going and lease.stack == stack):
        free = ended(lease, keeps=not lease.going)
        return replace(free, stack=stack, cluster=cluster, place=place, fence=lease.fence + 1)
    if (lease.stack, lease.cluster) != (stack, cluster):
        raise refused(lease, stack, cluster)
    return lease


def refused(lease: Lease, stack: str, cluster: str) -> DiscoError:
    return DiscoError(
        f"the validator key {lease.address} is leased to {lease.holder}",
        where=f"the stack {stack} in the cluster {cluster}",
        why="two that sign with one key are slashed and jailed for good; that one signs as "
        f"{lease.place}, under lease {lease.fence}",
        fix="take its chain out of that stack's file and apply there; where that cluster is gone "
        f"for good: {TAKE}",
    )


def ended(lease: Lease, keeps: bool) -> Lease:
    """Nobody's. keeps: what was signed counts on, since the chain goes on without this stack."""
    signed = lease.signed if keeps else Signed()
    return replace(lease, stack="", cluster="", begun=0, signed=signed, why="", going=False)


def going(lease: Lease) -> Lease:
    """Its stack is taking down the cluster that it is for: the next one of that stack gets it, and
    nobody else does. Until then all of it is as it was."""
    return replace(lease, going=True)


def taken_over(lease: Lease, stack: str, cluster: str, signed: Signed, why: str) -> Lease:
    """By the word of a person that whoever had it is gone for good."""
    fresh = replace(lease, stack=stack, cluster=cluster, why=why, going=False)
    return fresh.moved(lease.place, signed)


def begun(lease: Lease) -> Lease:
    """Its signer's volume has what was signed, and from here on must have it."""
    return replace(lease, begun=lease.fence)


def noted(lease: Lease, signed: Signed) -> Lease:
    """What is known to be signed now: more than before, or the same."""
    return replace(lease, signed=furthest(lease.signed, signed))


def lines_name(chain: str, validator: str) -> str:
    """The kept file that the pods of a stack read."""
    return f"chains/{chain}/leases/{validator}"


def begun_name(chain: str, validator: str) -> str:
    return f"chains/{chain}/begun/{validator}"


def files(lease: Lease, stack: str, chain: str, validator: str) -> Mapping[str, bytes | None]:
    """Everything that says so, for one commit."""
    mine = f"{KEPT}{stack}/"
    begun = f"{lease.begun}".encode() if lease.begun else None
    held = bool(lease.cluster)
    return {
        lease.path: lease.content(),
        mine + lines_name(chain, validator): lease.lines() if held else None,
        mine + begun_name(chain, validator): begun if held else None,
    }
