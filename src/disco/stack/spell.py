"""Values as a stack file spells them: YAML in one line, quoted only where it has to be."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from disco.stack.parse import scalar

_PLAIN = re.compile(r"[A-Za-z0-9/.$][A-Za-z0-9_./+*@=${}:-]*( [A-Za-z0-9_./+*@=${}-]+)*\Z")
_REFERENCE = re.compile(r"\$\{env:\w+\}\Z")


def spelled(value: Any) -> str:
    """JSON-like data as YAML that reads as the same data."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k, True)}: {_inside(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_inside, value)) + "]"
    return _scalar(value, False)


def _inside(value: Any) -> str:
    return spelled(value) if isinstance(value, (dict, list, tuple)) else _scalar(value, True)


def _scalar(value: Any, flow: bool) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, (int, float)):
        return str(value)
    return _text(str(value), flow)


def _text(text: str, flow: bool) -> str:
    """Braces are YAML's own inside of a list or a mapping, and a colon may end a word's key."""
    plain = _PLAIN.match(text) and not text.endswith(":") and scalar(text) == text
    if plain and (not flow or not set(text) & set("{}:")):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
