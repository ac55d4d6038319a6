"""How thoroughly a property is tried."""

from __future__ import annotations

import os

QUICK = "DISCO_TESTS_QUICK"  # set by `make unit`, for which people wait


def examples(many: int) -> int:
    """So many in `make test`, and a quarter of them in `make unit`."""
    return max(many // 4, 10) if os.environ.get(QUICK) else many


def every(few: int) -> int:
    """The step between cases that are tried one after the other, each as dear as a command."""
    return 4 * few if os.environ.get(QUICK) else few
