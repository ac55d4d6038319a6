"""Snapshots of the simulated vault, in files that nothing seals: the real ones take age's time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from disco.layers.platform.vault_snapshot import Snapshot
from disco.store.store import Store


def write(path: Path, content: bytes, keys: dict[str, str], shares: dict[str, str]) -> str:
    """shares: by holder. Returns what names the file's content (SHA-256, hex)."""
    fields = {"content": content.decode(), "keys": keys, "shares": shares}
    path.write_text(json.dumps(fields))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kept_in_file(store: Store, path: Path) -> Snapshot:
    """As `vault_snapshot.opened` does."""
    read = path.read_bytes()
    fields = json.loads(read)
    shares = {n: json.dumps({"share": s}).encode() for n, s in fields["shares"].items()}
    sha256 = hashlib.sha256(read).hexdigest()
    return Snapshot(fields["content"].encode(), fields["keys"], "a while ago", sha256, shares)
