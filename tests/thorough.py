"""How thoroughly a property is tried."""

from __future__ import annotations

import os

QUICK = "DISCO_TESTS_QUICK"  # set by `make unit`, for which people wait


def examples(many: int) -> int:
    """So many in `make test`, and a quarter of them in `make unit`."""
    return max(many // 4, 10) if os.environ.get(QUICK) else many
