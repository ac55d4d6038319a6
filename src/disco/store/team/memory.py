"""What this machine remembers of a store, beside the repository: where it begins, what was seen."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from disco.engine.errors import DiscoError
from disco.engine.place import write_atomically
from disco.store.team.git import ZERO


@dataclass(frozen=True)
class Known:
    """Commits. root: the first of the history. shared: the last that was seen at the remote, or
    here where there is none. verified: up to which the history here was looked at. upcoming: where
    its branch is about to be moved."""

    root: str = ""
    shared: str = ZERO
    verified: str = ZERO
    upcoming: str = ZERO


class Memory:
    """path: of a JSON file, outside of the repository: a repository that is put back to an older
    state does not take the memory of the newer one with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def known(self) -> Known:
        """Raises DiscoError for a file that can't be read: forgetting would believe anything."""
        try:
            return Known(**{k: str(v) for k, v in json.loads(self.path.read_text()).items()})
        except FileNotFoundError:
            return Known()
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DiscoError(
                "what this machine remembers of the store can't be read",
                where=str(self.path),
                why=type(error).__name__,
                fix="restore it from a backup; or remove it, and compare the store's first commit "
                "with another member: disco store status",
            ) from None

    def note(self, **commits: str) -> None:
        known = self.known
        changed = replace(known, **commits)
        if changed != known:
            content = json.dumps(vars(changed), indent=1).encode()
            write_atomically(self.path, content + b"\n")
