"""The commands that only look: what they print of what is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_said import Disco

from disco.cli import status
from disco.cli.history import runs_of
from disco.engine.component import StatusLine
from disco.engine.journal import Journal
from disco.engine.place import Place
from disco.engine.tail import Tail
from disco.store.generate import CertificateAuthority
from disco.store.store import Store
from thorough import every


def written(stack: Path) -> Journal:
    """A run that ended, and one that was killed inside of an action."""
    place = Place.of(stack, "lab")
    journal = Journal(place.journal)
    journal.write("run", run="aa11", who="me@here", what="up", steps=2)
    journal.write("intent", run="aa11", step="servers/h1", action="boot h1")
    journal.write("done", run="aa11", step="servers/h1", action="boot h1")
    journal.write("intent", run="aa11", step="vault/open", action="init")
    journal.write("failed", run="aa11", step="vault/open", action="init", error="sealed")
    journal.write("end", run="aa11", outcome="failed")
    journal.write("run", run="ab22", who="me@here", what="up", steps=1, token=1)
    journal.write("intent", run="ab22", step="vault/open", action="init")
    return journal


def test_history_says_how_each_run_ended(disco: Disco, stack: Path) -> None:
    written(stack)
    rows = [line.split() for line in disco("history").out.splitlines()[1:]]
    assert [(r[0], r[4], r[-1]) for r in rows] == [("aa11", "up", "failed"), ("ab22", "up", "off")]


def test_history_tells_who_ran_what_from_which_plan_and_how_much_of_it(
    disco: Disco, stack: Path
) -> None:
    journal = Journal(Place.of(stack, "lab").journal)
    note = {"who": "me@here", "what": "down --layer akash", "steps": 6}
    journal.write("run", run="cc33", plan="0123456789abcdef", version="9.8.7", **note)
    skipped = {"stopped": ["a/x", "a/y"]}
    counts = {"done": 3, "failed": 1, "skipped": 2, "seconds": 75.5}
    journal.write("end", run="cc33", outcome="failed", why_skipped=skipped, **counts)
    one = json.loads(disco("history", "--json").out)[0]
    assert one | note | counts | {"plan": "0123456789abcdef", "version": "9.8.7"} == one
    row = disco("history").out.splitlines()[1]
    assert "me@here  down --layer akash    76 s  01234567  9.8.7" in row
    assert row.split()[-5:] == ["3", "1", "2", "6", "failed"]
    said = disco("history", "--run", "cc").err
    assert "3 done, 1 failed, 2 skipped of 6; disco 9.8.7, plan 0123456789abcdef" in said
    assert "skipped, stopped: a/x, a/y" in said


def test_a_run_whose_process_is_there_goes_on(disco: Disco, stack: Path) -> None:
    written(stack)
    Place.of(stack, "lab").lock.write_text(json.dumps({"pid": os.getpid(), "token": 1}))
    assert disco("history").out.splitlines()[-1].endswith("running")


def test_a_killed_run_is_not_taken_for_the_one_that_holds_the_lock_now(
    disco: Disco, stack: Path
) -> None:
    written(stack)
    now = {"pid": os.getpid(), "token": 2}
    Place.of(stack, "lab").lock.write_text(json.dumps(now))
    assert disco("history").out.splitlines()[-1].endswith("cut off")


@pytest.mark.parametrize("note", ['{"pid": Infinity}', '{"pid": "x"}', "[" * 100_000, "\x00"])
def test_a_note_of_the_holder_that_names_no_process_is_no_running_one(
    disco: Disco, stack: Path, note: str
) -> None:
    written(stack)
    Place.of(stack, "lab").lock.write_text(note)
    assert disco("history").out.splitlines()[-1].endswith("off")


def test_history_of_one_run_has_its_actions(disco: Disco, stack: Path) -> None:
    written(stack)
    said = json.loads(disco("history", "--run", "aa", "--json").out)
    assert [(a["outcome"], a["error"]) for a in said["actions"]] == [
        ("done", ""),
        ("failed", "sealed"),
    ]
    assert disco("history", "--run", "a").code == 2
    assert disco("history", "--run", "zz").code == 2


def test_an_action_without_an_outcome_has_no_duration(stack: Path) -> None:
    last = runs_of(written(stack).read())[-1].actions[0]
    assert (last.outcome, last.seconds) == ("no outcome", None)


def test_events_are_one_object_a_line(disco: Disco, stack: Path) -> None:
    written(stack)
    lines = disco("events", "--json", "--tail", "2").out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["run", "intent"]


def test_history_and_events_read_a_journal_cut_off_at_any_byte(disco: Disco, stack: Path) -> None:
    journal = Journal(Place.of(stack, "lab").journal)
    journal.write("run", run="aa11", who="me — 誰か", what="up", plan="0f", steps=1, version="1")
    journal.write("intent", run="aa11", step="servers/h1", action="boot h1")
    journal.write("failed", run="aa11", step="servers/h1", action="boot h1", error="a\nb")
    journal.write("end", run="aa11", outcome="failed", done=0, failed=1, skipped=0, seconds=1.0)
    file = Place.of(stack, "lab").journal
    content = file.read_bytes()
    for length in range(len(content) + 1):
        file.write_bytes(content[:length])
        whole = [r["event"] for r in journal.read()]
        as_it_ended = ["failed" if "end" in whole else "cut off"] * ("run" in whole)
        assert [ran.ended for ran in runs_of(journal.read())] == as_it_ended
        if length % every(13) and length < len(content):
            continue  # the commands say the same, and take longer
        told, listed = disco("events", "--json"), disco("history", "--json")
        assert [json.loads(line)["event"] for line in told.out.splitlines()] == whole
        assert (told.code, listed.code) == (0, 0)
        assert [r["ended"] for r in json.loads(listed.out or "[]")] == as_it_ended


def filled(path: Path, *names: str) -> None:
    for name in names:
        Journal(path).write("intent", run=name, step="s", action="a")


def runs_in(tail: Tail) -> list[str]:
    return [r["run"] for r in tail.new()]


def test_following_goes_on_after_a_cut_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    filled(path, "r1", "r2", "r3")
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        path.write_bytes(content)
        tail = Tail(path)
        assert runs_in(tail) == ["r1", "r2", "r3"]
        path.write_bytes(content[:length])
        # A record that only lost its newline gets it back, and stays the one that was told.
        assert runs_in(tail) == []
        filled(path, "r4")
        assert runs_in(tail) == ["r4"], length
        whole = sum(end <= length for end in ends) + (length + 1 in ends)
        assert len(list(Journal(path).read())) == whole + 1


def test_following_tells_a_record_once_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    filled(path, "r1", "r2")
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        tail = Tail(path)
        first = runs_in(tail)
        path.write_bytes(content)
        assert first + runs_in(tail) == ["r1", "r2"], length


def test_following_goes_on_in_the_file_that_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path)
    assert runs_in(tail) == []
    filled(path, "r1")
    assert runs_in(tail) == ["r1"]
    filled(path, "r2")  # not read before the file is moved away
    path.rename(tmp_path / "journal.1")
    assert runs_in(tail) == ["r2"]
    filled(path, "r3", "r4", "r5")
    assert runs_in(tail) == ["r3", "r4", "r5"]
    path.unlink()
    assert runs_in(tail) == []
    filled(path, "r6")
    assert runs_in(tail) == ["r6"]


def test_following_sees_a_journal_that_was_emptied_and_grew_past_where_it_was(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal"
    filled(path, "r1")
    tail = Tail(path)
    assert runs_in(tail) == ["r1"]
    path.write_bytes(b"")
    filled(path, "r2", "r3", "r4")
    assert runs_in(tail) == ["r2", "r3", "r4"]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("drawn_as", ["text", "mermaid", "dot"])
def test_a_graph_has_every_component(disco: Disco, drawn_as: str) -> None:
    said = disco("graph", "--format", drawn_as)
    names = [n["name"] for n in json.loads(disco("graph", "--json").out)]
    assert said.code == 0
    assert {"artifacts", "servers", "kubernetes", "vault", "chains.akash"} <= set(names)
    assert all(name in said.out for name in names)


def test_secrets_are_listed_without_values(disco: Disco, stack: Path) -> None:
    Store(Place.of(stack, "lab")).put("some/password", {"value": "correct-horse", "id": "one"})
    assert disco("secrets", "list").out == "some/password\n"
    said = disco("secrets", "list", "--fields")
    assert said.out.splitlines()[1].split() == ["some/password", "id,", "value"]
    assert json.loads(disco("secrets", "list", "--fields", "--json").out) == {
        "some/password": ["id", "value"]
    }
    assert "correct-horse" not in said.out + said.err


def test_a_kubeconfig_is_written_for_its_owner_alone(disco: Disco, stack: Path) -> None:
    store = Store(Place.of(stack, "lab"))
    store.put("kubernetes/ca", CertificateAuthority("kubernetes").make())
    assert disco("kubeconfig", "--write", "kc").code == 0
    written = stack.parent / "kc"
    assert written.stat().st_mode & 0o777 == 0o600
    found = json.loads(written.read_text())
    assert found["clusters"][0]["cluster"]["server"] == "https://10.88.219.11:6443"
    assert json.loads(disco("kubeconfig").out)["kind"] == "Config"


@pytest.mark.usefixtures("stack")
def test_chains_are_listed_with_where_they_are_defined(disco: Disco) -> None:
    akash = next(c for c in json.loads(disco("chain", "list", "--json").out))
    assert (akash["name"], akash["program"]) == ("akash", "akash")
    assert akash["defined_in"].endswith("disco/chains/akash.yaml")
    assert "disco-local-1" in disco("chain", "show", "akash").out
    assert disco("chain", "show", "nothing").code == 2


def test_a_chain_of_the_stack_is_listed_too(disco: Disco, stack: Path) -> None:
    own = json.loads(disco("chain", "show", "akash", "--json").out) | {"name": "mine"}
    (stack.parent / "mine.yaml").write_text(json.dumps(own))
    stack.write_text("name: lab\nchains:\n  mine: {definition: mine.yaml}\n")
    listed = json.loads(disco("chain", "list", "--json", "--file", "stack.yaml").out)
    assert [c["name"] for c in listed] == ["akash", "mine"]


def test_artifacts_are_those_of_the_catalogue_or_of_a_stack(disco: Disco, stack: Path) -> None:
    everything = json.loads(disco("artifacts", "list", "--json").out)
    stack.write_text("name: lab\nservers: {provider: local}\n")
    some = json.loads(disco("artifacts", "list", "--json", "--file", "stack.yaml").out)
    assert {one["name"] for one in some} < {one["name"] for one in everything}
    assert not any(one["held"] for one in everything)
    assert disco("artifacts", "verify", "nothing").code == 2


def test_status_names_commands_that_work_from_here() -> None:
    def told(address: str, stack: str = "stack.yaml") -> str:
        return status.reached_by(StatusLine("h1", "up", address), Path(stack))

    assert told("ssh root@10.0.0.1") == "disco shell h1"
    assert told("kubectl get pods", "a b.yaml") == "disco kubectl -f 'a b.yaml' -- get pods"
    assert told("disco exec akash -- x", "s.yaml") == "disco exec -f s.yaml akash -- x"
    assert told("https://10.0.0.1:6443") == "https://10.0.0.1:6443"


def test_init_takes_answers_from_flags_and_writes_what_loads(disco: Disco, stack: Path) -> None:
    assert disco("init").code == 2  # it is there already
    flags = ["--set", "name=net", "--set", "servers.provider=local", "--set", "servers.count=2"]
    assert disco("init", "--force", *flags, "--set", "kubernetes").code == 0
    rows = {r["path"]: r["value"] for r in json.loads(disco("config", "--json").out)}
    assert (rows["name"], rows["servers.count"], "kubernetes.version" in rows) == ("net", "2", True)
    assert disco("init", "--force", "--set", "servers.coun=2").code == 2
