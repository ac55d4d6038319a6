"""What the engine itself costs for a fleet: planning, a run with its journal, and its display."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.live import Live

from bench.curve import Series, curve
from bench.measure import ROOT, fresh, line, load, peak_bytes
from disco.cli import render
from disco.cli.progress import Progress
from disco.engine import plan as planning
from disco.engine.apply import Ended, Run, Stop
from disco.engine.component import Step
from disco.engine.events import Events
from disco.engine.gate import Gate
from disco.engine.journal import Journal
from disco.engine.machine_lock import MachineLock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit" / "engine"))
from fake_components import Done, Fakes, Touch, component, graph_of

STEPS = 20  # of each host, one after the other
HOSTS = (10, 100, 1000)
WAYS = ("pipe", "terminal")  # where progress is shown
NAP_S = 0.005
PICTURE = ROOT / "docs" / "img" / "fleet.svg"


@dataclass(frozen=True)
class Cost:
    """Of one run over `hosts` hosts in a process of its own. CPU and wall in seconds."""

    hosts: int
    plan_cpu_s: float
    text_cpu_s: float
    run_cpu_s: float
    run_wall_s: float
    fsync_wall_s: float
    fsyncs: int
    records: int
    longest_turn_s: float  # CPU for which nothing else could go on
    peak_bytes: int
    lines: int


def run(svg: bool = False) -> None:
    print(f"## a fleet: {STEPS} steps on each host, a record before and after each ({load()})")
    found = {
        (way, n): Cost(**json.loads(fresh("bench.fleet", str(n), way)))
        for way in WAYS
        for n in HOSTS
    }
    for way in WAYS:
        _tell(way, [found[way, n] for n in HOSTS])
    if svg:
        PICTURE.write_text(_picture([found["pipe", n] for n in HOSTS]))
        print(f"wrote {PICTURE.relative_to(ROOT)}")


def _tell(way: str, costs: list[Cost]) -> None:
    least, most = costs[0], costs[-1]
    grown = most.hosts / least.hosts
    print(f"progress to a {way}, {most.hosts} hosts, {most.hosts * STEPS} steps:")
    line("  plan, CPU", f"{most.plan_cpu_s:.2f} s", "aim: ≤ 3 s")
    line("  plan as text, CPU", f"{most.text_cpu_s:.2f} s", "aim: ≤ 1 s")
    line("  run, engine CPU", f"{most.run_cpu_s:.1f} s", "aim: ≤ 10 s")
    line("  run, wall", f"{most.run_wall_s:.1f} s")
    line("  waiting for the disk (fsync) / run, wall", f"{most.fsync_wall_s / most.run_wall_s:.0%}")
    line("  journal records / fsyncs", f"{most.records} / {most.fsyncs}")
    line("  longest turn of the event loop, CPU", f"{most.longest_turn_s * 1000:.0f} ms")
    line("  lines shown", str(most.lines))
    line("  peak memory", f"{most.peak_bytes / 1e6:.0f} MB", "aim: ≤ 500 MB")
    for fewer, more in pairwise(costs):
        what = f"  {more.hosts} hosts / {fewer.hosts} hosts, CPU of plan and run"
        line(what, f"{_cpu(more) / _cpu(fewer):.1f}×", f"as many: {more.hosts / fewer.hosts:.0f}×")
    line("  the same, over all", f"{_cpu(most) / _cpu(least):.0f}×", f"as many: {grown:.0f}×")


def _cpu(cost: Cost) -> float:
    return cost.plan_cpu_s + cost.run_cpu_s


def _picture(costs: list[Cost]) -> str:
    return curve(
        f"Engine CPU by hosts, {STEPS} steps on each",
        "hosts (dashed: in proportion)",
        "seconds",
        [
            Series("run", [(c.hosts, c.run_cpu_s) for c in costs]),
            Series("plan", [(c.hosts, c.plan_cpu_s) for c in costs]),
        ],
    )


def measured(hosts: int, way: str) -> Cost:
    """What a run over so many hosts takes. The journal is on the disk of the working folder."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".fleet-") as folder:
        return asyncio.run(_measured(hosts, way, Path(folder)))


async def _measured(hosts: int, way: str, folder: Path) -> Cost:
    fleet = Fakes(graph_of([component("hosts", list(_steps(hosts)))]), folder)
    begun = time.process_time()
    looks = await planning.observe(fleet.graph, fleet.world)
    plan = planning.make("fleet", fleet.graph, looks)
    digest = plan.digest
    planned = time.process_time()
    text = render.plan_text(plan)
    rendered = time.process_time()

    events, journal, out = Events(), Journal(folder / "journal.jsonl"), io.StringIO()
    journal.write("run", run="bench", plan=digest[:16])
    lock = MachineLock(folder / "lock")
    with lock.hold("bench") as held, _shown(events, way, out), _synced() as synced:
        gate = Gate({Touch.kind: _doing(fleet.done)}, journal, "bench", held.check)
        turns = asyncio.create_task(_longest_turn())
        wall, cpu = time.monotonic(), time.process_time()
        outcome = await Run(
            plan, fleet.graph, looks, fleet.world, gate, events, Stop(), "bench"
        ).run()
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        turns.cancel()
    assert outcome.ended is Ended.DONE and outcome.done == hosts * STEPS
    assert text.count("\n") > hosts * STEPS
    return Cost(
        hosts=hosts,
        plan_cpu_s=planned - begun,
        text_cpu_s=rendered - planned,
        run_cpu_s=cpu,
        run_wall_s=wall,
        fsync_wall_s=sum(synced),
        fsyncs=len(synced),
        records=sum(1 for _ in journal.read()),
        longest_turn_s=await turns,
        peak_bytes=peak_bytes(),
        lines=out.getvalue().count("\n"),
    )


def _steps(hosts: int) -> Iterator[Step]:
    for h in range(1, hosts + 1):
        for s in range(1, STEPS + 1):
            name = f"h{h}/part-{s}"
            after = (f"h{h}/part-{s - 1}",) if s > 1 else ()
            yield Step(name, f"part {s} of h{h}", (Touch(name),), after)


def _doing(done: Done) -> Callable[..., object]:
    async def touch(action: Touch, report: Callable[..., None]) -> None:
        report("touching", None)
        await asyncio.sleep(0)
        done.names.append(action.name)

    return touch


@contextmanager
def _shown(events: Events, way: str, out: io.StringIO) -> Iterator[None]:
    """Real progress, into a pipe or a terminal of 24 lines that nobody looks at."""
    terminal = way == "terminal"
    console = Console(file=out, force_terminal=terminal, width=80, height=24, highlight=False)
    progress = Progress(console)
    events.listen(progress.on)
    if not terminal:
        yield
        return
    with Live(progress, console=console, refresh_per_second=8, transient=True):
        yield


@contextmanager
def _synced() -> Iterator[list[float]]:
    """The seconds of each fsync while the block runs."""
    found: list[float] = []
    real = os.fsync

    def timed(handle: int) -> None:
        begun = time.monotonic()
        real(handle)
        found.append(time.monotonic() - begun)

    os.fsync = timed
    try:
        yield found
    finally:
        os.fsync = real


async def _longest_turn() -> float:
    """CPU seconds of the event loop between two chances to go on, at most; until cancelled."""
    longest = 0.0
    try:
        while True:
            begun = time.thread_time()
            await asyncio.sleep(NAP_S)
            longest = max(longest, time.thread_time() - begun)
    except asyncio.CancelledError:
        return longest


if __name__ == "__main__":
    print(json.dumps(asdict(measured(int(sys.argv[1]), sys.argv[2]))))
