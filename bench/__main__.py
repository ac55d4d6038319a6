"""All benchmarks, or those that are named: `python -m bench [cli] [facts] [fleet] [nodes]
[store] [up] [whole] [cold]`. With `--svg`, fleet draws docs/img/fleet.svg anew.

Each prints ratios measured in one run beside the plain figures: absolute times say little on a
machine that does other things as well.
"""

from __future__ import annotations

import sys

from bench import cli, cold, facts, fleet, nodes, store, up, whole

SVG = "--svg"
BENCHMARKS = {
    "cli": cli.run,
    "facts": facts.run,
    "fleet": lambda: fleet.run(svg=SVG in sys.argv),
    "nodes": nodes.run,
    "store": store.run,
    "up": up.run,
    "whole": whole.run,
    "cold": cold.run,
}
USUAL = ["cli", "facts", "fleet", "nodes", "store", "up", "whole"]  # cold compiles everything anew


def main() -> int:
    names = [a for a in sys.argv[1:] if a != SVG] or USUAL
    unknown = [n for n in names if n not in BENCHMARKS]
    if unknown:
        print(f"no benchmark is called {unknown[0]}; there are {', '.join(BENCHMARKS)}")
        return 2
    for name in names:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
