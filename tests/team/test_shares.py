"""A share of a vault's key is one member's, whatever access patterns say, and goes with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from forger import Forger
from people import SECRET, People, grown

from disco.engine.errors import DiscoError, WrongUse
from disco.engine.place import Place
from disco.layers.platform.quorum import Quorum, refuse_strangers
from disco.store.store import Store
from disco.store.team.history import Untrusted
from disco.store.team.layout import file_of, owed_of
from disco.store.team.repository import Repository, join
from disco.store.team.roles import Role
from disco.store.team.sealed import Content, seal

INIT = "dev/vault/init"
SHARES = {name: f"dev/vault/share-{name}" for name in ("ana", "ben")}
VALUES = {name: {"share": f"canary-of-{name}"} for name in SHARES}


@pytest.fixture
def ana(people: People) -> Repository:
    """Who began the vault; ben has taken it."""
    repository = people.person("ana").repository()
    access = {"dev/*": ("ana", "ben", "eve"), "*": ("ana", "ben", "eve")}
    repository.change_team(repository.team().changed(access=access), "Let all read all")
    contents = {INIT: {"root_token": "t"}, **{SHARES[n]: VALUES[n] for n in SHARES}}
    repository.write("Keep the keys of a new vault", contents)
    people.person("ben").repository().sync()
    people.person("eve").repository().sync()
    return repository


def test_only_its_holder_can_open_it(ana: Repository, people: People) -> None:
    ben = people.person("ben").repository()
    assert ana.fields(SHARES["ana"]) == VALUES["ana"]
    assert ben.fields(SHARES["ben"]) == VALUES["ben"]
    for one, other in ((ana, "ben"), (ben, "ana"), (people.person("eve").repository(), "ben")):
        with pytest.raises(WrongUse, match="is not for you"):
            one.content(SHARES[other])
    assert ana.team().who_can_read(SHARES["ben"]) == ("ben",)
    assert ana.wrong() == {}


def test_one_that_was_sealed_for_somebody_else_too_is_told(ana: Repository) -> None:
    team = ana.team()
    keys = [*team.recipients(SHARES["ben"]), *team.recipients(SHARES["ana"])]
    both = seal(SHARES["ben"], Content.of(VALUES["ben"]), keys)
    ana.write("Seal it for two", files={file_of(SHARES["ben"]): both})
    assert "also sealed for" in ana.wrong()[SHARES["ben"]]


def test_one_that_is_put_in_anothers_place_is_refused(ana: Repository, people: People) -> None:
    mine = ana.file(file_of(SHARES["ana"]))
    ana.write("Swap them", files={file_of(SHARES["ben"]): mine})
    ben = people.person("ben").repository()
    ben.sync()
    with pytest.raises(DiscoError, match="can't be opened with the keys here"):
        ben.content(SHARES["ben"])
    assert SHARES["ben"] in ben.wrong()


def test_nobody_writes_it_who_may_not_read_the_vaults_other_keys(
    ana: Repository, people: People
) -> None:
    rules = {"dev/vault/*": ("ana",)}
    ana.change_team(ana.team().changed(access=rules), "Keep the vault's keys to myself")
    ben = people.person("ben").repository()
    ben.sync()
    with pytest.raises(WrongUse, match="may not change the secret"):
        ben.write("Take ana's place", {SHARES["ana"]: {"share": "forged"}})
    ben.write("Seal mine anew", {SHARES["ben"]: VALUES["ben"]})
    forger = Forger(people)
    team = forger.team()
    forged = seal(SHARES["ana"], Content.of({"share": "x"}), team.recipients(SHARES["ana"]))
    forger.put(forger.commit("ben", {file_of(SHARES["ana"]): forged}))
    with pytest.raises(Untrusted, match="ben changes the secret"):
        ana.sync()


def test_who_leaves_takes_no_share_along_that_is_not_owed(ana: Repository) -> None:
    members = {n: m for n, m in ana.team().members.items() if n != "ben"}
    access = {"*": ("ana", "eve")}
    team = ana.team().changed(members=members, access=access)
    sealed, owed = ana.change_team(team, "Remove ben")
    assert owed == [SECRET, INIT, SHARES["ben"]] and sealed == 2
    assert ana.file(file_of(SHARES["ben"])) is None
    assert "ben left the team" in ana.owed()[SHARES["ben"]]
    assert ana.wrong() == {} and ana.fields(SHARES["ana"]) == VALUES["ana"]
    ana.write("New shares", {SHARES["ben"]: None, SHARES["ana"]: {"share": "new"}})
    assert ana.file(owed_of(SHARES["ben"])) is None


def test_nobody_else_seals_it_for_its_holders_other_keys(ana: Repository, people: People) -> None:
    before = ana.file(file_of(SHARES["ben"]))
    new = people.person("ben-at-home")
    member = ana.team().members["ben"]
    keys = (*member.keys, *(str(k) for k in new.own.public))
    grown(ana, {"ben": member.model_copy(update={"keys": keys})})
    assert ana.file(file_of(SHARES["ben"])) == before
    assert "not sealed for" in ana.wrong()[SHARES["ben"]]
    ben = people.person("ben").repository()
    ben.sync()
    ben.write("Seal mine anew", {SHARES["ben"]: ben.content(SHARES["ben"])})
    assert ben.wrong() == {}


def test_shares_that_were_kept_while_the_team_changed_reach_the_others(
    ana: Repository, people: People
) -> None:
    """They can't be opened by who puts them on top of what the others did."""
    offline = people.person("ana").repository()
    offline.url = str(people.top / "unplugged.git")
    with pytest.raises(DiscoError):
        offline.write("New shares", {SHARES[n]: {"share": f"new-{n}"} for n in SHARES})
    other = people.person("ana").clone("elsewhere")
    join(other, ana.memory.known.root)
    member = other.team().members["ben"]
    keys = (*member.keys, *(str(k) for k in people.person("ben-at-home").own.public))
    grown(other, {"ben": member.model_copy(update={"keys": keys})})
    here = people.person("ana").repository()
    here.sync()
    ben = people.person("ben").repository()
    ben.sync()
    assert ben.fields(SHARES["ben"]) == {"share": "new-ben"}


def test_nobody_gets_a_share_who_is_no_member(ana: Repository) -> None:
    with pytest.raises(WrongUse, match="nobody could read"):
        ana.write("A share for a stranger", {"dev/vault/share-mallory": {"share": "x"}})


def test_who_writes_shares_need_not_read_them(ana: Repository, people: People) -> None:
    assert ana.team().who_can_write(SHARES["ben"]) == ("ana", "ben", "eve")
    assert ana.team().members["eve"].role is Role.READER  # whose commits are refused anyway


@pytest.mark.parametrize(
    ("holders", "why"),
    [
        (("ana", "ben"), ""),
        (("ana", "mallory"), "mallory is to hold a share of the vault's key, and is no member"),
        (("ana", "eve"), "eve is to hold a share of the vault's key, and is a reader"),
    ],
)
def test_holders_are_members_who_may_change_the_store(
    ana: Repository, holders: tuple[str, ...], why: str
) -> None:
    store = Store(Place(Path("/nowhere/dev")), ana)
    if not why:
        refuse_strangers(store, Quorum(holders, 2))
        return
    with pytest.raises(WrongUse, match=why):
        refuse_strangers(store, Quorum(holders, 2))


def test_a_store_of_one_machine_has_no_holders(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="holders are members of a team"):
        refuse_strangers(Store(Place(tmp_path / "dev")), Quorum(("local",), 1))


def test_shares_are_put_back_as_they_were_sealed(ana: Repository, people: People) -> None:
    """By somebody who can read none of them but one, and in one commit."""
    store = Store(Place(Path("/nowhere/dev")), ana)
    before = {f"vault/share-{n}": store.sealed(f"vault/share-{n}") or b"" for n in SHARES}
    store.put_all({f"vault/share-{n}": {"share": f"new-{n}"} for n in SHARES}, "New shares")
    head = ana.head()
    store.put_all({}, "Take the old ones", before, {"vault/rekeying": None})
    assert len(ana.git.between(head, ana.head())) == 1
    ben = people.person("ben").repository()
    ben.sync()
    assert ben.fields(SHARES["ben"]) == VALUES["ben"]
    assert store.fields("vault/share-ana") == VALUES["ana"]
