"""A cluster of very many nodes: the real Kubernetes component, on simulated servers."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from bench.measure import fresh, line, load, peak_bytes
from disco.cli import render

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from sim import SimulatedStack
from sim.stacks import fleet

HOSTS = 1000


@dataclass(frozen=True)
class Cost:
    """CPU in seconds, the simulated world's own included."""

    hosts: int
    steps: int
    actions: int
    plan_cpu_s: float
    text_cpu_s: float
    run_cpu_s: float
    again_cpu_s: float
    peak_bytes: int


def run() -> None:
    print(f"## Kubernetes on {HOSTS} simulated hosts ({load()})")
    found = Cost(**json.loads(fresh("bench.nodes", str(HOSTS))))
    line("steps / actions", f"{found.steps} / {found.actions}")
    aside = "the simulated world included"
    line("observe, plan and its digest, CPU", f"{found.plan_cpu_s:.2f} s", "aim: ≤ 3 s")
    line("plan as text, CPU", f"{found.text_cpu_s:.2f} s", "aim: ≤ 1 s")
    line("run, CPU", f"{found.run_cpu_s:.1f} s", aside)
    line("plan when all is done, CPU", f"{found.again_cpu_s:.2f} s", aside)
    line("peak memory", f"{found.peak_bytes / 1e6:.0f} MB", aside)


def measured(hosts: int) -> Cost:
    with tempfile.TemporaryDirectory(prefix="disco-nodes-") as folder:
        stack = SimulatedStack(fleet(hosts), Path(folder))
        times = [time.process_time()]
        plan = stack.plan()
        assert plan.digest
        times.append(time.process_time())
        assert render.plan_text(plan)
        times.append(time.process_time())
        assert stack.apply().done
        times.append(time.process_time())
        assert stack.plan().empty
        times.append(time.process_time())
    plan_s, text_s, run_s, again_s = (b - a for a, b in pairwise(times))
    actions = sum(len(s.actions) for _, s in plan.steps)
    return Cost(hosts, len(plan.steps), actions, plan_s, text_s, run_s, again_s, peak_bytes())


if __name__ == "__main__":
    print(json.dumps(asdict(measured(int(sys.argv[1])))))
