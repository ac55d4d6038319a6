"""What a stack was declared as when it was last carried out: so that what left its file is missed.

Everything else is found by looking; a server that no file names any more can't be. Each component
has its specs since the last run that went through, oldest first: a run that was killed between two
declarations has made things of both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from disco.engine.component import Component, spec_class
from disco.engine.errors import DiscoError
from disco.engine.place import write_atomically
from disco.stack.model import Model

Specs = Mapping[str, Model]


@dataclass(frozen=True)
class Declared:
    """The file that holds it."""

    path: Path

    def read(self, components: Sequence[type[Component]]) -> dict[str, list[Model]]:
        """Name -> its specs, oldest first. Raises DiscoError when the file is damaged."""
        return {
            name: [self._spec(name, content, components) for content in found]
            for name, found in self._content().items()
        }

    def begin(self, specs: Specs) -> None:
        """Before anything is changed: these are declared too, from here on."""
        content = self._content()
        for name, spec in specs.items():
            known, new = content.setdefault(name, []), spec.model_dump(mode="json")
            if new not in known:
                known.append(new)
        self._write(content)

    def settle(self, specs: Specs) -> None:
        """Everything else is gone."""
        self._write({name: [spec.model_dump(mode="json")] for name, spec in specs.items()})

    def forget(self) -> None:
        """Nothing of the stack is there any more."""
        self.path.unlink(missing_ok=True)

    def _write(self, content: dict[str, list[Any]]) -> None:
        text = json.dumps({"components": content}, sort_keys=True, indent=1)
        write_atomically(self.path, text.encode() + b"\n")

    def _content(self) -> dict[str, list[Any]]:
        try:
            found: dict[str, list[Any]] = json.loads(self.path.read_bytes())["components"]
            return {str(name): list(specs) for name, specs in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(repr(error)) from None

    def _spec(self, name: str, content: Any, components: Sequence[type[Component]]) -> Model:
        section = name.partition(".")[0]
        why = f"no component is called {section}"
        for component in components:
            if component.section == section:
                try:
                    return spec_class(component).model_validate(content)
                except pydantic.ValidationError as error:
                    why = f"{name}: {error.errors()[0]['msg']}"
        raise self._damaged(why)

    def _damaged(self, why: str) -> DiscoError:
        return DiscoError(
            "what was declared before can't be read",
            where=str(self.path),
            why=why,
            fix="remove it; what left the stack file then has to be removed by hand",
        )
