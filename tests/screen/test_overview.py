"""What is gathered of a stack: all of it, in a bounded time, and honest about what is not known."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import pytest

from disco.cli import glance, sources, watch
from disco.cli.glance import Mark
from disco.cli.overview import Overview, Unseen
from disco.engine.journal import Journal
from disco.layers.platform.prometheus import Prometheus
from disco.layers.platform.vault import Vault
from disco.stack.load import load_text
from disco.store.redact import MASK
from screen.conftest import watch_of
from sim.stack import SimulatedStack
from sim.stacks import STACKS

FIRES = {
    "labels": {"alertname": "HostDown", "severity": "critical"},
    "annotations": {"summary": "h2 does not answer", "runbook": "Look at h2."},
    "state": "firing",
    "activeAt": "2026-01-01T00:00:00Z",
}


async def looked(stack: SimulatedStack, checks: bool = False) -> Overview:
    async with watch_of(stack) as found:
        overview = await found.look()
        return await found.check() if checks else overview


def marks(overview: Overview) -> dict[str, str]:
    return {r.what: f"{r.mark} {r.state}" for r in glance.rows(overview)}


async def test_all_of_a_network_is_seen_and_well(network: SimulatedStack) -> None:
    overview = await looked(network)
    assert overview.ok and not overview.unseen
    assert [(n.node, n.peers) for n in overview.chains] == [
        (name, 4) for name in ("validator-0", "validator-1", "validator-2", "node-0", "node-1")
    ]
    assert [h.source for h in overview.hosts] == ["prometheus"] * 3
    assert [v.sealed for v in overview.vault] == [False] * 3
    assert overview.alerts == ()
    assert overview.run and (overview.run.what, overview.run.ended) == ("apply", "done")
    assert overview.events[-1].event == "end"
    assert {r.mark for r in glance.rows(overview)} == {Mark.GOOD, Mark.NONE}
    assert json.loads(json.dumps(overview.data()))["chains"][0]["height"] > 0


async def test_the_checks_that_only_read_are_asked(network: SimulatedStack) -> None:
    overview = await looked(network, checks=True)
    assert not overview.ok
    assert [(c.check, c.ok) for c in overview.checks.seen] == [
        ("servers/ssh", True),
        ("chain/akash/height", False),
    ]
    told = marks(overview)
    assert (told["checks"], told["chain/akash/height"]) == ("  1 green, 1 red", "✗ red")


async def test_what_was_never_made_is_not_green(tmp_path: Any) -> None:
    stack = SimulatedStack(STACKS["wide"], tmp_path)
    overview = await looked(stack, checks=True)
    told = marks(overview)
    assert not overview.ok
    assert told["h1"] == "✗ down"
    assert told["kubernetes"] == "? waits for servers"
    assert told["checks"] == "  none asked"
    assert Mark.GOOD not in {r.mark for r in glance.rows(overview)}


async def test_a_host_that_went_is_red_and_the_others_are_not(network: SimulatedStack) -> None:
    network.state.hosts["h3"].running = False
    told = marks(await looked(network))
    assert (told["h2"], told["h3"]) == ("✓ up", "✗ down")


async def test_what_never_answers_is_not_known_and_holds_nothing_up(
    network: SimulatedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Any, world: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(Prometheus, "status", never)
    monkeypatch.setattr(watch, "ANSWER_S", 2.0)
    told: list[tuple[str, str]] = []

    def heard(overview: Overview) -> None:
        found = marks(overview)
        told.append((found.get("akash/validator-0", ""), found.get("prometheus", "")))

    async with watch_of(network) as found:
        overview = await found.look(heard)
    before = [akash for akash, prometheus in told if prometheus == "? asking"]
    assert before[-1].startswith("✓ height"), "the chain waited for what does not answer"
    assert told[-1][1] == "? no answer"
    assert 2 <= overview.seconds < watch.SOURCE_S and not overview.ok


async def test_a_mistake_of_one_component_hides_no_other(
    network: SimulatedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: Any, world: Any) -> Any:
        raise KeyError("status")

    monkeypatch.setattr(Vault, "status", breaks)
    monkeypatch.setattr(sources, "alerts", breaks)
    overview = await looked(network)
    told = marks(overview)
    assert (told["vault"], told["akash/node-1"][:8]) == ("? no answer", "✓ height")
    assert [u.source for u in overview.unseen] == ["alerts"]
    assert "a mistake in DISCO itself" in overview.unseen[0].why


async def test_an_alert_that_fires_is_red_with_what_to_do(network: SimulatedStack) -> None:
    network.state.alerts = [FIRES, {**FIRES, "state": "pending"}]
    overview = await looked(network)
    [row] = [r for r in glance.rows(overview) if r.part == glance.ALERTS]
    assert (row.mark, row.what, row.details) == (Mark.BAD, "HostDown", "h2 does not answer")
    assert ("do", "Look at h2.") in row.more and ("more", "disco alerts HostDown") in row.more
    assert not overview.ok


async def test_no_secret_and_no_escape_of_a_program_gets_through(
    network: SimulatedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = network.session()
    name = next(n for n in sorted(session.store.names()) if n.startswith("kubernetes/"))
    secret = max(session.store.fields(name).values(), key=len)
    assert len(secret) > 20
    journal = Journal(network.place.journal)
    journal.write("run", run="r9", what=f"up {secret}")
    journal.write("intent", run="r9", step="a/b\x1b[2J", action=secret)
    async with watch_of(network) as found:
        found._session.store.fields(name)
        told = json.dumps((await found.look()).data(), ensure_ascii=False)
    assert MASK in told and secret not in told
    assert "\\u001b" not in told and "\x1b" not in told


async def test_a_run_is_followed_while_it_goes_on(network: SimulatedStack) -> None:
    journal = Journal(network.place.journal)
    with network.lock.hold("up") as held:
        journal.write("run", run="r9", what="up", who="anna@h", steps=3, token=held.token)
        journal.write("intent", run="r9", step="servers/h1", action="boot h1")
        async with watch_of(network) as found:
            run = (await found.look()).run
            assert run and (run.done, run.steps, run.ended) == (0, 3, "")
            assert run.doing == ("servers/h1: boot h1",)
            journal.write("done", run="r9", step="servers/h1", action="boot h1")
            await found.follow(lambda overview: None)
            run = found.overview.run
            assert run and (run.done, run.doing) == (1, ())
            assert found.overview.events[-1].event == "done"


async def test_the_stack_is_opened_anew_after_a_run_and_only_then(network: SimulatedStack) -> None:
    async with watch_of(network) as found:
        first = found._session
        await found.look()
        await found.look()
        assert found._session is first
        Journal(network.place.journal).write("end", run="run-1", outcome="done")
        assert (await found.look()).ok
        assert found._session is not first


async def test_a_look_changes_nothing(network: SimulatedStack) -> None:
    def files() -> dict[str, bytes]:
        every = network.place.root.rglob("*")
        return {str(p): p.read_bytes() for p in every if p.is_file()}

    before, counts = files(), dict(network.state.counts)
    await looked(network, checks=True)
    assert (files(), dict(network.state.counts)) == (before, counts)


async def test_a_stack_file_that_breaks_is_told_and_the_rest_goes_on(
    network: SimulatedStack,
) -> None:
    broken = False

    @asynccontextmanager
    async def opens() -> Any:
        if broken:
            load_text("name: [", network.loaded.path, {}, {})
        yield network.session()

    async with watch.Watch(opens) as found:
        await found.look()
        broken = True
        Journal(network.place.journal).write("end", run="run-1", outcome="done")
        overview = await found.look()
    assert [u.source for u in overview.unseen] == ["stack file"]
    assert "disco validate" in overview.unseen[0].fix
    assert marks(overview)["h1"] == "✓ up" and not overview.ok


def test_a_secret_of_many_lines_is_masked_before_its_lines_are_joined() -> None:
    secret = "-----BEGIN-----\nabcdefgh\nijklmnop\n-----END-----\n"
    told = watch.masked(Unseen("a", f"it said {secret} and left"), [secret])
    assert told.why == f"it said {MASK} and left"
