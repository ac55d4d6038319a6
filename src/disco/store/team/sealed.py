"""One secret's file: named fields, a version and the secret's own path, sealed by age for who may
read it.

Without DISCO: `age -d -i KEY FILE` prints JSON, {"fields": …, "path": …, "version": …}. The path is
inside so that a file that was moved to another name is noticed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyrage  # type: ignore[import-untyped]

from disco.engine.errors import DiscoError
from disco.store.team.keys import OF_PLUGINS, NotOpened, Own, PublicKey

STANZA = re.compile(rb"^-> (\S+)(?: (\S+))?", re.MULTILINE)
NOBODY = b"-grease"  # how a stanza's kind ends that is for nobody, put there so that readers cope
END = b"\n---"
VERSION_BYTES = 8
HEADER = b"age-encryption.org/v1\n"


@dataclass(frozen=True)
class Content:
    """What a secret holds. version: 16 hex digits at random, others with each other value: it tells
    that a value changed, also where the value itself must not be told. It stays when the same value
    is sealed for others."""

    fields: Mapping[str, str] = field(repr=False)
    version: str

    @classmethod
    def of(cls, fields: Mapping[str, str], before: Content | None = None) -> Content:
        """before: what it held until now."""
        if before and before.fields == fields:
            return before
        return cls(dict(fields), secrets.token_hex(VERSION_BYTES))


def seal(path: str, content: Content, recipients: Sequence[PublicKey]) -> bytes:
    """path: STACK/COMPONENT/NAME."""
    whole = {"path": path, "fields": dict(content.fields), "version": content.version}
    plain = json.dumps(whole, sort_keys=True).encode()
    sealed: bytes = pyrage.encrypt(plain, [k.recipient() for k in recipients])
    return sealed


def unseal(path: str, sealed: bytes, own: Own) -> Content:
    """Raises DiscoError for what was damaged, moved, or sealed for others."""
    try:
        plain = own.open(sealed)
    except NotOpened as error:
        raise _refused(path, f"it can't be opened with the keys here ({error})") from None
    found = _parse(plain)
    if found is None:
        raise _refused(path, "it does not hold named fields")
    inside, content = found
    if inside != path:
        raise _refused(path, f"it was sealed as {inside}, and was moved here")
    return content


def _parse(plain: bytes) -> tuple[str, Content] | None:
    """None for anything else: an error raised in here would carry the plain text with it."""
    try:
        whole = json.loads(plain)
        path, fields, version = whole["path"], whole["fields"], whole.get("version", "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    texts = all(isinstance(v, str) for v in (path, version, *fields.values()))
    return (path, Content(fields, version)) if texts else None


def wrong_recipients(sealed: bytes, recipients: Sequence[PublicKey]) -> str:
    """What its header says against being sealed for exactly these; empty when nothing does.

    SSH keys are named in a header by a tag; age recipients and plugins' are not, they are counted.
    """
    if not sealed.startswith(HEADER) or END not in sealed:
        return "it is no age file"
    header = sealed[: sealed.index(END)]
    found: Counter[tuple[str, str]] = Counter()
    for kind, argument in STANZA.findall(header):
        if kind.startswith(b"ssh-"):
            found[(kind.decode(), argument.decode())] += 1
        elif not kind.endswith(NOBODY):
            found[("X25519" if kind == b"X25519" else OF_PLUGINS, "")] += 1
    wanted = Counter(k.stanza for k in recipients)
    extra, missing = found - wanted, wanted - found
    parts = [f"it is also sealed for {_told(extra)}"] if extra else []
    parts += [f"it is not sealed for {_told(missing)}"] if missing else []
    return " and ".join(parts)


def _told(stanzas: Counter[tuple[str, str]]) -> str:
    return ", ".join(
        f"{n} age key(s){' of a plugin' if kind == OF_PLUGINS else ''}"
        if not tag
        else f"the {kind} key with tag {tag}"
        for (kind, tag), n in sorted(stanzas.items())
    )


def _refused(path: str, why: str) -> DiscoError:
    return DiscoError(
        f"the secret {path} is refused",
        where=path,
        why=why,
        fix=f"disco secrets history {path.partition('/')[2]} names who wrote it; disco team verify "
        "looks at all",
    )
