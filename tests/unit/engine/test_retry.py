"""Looking and doing are tried again when that can help, so often and no more."""

from __future__ import annotations

import pytest

from disco.engine import retry
from disco.engine.errors import DiscoError, Retry


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.0)


@pytest.mark.parametrize(
    ("failures", "kind", "calls", "works"),
    [
        (0, Retry.LIKELY, 1, True),
        (2, Retry.LIKELY, 3, True),
        (3, Retry.LIKELY, 4, True),
        (9, Retry.LIKELY, retry.ATTEMPTS, False),
        (9, Retry.MAYBE, 1, False),
        (9, Retry.NEVER, 1, False),
    ],
)
async def test_only_what_can_pass_is_tried_again(
    failures: int, kind: Retry, calls: int, works: bool
) -> None:
    made: list[int] = []
    told: list[int] = []

    async def do() -> str:
        made.append(1)
        if len(made) <= failures:
            raise DiscoError("no answer", retry=kind)
        return "answer"

    if works:
        assert await retry.tried(do, lambda n, e: told.append(n)) == "answer"
    else:
        with pytest.raises(DiscoError, match="no answer"):
            await retry.tried(do, lambda n, e: told.append(n))
    assert len(made) == calls
    assert told == list(range(1, calls))
