"""A secret that a stack file names and that is not there is told with its place, and first."""

from __future__ import annotations

from pathlib import Path

import pytest

from disco.engine.errors import Exit, Several, WrongUse
from disco.engine.place import Place
from disco.layers import registry
from disco.stack.load import load_text
from disco.store.named import refuse_missing
from disco.store.store import Store

STACK = """\
name: a
servers: {provider: local}
kubernetes: {}
prometheus:
  remote_write:
    - url: https://one.example/w
      username: me
      password: ${secret:metrics/one}
    - url: https://two.example/w
      token: ${secret:metrics/two#token}
"""


def refused(store: Store) -> list[tuple[str, str, str]]:
    loaded = load_text(STACK, Path("stack.yaml"), registry.sections(), {})
    try:
        refuse_missing(loaded, store)
    except Several as several:
        assert several.exit is Exit.WRONG_USE
        return [(e.where, e.what, e.fix) for e in several.errors]
    except WrongUse as error:
        return [(error.where, error.what, error.fix)]
    return []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Place(tmp_path / "a"))


def test_all_that_are_missing_are_told_at_once(store: Store) -> None:
    one, two = "metrics/one", "metrics/two"
    assert refused(store) == [
        ("stack.yaml:8:17", f"there is no secret {one}", f"disco secrets set {one}"),
        ("stack.yaml:10:14", f"there is no secret {two}", f"disco secrets set {two}"),
    ]


def test_a_field_that_is_missing_is_told_with_those_that_are_there(store: Store) -> None:
    store.put("metrics/one", {"value": "x"})
    store.put("metrics/two", {"value": "y"})
    ((where, what, _),) = refused(store)
    assert (where, what) == ("stack.yaml:10:14", "the secret metrics/two has no field token")
    store.put("metrics/two", {"token": "y"})
    assert refused(store) == []
