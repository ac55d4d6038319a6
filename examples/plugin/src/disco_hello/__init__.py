"""A page that says hello, and a chain, for DISCO."""

from pathlib import Path

__version__ = "0.1.0"
CHAINS = sorted((Path(__file__).parent / "chains").glob("*.yaml"))
