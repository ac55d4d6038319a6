"""`disco chain`: which blockchains can be run, and how each is described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from disco.chains import registry
from disco.chains.definition import Chain
from disco.cli import speak
from disco.cli.wiring import located
from disco.engine.errors import Exit

HEADINGS = ["chain", "title", "version", "networks", "program", "defined in"]


def list_all(file: Path | None, as_json: bool) -> int:
    """Print every definition. Returns the exit code."""
    found = registry.defined(_files(file) if file else ())
    if as_json:
        speak.data_json([{**_summary(c), "defined_in": source} for c, source in found.values()])
    else:
        speak.data_table(HEADINGS, [_row(chain, source) for chain, source in found.values()])
    return int(Exit.DONE)


def show(name: str, as_json: bool) -> int:
    """Print one definition. Returns the exit code."""
    chain = registry.find(name, Path())
    data = chain.model_dump(mode="json", exclude_none=True)
    if as_json:
        speak.data_json(data)
    else:
        rows = [[path, str(value)] for path, value in _flat(data)]
        speak.data_table(["setting", "value"], rows)
    return int(Exit.DONE)


def _files(file: Path) -> tuple[Path, ...]:
    """Definitions of their own that a stack names."""
    loaded, place = located(file)
    names = [str(getattr(spec, "definition", "")) for spec in loaded.specs.values()]
    return tuple(place.stack_folder / n for n in names if n.endswith((".yaml", ".yml")))


def _summary(chain: Chain) -> dict[str, Any]:
    networks = {n: network.chain_id for n, network in chain.networks.items()}
    return {
        "name": chain.name,
        "title": chain.title,
        "version": chain.version,
        "networks": networks,
        "program": chain.binary,
    }


def _row(chain: Chain, source: str) -> list[str]:
    networks = ", ".join(f"{n} ({x.chain_id})" for n, x in chain.networks.items())
    return [chain.name, chain.title, chain.version, networks, chain.binary, source]


def _flat(data: Any, path: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted paths, empty ones left out."""
    if isinstance(data, dict):
        inner = [_flat(v, f"{path}.{k}" if path else str(k)) for k, v in data.items()]
        return [one for found in inner for one in found]
    if isinstance(data, list):
        return [(path, " ".join(map(str, data)))] if data else []
    return [(path, data)]
