"""The whole of it: three servers, three validators, three vaults, metrics, alerts and logs, from
nothing running to checks green; and the memory that all of it takes."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

from bench.measure import line, load
from bench.up import ROOT, measured_up, run_disco, with_servers
from disco.engine.place import Place

NETWORK = "10.88.221.0/24"
SETTLED_S = 60  # after which memory is looked at
SHOWN = 12  # programs
RECEIVER = 'alerts: {receivers: {ops: {webhook: {url: "http://10.88.221.1:18430/"}}}}\n'


def run() -> None:
    with_servers("whole", "the whole stack, warm", _measure)


def _measure(folder: Path) -> None:
    text = (ROOT / "examples" / "three.yaml").read_text()
    text, changed = re.subn(r"network: \S+", f"network: {NETWORK}", text)
    assert changed == 1, "the example has no network any more"
    file = folder / "stack.yaml"
    file.write_text(text.replace("name: three", "name: benchw3") + RECEIVER)
    took = measured_up(file, _memory)
    line("up, from nothing to checks green", f"{took:.1f} s", "bound: ≤ 120 s, aim: ≤ 90 s")
    print(f"({load()} at the end)")


def _memory(file: Path) -> None:
    """Of each process in the hosts its proportional share of memory, so that what processes share
    counts once."""
    time.sleep(SETTLED_S)
    run_disco("check", "-f", str(file))
    found: Counter[str] = Counter()
    for pid in _pids(Place.of(file, "benchw3").id):
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):  # it has ended since
            continue
        found[name] += next(int(r.split()[1]) * 1024 for r in rows if r.startswith("Pss:"))
    line("memory of all processes of the three servers", f"{found.total() / 1e9:.2f} GB")
    for name, size in found.most_common(SHOWN):
        line(f"  {name}", f"{size / 1e6:.0f} MB")


def _pids(stack: str) -> set[int]:
    groups = Path("/sys/fs/cgroup").rglob(f"disco-{stack}-*/**/cgroup.procs")
    return {int(pid) for group in groups for pid in group.read_text().split()}
