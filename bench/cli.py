"""What the command line itself costs, over bare Python."""

from __future__ import annotations

import sys

from bench.measure import disco, line, load, process


def run() -> None:
    print(f"## command line ({load()})")
    bare = process([sys.executable, "-c", "pass"], times=10)
    shown = process(disco("--help"), times=10)
    over_ms = (shown.cpu_s - bare.cpu_s) * 1000
    line("disco --help, CPU over bare Python", f"{over_ms:.0f} ms", "aim: ≤ 250 ms")
    line("disco --help / bare Python, CPU", f"{shown.cpu_s / bare.cpu_s:.1f}×")
