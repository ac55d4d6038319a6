"""One key, two who want to sign with it: the team's store decides for one, by compare and swap."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from people import People

from disco.chains import lease as leases
from disco.chains.signed import Signed
from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.engine.secret import SecretRef
from disco.kube.access import Cluster
from disco.layers.akash.signer import EndLease, HandBack, Key, TakeLease, TakeOver, TakeUp
from disco.layers.akash.signer_back import BackExecutors
from disco.store.store import Store

ADDRESS = "AB" * 20
KEY = Key("validator-0", SecretRef("chains/akash/validator-0/validator", "address"))
CLUSTER = Cluster("c", "https://192.0.2.1:6443", "kubernetes/ca")
ABOUT = (CLUSTER, "akash", "disco-local-1", (KEY,))


class OneNamespace:
    """The cluster, as far as anybody asks it: who it is. No pod of the chain is in it."""

    def __init__(self, uid: str) -> None:
        self.uid = uid

    async def get(self, cluster: Cluster, path: str) -> Any:
        return {"metadata": {"uid": self.uid}, "items": []}

    async def until(self, cluster: Cluster, what: str, test: Any, *rest: Any) -> None:
        assert not await test()

    async def find(self, cluster: Cluster, path: str) -> None:
        return None

    def http(self, cluster: Cluster) -> Any:
        return self

    async def delete(self, path: str) -> Any:
        return httpx2.Response(404)


class Asker:
    """Somebody with a clone, on a stack, at a cluster."""

    def __init__(self, people: People, who: str, stack: str, uid: str) -> None:
        self.store = Store(Place(people.top / who / stack), people.person(who).repository())
        kube: Any = OneNamespace(uid)
        self.do = BackExecutors(kube, self.store)

    def take(self) -> None:
        asyncio.run(self.do.take(TakeLease(*ABOUT), _quiet))

    def end(self, ground_goes: bool = False) -> None:
        asyncio.run(self.do.end(EndLease(*ABOUT, ground_goes=ground_goes), _quiet))

    def take_over(self, height: int) -> None:
        action = TakeOver(*ABOUT, height=height, why="its disks were shredded")
        asyncio.run(self.do.take_over(action, _quiet))

    def hand_back(self) -> None:
        asyncio.run(self.do.hand_back(HandBack(*ABOUT), _quiet))

    def take_up(self) -> None:
        asyncio.run(self.do.take_up(TakeUp(*ABOUT), _quiet))

    def to_signer(self, begun: bool) -> None:
        """As its lease says it."""
        lease = leases.read(json.dumps(self.lease()).encode(), ADDRESS, "disco-local-1")
        lease = lease.moved(leases.SIGNER, Signed(40, 0, 2))
        lease = leases.begun(lease) if begun else lease
        files = leases.files(lease, self.store.stack, "akash", "validator-0")
        self.store.shelf.write("Hand it over", files=files)

    def lease(self) -> Any:
        return json.loads(self.store.shelf.agreed(leases.path_of(ADDRESS), ask=True) or b"{}")


def _quiet(note: str, share: float | None) -> None:
    """Nobody is told."""


@pytest.fixture(autouse=True)
def keys(people: People) -> None:
    """Both stacks have the same key, as after a copy of one."""
    ana = people.person("ana").repository()
    name = "chains/akash/validator-0/validator"
    ana.write("Keys", {f"{s}/{name}": {"address": ADDRESS} for s in ("prod", "copy")})
    people.person("ben").repository().sync()


@pytest.mark.parametrize(("stack", "uid"), [("copy", "one"), ("prod", "two"), ("copy", "two")])
def test_another_stack_or_cluster_with_the_same_key_is_refused(
    people: People, stack: str, uid: str
) -> None:
    Asker(people, "ana", "prod", "one").take()
    ben = Asker(people, "ben", stack, uid)
    with pytest.raises(DiscoError, match="is leased to the stack prod in the cluster one"):
        ben.take()
    assert ben.lease()["cluster"] == "one"


def test_of_two_at_once_one_is_refused_and_stays_so(people: People) -> None:
    """Ben has looked before ana wrote, and writes after her: as two runs at the same moment."""
    ana, ben = Asker(people, "ana", "prod", "one"), Asker(people, "ben", "copy", "two")
    path = leases.path_of(ADDRESS)
    mine = leases.taken(leases.Lease(ADDRESS, "disco-local-1"), "copy", "two", leases.HOME)
    ana.take()
    with pytest.raises(DiscoError, match="changed here and there"):
        ben.store.shelf.write("Lease it", files={path: mine.content()})
    assert ben.store.shelf.agreed(path, ask=False) is None, "a lease that nobody else has is none"
    for _ in range(2):
        with pytest.raises(DiscoError, match="changed here and there"):
            Asker(people, "ben", "copy", "two").take()
    assert ana.lease()["cluster"] == "one"


def test_where_the_remote_is_away_nobody_takes_anything(people: People) -> None:
    ben = Asker(people, "ben", "copy", "two")
    Path(people.url).rename(people.top / "away")
    with pytest.raises(DiscoError):
        ben.take()
    assert ben.store.shelf.agreed(leases.path_of(ADDRESS), ask=False) is None


def test_a_store_that_was_put_back_gives_no_lease(people: People) -> None:
    """From before the lease was taken: refused by whoever has seen more of it."""
    ben = Asker(people, "ben", "copy", "two")
    before = people.remote().ref("refs/heads/main")
    Asker(people, "ana", "prod", "one").take()
    with pytest.raises(DiscoError, match="is leased to"):
        ben.take()
    people.remote().run("update-ref", "refs/heads/main", before)
    with pytest.raises(DiscoError, match="older than what this machine has seen"):
        ben.take()


def test_what_ended_is_given_to_the_next_under_a_higher_fence(people: People) -> None:
    ana, ben = Asker(people, "ana", "prod", "one"), Asker(people, "ben", "copy", "two")
    ana.take()
    ben.end()
    assert ben.lease()["stack"] == "prod", "only who has it ends it"
    ana.end()
    ben.take()
    assert (ben.lease()["stack"], ben.lease()["fence"]) == ("copy", 2)


def test_a_take_over_has_a_name_and_a_reason_in_history_and_begins_above(people: People) -> None:
    ana, ben = Asker(people, "ana", "prod", "one"), Asker(people, "ben", "copy", "two")
    ana.take()
    ben.take_over(500)
    assert (ben.lease()["cluster"], ben.lease()["signed"]["height"]) == ("two", 500)
    first = people.person("ben").repository().log()[0]
    assert first.by == "ben"
    assert "its disks were shredded" in first.message
    with pytest.raises(DiscoError, match="is leased to the stack copy in the cluster two"):
        ana.take()


def test_a_cluster_that_is_taken_down_leaves_its_keys_to_its_own_stack_alone(
    people: People,
) -> None:
    """Nobody waits for its pods, so nobody else may have them on its word."""
    ana, ben = Asker(people, "ana", "prod", "one"), Asker(people, "ben", "copy", "two")
    ana.take()
    was = ana.lease()
    ana.end(ground_goes=True)
    with pytest.raises(DiscoError, match="is leased to the stack prod"):
        ben.take()
    ana.take()
    assert ana.lease() == was, "cut off and put up again, it is the same cluster"
    ana.end(ground_goes=True)
    Asker(people, "ana", "prod", "three").take()
    assert (ana.lease()["cluster"], ana.lease()["fence"]) == ("three", 2)


def test_only_who_has_a_key_takes_it_back_from_its_signer(people: People) -> None:
    ana, ben = Asker(people, "ana", "prod", "one"), Asker(people, "ben", "copy", "two")
    ana.take()
    ana.to_signer(begun=False)
    with pytest.raises(DiscoError, match="is leased to the stack prod in the cluster one"):
        ben.hand_back()
    with pytest.raises(DiscoError, match="validator-0 are with their signers still"):
        ana.take()
    with pytest.raises(DiscoError, match="validator-0 are with their signers still"):
        ana.take_up()
    ana.hand_back()
    lease = ana.lease()
    assert (lease["place"], lease["fence"], lease["signed"]["height"]) == ("validator", 3, 40)


def test_a_signer_that_somebody_deleted_gives_no_key_back(people: People) -> None:
    """Its volume knows what was signed, and nobody is there to tell."""
    ana = Asker(people, "ana", "prod", "one")
    ana.take()
    ana.to_signer(begun=True)
    with pytest.raises(DiscoError, match="there is no StatefulSet signer-0"):
        ana.hand_back()
    assert ana.lease()["place"] == "signer"
