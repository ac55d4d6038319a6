"""One place signs with a key: a lease goes nowhere by itself, and never back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disco.chains import lease as leases
from disco.chains.lease import HOME, SIGNER, Lease
from disco.chains.signed import Signed
from disco.engine.errors import DiscoError

FREE = Lease("AA", "a-1")
MINE = leases.taken(FREE, "prod", "one", HOME)
signed = st.builds(Signed, st.integers(0, 9), st.integers(0, 3), st.integers(0, 2))


def test_a_key_that_nobody_has_is_taken_under_a_new_fence() -> None:
    assert (MINE.stack, MINE.cluster, MINE.fence) == ("prod", "one", 1)


def test_who_has_it_takes_it_again_and_nothing_changes() -> None:
    assert leases.taken(MINE, "prod", "one", HOME) == MINE


@pytest.mark.parametrize(("stack", "cluster"), [("prod", "two"), ("copy", "one"), ("copy", "two")])
def test_nobody_else_gets_it_and_is_told_who_has_it_and_what_to_do(
    stack: str, cluster: str
) -> None:
    with pytest.raises(DiscoError) as caught:
        leases.taken(MINE, stack, cluster, HOME)
    error = caught.value
    assert "AA is leased to the stack prod in the cluster one" in error.what
    assert error.where == f"the stack {stack} in the cluster {cluster}"
    assert "slashed" in error.why and "disco signer take" in error.fix


def test_it_is_found_by_its_key_whatever_stack_has_it() -> None:
    assert leases.path_of("AA") == replace(MINE, stack="copy").path == "kept/leases/aa.json"


def test_what_was_written_is_read() -> None:
    lease = replace(MINE, signed=Signed(7, 1, 2, '{"hash":"AB"}'), begun=1)
    assert leases.read(lease.content(), "AA", "a-1") == lease
    assert leases.read(None, "AA", "a-1") == FREE


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", json.dumps({"address": "AA", "new": 1, "signed": {}}).encode()],
)
def test_a_lease_that_nobody_understands_is_somebodys(content: bytes) -> None:
    with pytest.raises(DiscoError, match="can't be read"):
        leases.read(content, "AA", "a-1")


def test_a_lease_at_another_keys_place_is_refused() -> None:
    with pytest.raises(DiscoError, match="is another key's"):
        leases.read(replace(MINE, address="BB").content(), "AA", "a-1")


@given(st.lists(st.tuples(st.sampled_from(["move", "note", "over", "begin"]), signed)))
def test_fence_and_what_was_signed_only_grow(story: list[tuple[str, Signed]]) -> None:
    lease = MINE
    for what, at in story:
        before = lease
        match what:
            case "move":
                lease = lease.moved(SIGNER if lease.place == HOME else HOME, at)
            case "note":
                lease = leases.noted(lease, at)
            case "over":
                lease = leases.taken_over(lease, "prod", "two", at, "burnt")
            case "begin":
                lease = leases.begun(lease)
        assert lease.fence >= before.fence
        assert not lease.signed.behind(before.signed)
        assert not lease.signed.behind(at) or what == "begin"
        assert lease.begun <= lease.fence


def test_a_chain_that_ended_leaves_its_fence_and_one_that_goes_on_what_was_signed() -> None:
    lease = leases.begun(MINE.moved(SIGNER, Signed(9)))
    over, on = leases.ended(lease, keeps=False), leases.ended(lease, keeps=True)
    assert (over.cluster, over.fence, over.signed) == ("", 2, Signed())
    assert on.signed == Signed(9)
    again = leases.taken(over, "prod", "two", HOME)
    assert (again.fence, again.begun) == (3, 0)


def test_one_commit_says_all_of_it() -> None:
    lease = leases.begun(MINE.moved(SIGNER, Signed(9)))
    files = leases.files(lease, "prod", "akash", "validator-0")
    assert files["kept/prod/chains/akash/begun/validator-0"] == b"2"
    assert b"fence=2\n" in (files["kept/prod/chains/akash/leases/validator-0"] or b"")
    gone = leases.files(leases.ended(lease, keeps=False), "prod", "akash", "validator-0")
    assert [p for p, c in gone.items() if c is not None] == ["kept/leases/aa.json"]
