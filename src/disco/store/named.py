"""The secrets that a stack file names: are they there, and may they be read?"""

from __future__ import annotations

from disco.engine.errors import DiscoError, NotThere, Several, WrongUse
from disco.engine.secret import SecretRef
from disco.stack.load import Loaded
from disco.store.store import Store


def refuse_missing(loaded: Loaded, store: Store) -> None:
    """Before anything is done. Raises WrongUse with its place in the stack file, or Several."""
    errors: list[DiscoError] = []
    for origin, named in loaded.secrets():
        ref = SecretRef.of(named)
        try:
            store.lookup(ref)
        except NotThere:
            fix = f"disco secrets set {ref.name}"
            errors.append(WrongUse(f"there is no secret {ref.name}", where=str(origin), fix=fix))
        except DiscoError as error:
            errors.append(WrongUse(error.what, where=str(origin), why=error.why, fix=error.fix))
    if errors:
        raise errors[0] if len(errors) == 1 else Several(errors)
