"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

from thorough import examples

# A busy machine is no failure; every test is bounded by the number of its examples.
settings.register_profile("disco", deadline=None, max_examples=examples(100))
settings.load_profile("disco")
