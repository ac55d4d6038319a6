"""Real `up`, change and `down` runs, killed at random: each ends as if nobody had touched it.

CHAOS kills (`make chaos`: 60; the whole lab: none), at moments drawn from CHAOS_SEED (1). A stack
comes up, is changed into a wider one and back, and goes, layer by layer and then whole; what is
left of the kills goes round again.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kills import killed_when, redone
from stack import DOWN_S, UP_S, LabStack, lab_stack

from disco.nspawn.reader import leftovers

KILLS = int(os.environ.get("CHAOS") or 0)
SEED = int(os.environ.get("CHAOS_SEED", "1"))
ROUNDS = 4
LONGEST_DELAY_S = 2.5

NARROW = """
name: chaos
servers: {provider: local, count: 1, network: 10.88.217.0/24}
kubernetes: {}
prometheus: {}
vault: {}
chains:
  akash: {validators: 1}
"""
WIDE = (
    NARROW.replace("count: 1", "count: 2")
    .replace("prometheus: {}", "prometheus: {scrape_interval: 5s, retention: 2d}")
    .replace("validators: 1", "validators: 1, full_nodes: 1")
)


@dataclass(frozen=True)
class Phase:
    """A command on a stack file.

    share: of all kills. ends: what stands when it went through. step: begun actions until a kill,
    at most.
    """

    name: str
    text: str
    words: tuple[str, ...]
    share: float
    ends: str
    step: int = 2


GO = ("--yes", "--allow-destroy")
PHASES = (
    Phase("up", NARROW, ("up", "--yes"), 0.3, "everything", 6),
    Phase("change: wider", WIDE, ("apply", "--yes"), 0.2, "everything"),
    Phase("change: narrower", NARROW, ("apply", *GO), 0.2, "everything"),
    Phase("down: chain", NARROW, ("down", *GO, "--layer", "akash"), 0.1, "a part"),
    Phase("down: platform", NARROW, ("down", *GO, "--layer", "platform"), 0.1, "a part"),
    Phase("down", NARROW, ("down", *GO), 0.1, "nothing"),
)


@dataclass
class Chaos:
    """One stack, and how often it was killed in which phase."""

    stack: LabStack
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)

    def left(self) -> int:
        return KILLS - self.kills.total()

    def through(self, phase: Phase) -> None:
        """Kill a phase as often as it has a share in, let it end, and look at the end."""
        self.stack.file.write_text(phase.text)
        begun = len(self.stack.journal())
        for _ in range(min(self.left(), max(1, round(KILLS * phase.share)))):
            if not self.killed(phase):
                break
            self.kills[phase.name] += 1
        last = self.stack.disco(*phase.words, within_s=UP_S)
        assert last.returncode == 0, f"{self.told(phase)}\n{last.stdout}{last.stderr}"
        assert not redone(self.stack.journal()[begun:]), self.told(phase)
        self.ended(phase)

    def killed(self, phase: Phase) -> bool:
        """Kill it once, some actions later than the last time."""
        begins = self.chance.randint(1, phase.step)
        delay_s = self.chance.choice((0.0, self.chance.uniform(0, LONGEST_DELAY_S)))
        return killed_when(
            self.stack,
            phase.words,
            lambda records: sum(r["event"] == "intent" for r in records) >= begins,
            delay_s,
        )

    def ended(self, phase: Phase) -> None:
        if phase.ends == "everything":
            plan = json.loads(self.stack.must("plan", "--json"))
            assert [c["name"] for c in plan["components"] if c["steps"]] == [], self.told(phase)
            checked = self.stack.disco("check", "--wait", "60", within_s=240)
            assert checked.returncode == 0, f"{self.told(phase)}\n{checked.stdout}"
        elif phase.ends == "nothing":
            assert leftovers(self.stack.place.id) == [], self.told(phase)
        else:
            again = self.stack.disco(*phase.words, within_s=DOWN_S)
            assert again.returncode == 0 and "Nothing to destroy" in again.stderr, again.stderr

    def told(self, phase: Phase) -> str:
        return f"seed {SEED}, in {phase.name} after {dict(self.kills)}"


@pytest.mark.skipif(not KILLS, reason="kills whole runs for long: `make chaos`")
def test_a_stack_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path: Path,
) -> None:
    with lab_stack(tmp_path, NARROW) as stack:
        chaos = Chaos(stack, random.Random(SEED))
        for _ in range(ROUNDS):
            for phase in PHASES:
                chaos.through(phase)
            if not chaos.left():
                break
        print(f"chaos: {chaos.kills.total()} kills, {dict(chaos.kills)}")
        assert chaos.kills.total() == KILLS, dict(chaos.kills)
