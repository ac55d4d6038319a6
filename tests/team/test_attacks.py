"""A hostile set: whoever has the remote, and members who do more than they may. Everything is
refused with what was expected and what was found, and nothing is read or written after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forger import FILE_OF, Forger, other_hash, signed_in
from people import SECRET, VALUE, People, grown

from disco.engine.errors import DiscoError
from disco.store.team.git import BRANCH, ZERO
from disco.store.team.history import Untrusted
from disco.store.team.layout import FILE, SIGNATURE, file_of
from disco.store.team.repository import Repository, begin, join
from disco.store.team.roles import Role
from disco.store.team.sealed import Content, seal

HIDDEN = "prod/db/password"


@dataclass(frozen=True)
class Attack:
    """forge: the head that it leaves at the remote. what, why: said of it."""

    name: str
    forge: Callable[[Forger], str]
    what: str
    why: str


@pytest.fixture(scope="module")
def forger(first: People, memory: Path) -> Iterator[Forger]:
    """A store with a secret that only ana may read, and dan, who was removed. Refused attacks
    leave nothing, so that all of them meet the same one."""
    top = memory / "attacked"
    shutil.copytree(first.top, top)
    people = People(top)
    ana = people.person("ana").repository()
    grown(ana, {"dan": people.person("dan").member(Role.OPERATOR)})
    team = ana.team()
    members = {n: m for n, m in team.members.items() if n != "dan"}
    ana.change_team(team.changed(members=members, access={"prod/*": ("ana",)}), "Remove dan")
    ana.write(f"Set {HIDDEN}", {HIDDEN: {"value": VALUE}, "dev/db/other": {"value": "other"}})
    for name in ("ben", "eve"):
        people.person(name).repository().sync()
    yield Forger(people)
    shutil.rmtree(top)


@pytest.fixture
def remote(forger: Forger) -> Iterator[Forger]:
    head = forger.head
    yield forger
    forger.put(head)


def sealed(forger: Forger, secret: str = SECRET, value: str = "forged") -> bytes:
    return seal(secret, Content.of({"value": value}), forger.team().recipients(secret))


# --- who signs


def by_a_stranger(f: Forger) -> str:
    return f.commit("mallory", {FILE_OF: sealed(f)})


def by_a_stranger_who_says_to_be_ana(f: Forger) -> str:
    return f.commit("mallory", {FILE_OF: sealed(f)}, says="ana")


def by_nobody(f: Forger) -> str:
    return f.unsigned({FILE_OF: sealed(f)})


def by_one_who_left(f: Forger) -> str:
    return f.commit("dan", {FILE_OF: sealed(f)})


def with_another_commits_signature(f: Forger) -> str:
    return f.with_signature(f.unsigned({FILE_OF: sealed(f)}), f.signature_of(f.head))


def in_another_namespace(f: Forger) -> str:
    unsigned = f.unsigned({FILE_OF: sealed(f)})
    content = f.git.run("cat-file", "commit", unsigned)
    return f.with_signature(unsigned, signed_in("file", f.person("ana").key, content))


def over_another_hash(f: Forger) -> str:
    unsigned = f.unsigned({FILE_OF: sealed(f)})
    content = f.git.run("cat-file", "commit", unsigned)
    signature = signed_in("git", f.person("ana").key, content)
    return f.with_signature(unsigned, other_hash(signature))


def by_a_reader(f: Forger) -> str:
    return f.commit("eve", {FILE_OF: sealed(f)})


def empty_by_a_reader(f: Forger) -> str:
    return f.commit("eve", {})


def hidden_by_an_operator(f: Forger) -> str:
    return f.commit("ben", {file_of(HIDDEN): sealed(f, HIDDEN)})


def hidden_removed_by_an_operator(f: Forger) -> str:
    return f.commit("ben", {file_of(HIDDEN): None})


def hidden_copied_by_an_operator(f: Forger) -> str:
    """Where he may write, he may put what he can't read; it can't be opened as that."""
    return f.commit("ben", {file_of("prod/db/copy"): f.now(FILE_OF)})


def an_old_value_by_a_stranger(f: Forger) -> str:
    old = f.git.tree(f"{f.head}~1").get(FILE_OF)
    assert old
    newer = f.commit("ben", {FILE_OF: sealed(f, value="newer")})
    f.put(newer)
    return f.commit("mallory", {FILE_OF: f.git.read(old)})


# --- who is in the team


def team_by_an_operator(f: Forger) -> str:
    return f.commit("ben", f.signed_team("ana", f.with_mallory()))


def team_by_a_stranger(f: Forger) -> str:
    return f.commit("mallory", f.signed_team("mallory", f.with_mallory()))


def team_of_a_stranger_committed_by_an_admin(f: Forger) -> str:
    return f.commit("ana", f.signed_team("mallory", f.with_mallory()))


def team_signed_by_an_operator(f: Forger) -> str:
    return f.commit("ben", f.signed_team("ben", f.with_mallory()))


def team_without_its_signature(f: Forger) -> str:
    return f.commit("ana", {FILE: f.with_mallory().text()})


def team_with_its_signature_removed(f: Forger) -> str:
    return f.commit("ana", {FILE: f.with_mallory().text(), SIGNATURE: None})


def team_removed(f: Forger) -> str:
    return f.commit("ana", {FILE: None, SIGNATURE: None})


def signature_alone(f: Forger) -> str:
    return f.commit("ana", {SIGNATURE: b"nothing"})


def team_with_an_empty_signature(f: Forger) -> str:
    return f.commit("ana", {FILE: f.with_mallory().text(), SIGNATURE: b""})


def team_with_an_older_signature(f: Forger) -> str:
    old = f.git.read(f.git.tree(f"{f.head}~1")[SIGNATURE])
    changed = f.with_mallory().text()
    return f.commit("ana", {FILE: changed, SIGNATURE: old + b"\n"})


def team_in_another_namespace(f: Forger) -> str:
    content = f.with_mallory().text()
    return f.commit(
        "ana", {FILE: content, SIGNATURE: signed_in("git", f.person("ana").key, content)}
    )


def an_older_team(f: Forger) -> str:
    """With dan in it, exactly as ana signed it once."""
    was = next(c for c in f.git.between(ZERO, f.head) if b"dan" in f.git.read(f.git.tree(c)[FILE]))
    tree = f.git.tree(was)
    return f.commit("ben", {p: f.git.read(tree[p]) for p in (FILE, SIGNATURE)})


def a_team_two_versions_on(f: Forger) -> str:
    return f.commit("ana", f.signed_team("ana", f.with_mallory(f.team().version + 2)))


def the_same_version(f: Forger) -> str:
    return f.commit("ana", f.signed_team("ana", f.with_mallory(f.team().version)))


def a_team_that_is_none(f: Forger) -> str:
    return f.commit("ana", {FILE: b"team: [", SIGNATURE: b"x"})


# --- what a commit may be


def a_merge(f: Forger) -> str:
    one = f.commit("ben", {FILE_OF: sealed(f)})
    two = f.commit("ben", {file_of("dev/db/two"): sealed(f, "dev/db/two")})
    return f.of_tree("ben", f.tree({}, one), [one, two])


def another_root(f: Forger) -> str:
    return f.of_tree("ana", f.tree({}, f.head), [])


def another_root_merged(f: Forger) -> str:
    return f.of_tree("ana", f.tree({}, f.head), [another_root(f), f.head])


def linked(f: Forger, mode: str, target: str) -> str:
    kept = f.raw_tree((mode, "link", target))
    top = [line.split() for line in f.git.text("ls-tree", f.head).splitlines()]
    entries = [(m.lstrip("0"), n, i) for m, _, i, n in top] + [("40000", "kept", kept)]
    entries.sort(key=lambda e: e[1] + ("/" if e[0] == "40000" else ""))
    return f.of_tree("ben", f.raw_tree(*entries), [f.head])


def a_link(f: Forger) -> str:
    return linked(f, "120000", f.git.blob(b"/etc/passwd"))


def a_submodule(f: Forger) -> str:
    return linked(f, "160000", f.head)


def two_of_a_name(f: Forger) -> str:
    top = [line.split() for line in f.git.text("ls-tree", f.head).splitlines()]
    entries = [(m.lstrip("0"), n, i) for m, _, i, n in top]
    return f.of_tree("ben", f.raw_tree(*entries, entries[-1]), [f.head])


def named(name: str) -> Callable[[Forger], str]:
    """A file of that name in secrets/."""

    def forge(f: Forger) -> str:
        inside = f.raw_tree(("100644", name, f.git.blob(sealed(f))))
        top = [line.split() for line in f.git.text("ls-tree", f.head).splitlines()]
        entries = [(m.lstrip("0"), n, inside if n == "secrets" else i) for m, _, i, n in top]
        return f.of_tree("ben", f.raw_tree(*entries), [f.head])

    return forge


# --- older states


def put_back(f: Forger) -> str:
    return f.git.text("rev-parse", f"{f.head}~1")


def put_back_and_gone_on(f: Forger) -> str:
    """What ben signed once, on what was there once: every signature is good."""
    return f.commit("ben", {FILE_OF: sealed(f)}, on=put_back(f))


MEMBERS = "expected one of ana, ben, eve; found "
STRANGE = f"{MEMBERS}another key's signature, or of another text"
NEXT_TEAM = "expected version 5; found "
OLDER = "the store is older than what this machine has seen of it, or another one"
PLAIN = "expected mode 100644; found mode "

ATTACKS = [
    Attack("a stranger", by_a_stranger, "not signed by a member", STRANGE),
    Attack("a forged author", by_a_stranger_who_says_to_be_ana, "not signed by a member", STRANGE),
    Attack("no signature", by_nobody, "not signed by a member", f"{MEMBERS}no signature"),
    Attack("one who left", by_one_who_left, "not signed by a member", STRANGE),
    Attack("a signature that was moved", with_another_commits_signature, "not signed", STRANGE),
    Attack("another namespace", in_another_namespace, "not signed by a member", STRANGE),
    Attack("another hash", over_another_hash, "not signed by a member", STRANGE),
    Attack("a reader", by_a_reader, f"eve changes {FILE_OF}", "expected an operator or admin; found"
           " a reader"),
    Attack("a reader, nothing changed", empty_by_a_reader, "eve changes nothing",
           "expected an operator or admin; found a reader"),
    Attack("an unreadable secret", hidden_by_an_operator, f"ben changes the secret {HIDDEN}",
           "expected one of ana; found ben"),
    Attack("an unreadable secret removed", hidden_removed_by_an_operator,
           f"ben changes the secret {HIDDEN}", "expected one of ana; found ben"),
    Attack("a secret where one may not write", hidden_copied_by_an_operator,
           "ben changes the secret prod/db/copy", "expected one of ana; found ben"),
    Attack("an old value", an_old_value_by_a_stranger, "not signed by a member", STRANGE),
    Attack("team: commit by an operator", team_by_an_operator, "ben changes the team",
           "expected an admin; found ben is operator"),
    Attack("team: by a stranger", team_by_a_stranger, "team.yaml is not signed by an admin",
           "expected one of ana; found a signature by another key, or none"),
    Attack("team: signed by a stranger", team_of_a_stranger_committed_by_an_admin,
           "team.yaml is not signed by an admin",
           "expected one of ana; found a signature by another key, or none"),
    Attack("team: signed by an operator", team_signed_by_an_operator,
           "team.yaml is not signed by an admin", "expected one of ana; found ben, operator"),
    Attack("team: no signature", team_without_its_signature, "change together only",
           "expected both; found not team.yaml.sig"),
    Attack("team: signature removed", team_with_its_signature_removed, "change together only",
           "expected both; found not team.yaml.sig"),
    Attack("team: removed", team_removed, "change together only", "found not team.yaml"),
    Attack("team: signature alone", signature_alone, "change together only",
           "found not team.yaml"),
    Attack("team: empty signature", team_with_an_empty_signature,
           "team.yaml is not signed by an admin", "a signature by another key, or none"),
    Attack("team: stale signature", team_with_an_older_signature,
           "team.yaml is not signed by an admin", "a signature by another key, or none"),
    Attack("team: another namespace", team_in_another_namespace,
           "team.yaml is not signed by an admin", "a signature by another key, or none"),
    Attack("team: an older one", an_older_team, "not the next version", f"{NEXT_TEAM}3"),
    Attack("team: two versions on", a_team_two_versions_on, "not the next version",
           f"{NEXT_TEAM}6"),
    Attack("team: the same version", the_same_version, "not the next version", f"{NEXT_TEAM}4"),
    Attack("team: not readable", a_team_that_is_none, "can't be read", "is not YAML"),
    Attack("a merge", a_merge, "does not follow the commit before it", "expected one parent"),
    Attack("another root", another_root, OLDER, "expected a history with the commit"),
    Attack("another root, merged", another_root_merged, "does not follow", "expected one parent"),
    Attack("a symbolic link", a_link, "kept/link is no plain file", f"{PLAIN}120000"),
    Attack("a submodule", a_submodule, "kept/link is no plain file", f"{PLAIN}160000"),
    Attack("two files of a name", two_of_a_name, "remote can't be used", "contains duplicate"),
    Attack("a name that leaves", named(".."), "remote can't be used", "contains '..'"),
    Attack("a name with a slash", named("../x.age"), "remote can't be used", "full pathnames"),
    Attack("a repository inside", named(".git"), "remote can't be used", "contains '.git'"),
    Attack("a name that paints", named("\x1b[2J.age"), "can't be the name of a file",
           "expected lower-case letters, digits and . _ -; found ben"),
    Attack("put back", put_back, OLDER, "expected a history with the commit"),
    Attack("put back and gone on", put_back_and_gone_on, OLDER, "which does not have it"),
]  # fmt: skip


def state(repository: Repository) -> tuple[str, str, dict[str, str]]:
    return (
        repository.git.ref(BRANCH),
        repository.memory.path.read_text() + repository.newest.path.read_text(),
        repository.fields(SECRET),
    )


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_what_nobody_may_do_is_refused_and_leaves_nothing(remote: Forger, attack: Attack) -> None:
    ana = remote.person("ana").repository()
    before = state(ana)
    forged = attack.forge(remote)
    remote.put(forged)
    with pytest.raises(DiscoError) as caught:
        ana.sync()
    assert attack.what in caught.value.what
    assert attack.why in caught.value.why
    assert caught.value.fix
    assert state(remote.person("ana").repository()) == before
    assert remote.head == forged


@pytest.mark.parametrize("attack", [ATTACKS[0], ATTACKS[13], ATTACKS[-1]], ids=lambda a: a.name)
def test_nothing_is_pushed_onto_what_is_refused(people: People, attack: Attack) -> None:
    forger = Forger(people)
    ben = people.person("ben").repository()
    forger.put(attack.forge(forger) if forger.head else ZERO)
    forged = forger.head
    with pytest.raises(Untrusted):
        ben.write("Set it", {"dev/db/mine": {"value": "mine"}})
    assert forger.head == forged
    assert ben.fields("dev/db/mine") == {"value": "mine"}


def test_who_signed_is_shown_and_not_who_a_commit_says_it_is_by(people: People) -> None:
    forger = Forger(people)
    forger.put(forger.commit("ben", {FILE_OF: sealed(forger)}, says="ana"))
    eve = people.person("eve").repository()
    eve.sync()
    assert eve.log()[0].by == "ben"


# --- what a member may do, and is refused where it is read


def swapped(forger: Forger) -> dict[str, bytes]:
    other = sealed(forger, "dev/db/other")
    return {file_of("dev/db/other"): other, FILE_OF: other}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda f: f.now(FILE_OF)[:-7], "it can't be opened with the keys here"),
        (lambda f: f.now(FILE_OF)[:40], "it can't be opened with the keys here"),
        (lambda f: b"", "it can't be opened with the keys here"),
        (
            lambda f: sealed(f, "dev/db/other"),
            "it was sealed as dev/db/other, and was moved here",
        ),
    ],
    ids=["truncated", "truncated header", "emptied", "swapped or moved"],
)
def test_a_damaged_secret_is_refused_alone(
    people: People, content: Callable[[Forger], bytes], why: str
) -> None:
    forger = Forger(people)
    other = sealed(forger, "dev/db/good", "good")
    forger.put(forger.commit("ben", {FILE_OF: content(forger), file_of("dev/db/good"): other}))
    ana = people.person("ana").repository()
    ana.sync()
    with pytest.raises(DiscoError, match=f"the secret {SECRET} is refused") as caught:
        ana.fields(SECRET)
    assert why in caught.value.why
    assert ana.fields("dev/db/good") == {"value": "good"}


def test_a_secret_that_is_sealed_for_others_than_the_team_says_is_told(people: People) -> None:
    forger = Forger(people)
    team, mallory = forger.team(), people.person("mallory").own.public
    everybody = team.recipients(SECRET)
    made = {
        "dev/db/more": [*everybody, *mallory],
        "dev/db/less": everybody[:1],
        "dev/db/right": everybody,
    }
    forger.put(
        forger.commit(
            "ben", {file_of(s): seal(s, Content.of({"value": "x"}), k) for s, k in made.items()}
        )
    )
    ana = people.person("ana").repository()
    ana.sync()
    wrong = ana.wrong()
    assert set(wrong) == {"dev/db/more", "dev/db/less"}
    assert "it is also sealed for the ssh-ed25519 key" in wrong["dev/db/more"]
    assert "it is not sealed for the ssh-ed25519 key" in wrong["dev/db/less"]


# --- the remote, and copies of clones


def test_an_emptied_remote_is_told(people: People) -> None:
    people.remote().run("update-ref", "-d", BRANCH)
    ana = people.person("ana").repository()
    with pytest.raises(Untrusted, match="the remote is empty, and was not before") as caught:
        ana.write("Set it", {SECRET: {"value": "new"}})
    assert ana.memory.known.shared[:12] in caught.value.why
    assert people.remote().ref(BRANCH) == ZERO


def test_a_new_clone_of_the_same_account_takes_nothing_older(people: People) -> None:
    """Its own memory is gone; the account's is not."""
    ben = people.person("ben").repository()
    ben.write("Set it", {SECRET: {"value": "new"}})
    root = ben.memory.known.root
    shutil.rmtree(ben.git.folder)
    ben.memory.path.unlink()
    forger = Forger(people)
    forger.put(put_back(forger))
    with pytest.raises(Untrusted, match="older than what this machine has seen"):
        join(people.person("ben").repository(), root)
    assert not people.person("ben").repository().is_there


def test_joining_is_remembered_by_the_account(people: People) -> None:
    ben = people.person("ben").repository()
    root = ben.memory.known.root
    for path in (ben.memory.path, ben.newest.path):
        path.unlink(missing_ok=True)
    join(ben, root)
    assert ben.newest.known.shared == ben.head()


def test_a_new_clone_takes_no_other_beginning(people: People) -> None:
    mallory = people.person("mallory")
    other = mallory.repository()
    other.url = ""
    begin(other, "acme", "mallory")
    people.remote().run("fetch", "-q", str(other.git.folder), f"+{BRANCH}:{BRANCH}")
    dan = people.person("dan").repository()
    root = people.person("ana").repository().memory.known.root
    with pytest.raises(Untrusted, match="begins with another commit than this store's") as caught:
        join(dan, root)
    assert caught.value.why == f"expected {root}; found {other.head()}"
    assert not dan.is_there


def test_a_clone_that_is_put_back_is_noticed(people: People) -> None:
    """Its memory is outside of it."""
    ben = people.person("ben").repository()
    copy = people.top / "copy"
    shutil.copytree(ben.git.folder, copy)
    ben.write("Set it", {SECRET: {"value": "new"}})
    shutil.rmtree(ben.git.folder)
    shutil.copytree(copy, ben.git.folder)
    for use in (ben.secrets, lambda: people.person("ben").repository().fields(SECRET)):
        with pytest.raises(Untrusted, match="older than what this machine has seen"):
            use()
    with pytest.raises(Untrusted):
        ben.write("Set it", {SECRET: {"value": "newer"}})


def test_a_store_of_one_machine_that_is_put_back_is_noticed(tmp_path: Path, people: People) -> None:
    ana = people.person("zoe").repository()
    ana.url = ""
    begin(ana, "alone", "zoe")
    copy = people.top / "copy"
    shutil.copytree(ana.git.folder, copy)
    ana.write("Set it", {SECRET: {"value": "new"}})
    shutil.rmtree(ana.git.folder)
    shutil.copytree(copy, ana.git.folder)
    with pytest.raises(Untrusted, match="older than what this machine has seen"):
        ana.fields(SECRET)


def test_a_commit_put_into_a_clone_is_refused(people: People) -> None:
    """By somebody who can write to its folder, and has no member's key."""
    ben = people.person("ben").repository()
    ben.git.run("fetch", "-q", people.url)
    inside = Forger(People(people.top))
    forged = inside.commit("mallory", {FILE_OF: sealed(inside)})
    ben.git.run("fetch", "-q", people.url, f"+{forged}:{BRANCH}")
    with pytest.raises(Untrusted, match="not signed by a member"):
        ben.fields(SECRET)


def test_an_object_that_stands_for_another_is_not_taken(people: People) -> None:
    """`git replace` gives a file other content under the same name, and every id stays."""
    ben = people.person("ben").repository()
    blob = ben.tree()[FILE_OF]
    forged = ben.git.blob(
        seal(SECRET, Content.of({"value": "forged"}), ben.team().recipients(SECRET))
    )
    ben.git.run("update-ref", f"refs/replace/{blob}", forged)
    assert people.person("ben").repository().fields(SECRET) == {"value": VALUE}


def test_what_this_machine_remembers_is_never_taken_for_nothing(people: People) -> None:
    ben = people.person("ben").repository()
    for content in ("", "{", "[]", '{"root": ', '{"more": "x"}'):
        ben.memory.path.write_text(content)
        with pytest.raises(DiscoError, match="what this machine remembers of the store"):
            ben.fields(SECRET)


def test_a_clone_that_lost_what_nobody_else_has_yet_is_refused(people: People) -> None:
    """Its folder is put back to before a change that was made offline."""
    ben = people.person("ben").repository()
    before = ben.head()
    ben.url += ".away"
    with pytest.raises(DiscoError, match="can't be used"):
        ben.write("Offline", {"dev/a/b": {"value": "x"}})
    ben.git.run("update-ref", BRANCH, before)
    for ask in (ben.tree, lambda: ben.write("More", {"dev/a/c": {"value": "y"}})):
        with pytest.raises(Untrusted, match="older than what this machine has seen"):
            ask()
