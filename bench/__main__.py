"""All benchmarks, or those that are named: `python -m bench [cli] [facts] [up] [cold]`.

Each prints ratios measured in one run beside the plain figures: absolute times say little on a
machine that does other things as well.
"""

from __future__ import annotations

import sys

from bench import cli, cold, facts, up

BENCHMARKS = {"cli": cli.run, "facts": facts.run, "up": up.run, "cold": cold.run}
USUAL = ["cli", "facts", "up"]  # cold compiles everything anew


def main() -> int:
    names = sys.argv[1:] or USUAL
    unknown = [n for n in names if n not in BENCHMARKS]
    if unknown:
        print(f"no benchmark is called {unknown[0]}; there are {', '.join(BENCHMARKS)}")
        return 2
    for name in names:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
