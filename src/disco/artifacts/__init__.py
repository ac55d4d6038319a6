"""Everything that DISCO uses of others: pinned, verified, built or downloaded, and kept ready."""

from disco.artifacts.actions import Obtain
from disco.artifacts.cache import Cache, Held
from disco.artifacts.catalogue import Catalogue, catalogue
from disco.artifacts.lock import Figure, Lock, Locked
from disco.artifacts.obtain import Obtainer, obtain
from disco.artifacts.reader import SOURCES, Artifacts
from disco.artifacts.trim import Freed, clean

__all__ = [
    "SOURCES",
    "Artifacts",
    "Cache",
    "Catalogue",
    "Figure",
    "Freed",
    "Held",
    "Lock",
    "Locked",
    "Obtain",
    "Obtainer",
    "catalogue",
    "clean",
    "obtain",
]
