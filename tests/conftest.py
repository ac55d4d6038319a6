"""What all tests share."""

from __future__ import annotations

import gc
import signal

from hypothesis import settings

from disco.cli.main import OBJECTS
from thorough import examples

# A busy machine is no failure; every test is bounded by the number of its examples.
settings.register_profile("disco", deadline=None, max_examples=examples(100))
settings.load_profile("disco")

# Who started the tests in the background may have had SIGINT ignored, which children inherit: those
# that are interrupted by a test would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
gc.set_threshold(OBJECTS)


def pytest_collection_finish() -> None:
    """What is there by now stays; looking through it again and again takes a tenth of the time."""
    gc.freeze()
