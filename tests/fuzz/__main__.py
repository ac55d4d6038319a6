"""`make fuzz`: FUZZ broken files (100,000), from FUZZ_SEED (1) on, over two processes."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from fuzz.campaign import Figures, run

PROCESSES, SHARE = 2, 500
SHOWN = 20


def main() -> int:
    count, seed = int(os.environ.get("FUZZ", "100000")), int(os.environ.get("FUZZ_SEED", "1"))
    begun, figures = time.monotonic(), Figures()
    shares = [range(i, min(i + SHARE, count)) for i in range(0, count, SHARE)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run, seed, share) for share in shares]):
            figures.add(done.result())
    for number, wrong in sorted(figures.divergences.items())[:SHOWN]:
        print(f"input {number}: {wrong}")
    for kind, tried in sorted(figures.kinds.items()):
        print(f"{kind:12} {tried:7} inputs {figures.taken[kind]:7} taken")
    slowest, number = figures.slowest
    print(f"slowest: {slowest:.2f} s of processor time, input {number}")
    print(
        f"fuzz: {figures.kinds.total()} inputs, seed {seed}, {time.monotonic() - begun:.0f} s, "
        f"divergences {len(figures.divergences)}"
    )
    return 1 if figures.divergences else 0


if __name__ == "__main__":
    sys.exit(main())
