"""A refusal in words for people: what the value must be, what it is, and what was meant."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pydantic

from disco.stack.document import Document, Trail
from disco.stack.faults import Fault
from disco.stack.parse import scalar
from disco.stack.problem import nearest
from disco.stack.secret import HOW, SecretName
from disco.stack.shape import alternatives, at, choices, fitting, variables, words

MAX_SHOWN = 40
_LIMITS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} items, has {actual_length}",
    "too_long": "must have at most {max_length} items, has {actual_length}",
    "finite_number": "must be a finite number",
}
_TRUTH = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_NETWORKS = (ipaddress.IPv4Network, ipaddress.IPv6Network)
_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address, *_NETWORKS)


def worded(document: Document, start: Trail, model: Any, fault: Fault) -> tuple[str, str]:
    """The message and the hint for a fault in the value that stands at `start`."""
    trail = (*start, *fault.trail)
    value = document.get(trail)
    annotation = at(model, document.get(start), fault.trail)
    if fault.kind == "missing":
        return required(annotation), ""
    if fault.key:
        return "is not a possible key", ""
    if fault.kind == "extra_forbidden":
        return unknown(str(fault.trail[-1]), _siblings(document, start, model, fault.trail))
    if SecretName in alternatives(annotation):
        return "must name a secret of the store, never the secret itself", HOW
    if fault.kind in _LIMITS:
        return _limit(fault) + _got_unless_counted(document, trail, annotation, fault), ""
    if fault.wrong_kind or _unreadable(annotation, value):
        message = f"must be {words(annotation)}" if annotation else _plain(fault)
        return message + got(document, trail, annotation), _hint(document, trail, annotation)
    return _custom(document, trail, annotation, fault), ""


def required(annotation: Any) -> str:
    known = choices(annotation) if annotation else ()
    return f"is required, one of {', '.join(known)}" if len(known) > 1 else "is required"


def unknown(key: str, known: list[str]) -> tuple[str, str]:
    """For a key that nothing declares: the nearest one that is."""
    return "is not known here", nearest(key, known) or f"known here: {', '.join(known) or 'none'}"


def one_of(document: Document, trail: Trail, known: tuple[str, ...]) -> tuple[str, str]:
    """For a value that is none of the words it can be."""
    value = document.get(trail)
    told = isinstance(value, str) and not document.variables_at(trail)
    hint = nearest(value, known) if told else ""
    return f"must be one of {', '.join(known)}" + got(document, trail), hint


def got(document: Document, trail: Trail, annotation: Any = None) -> str:
    """The value in brackets, as it was written; never one that may be secret."""
    value = document.get(trail)
    if isinstance(value, (dict, list)):
        return f" (got a {'mapping' if isinstance(value, dict) else 'list'})"
    if names := document.variables_at(trail):
        return f" (got the value of {', '.join(names)})"
    if pydantic.SecretStr in alternatives(annotation):
        return ""
    if value is None:
        return " (got nothing)"
    text = document.texts.get(trail, str(value))
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return f" (got {shown!r})" if isinstance(value, str) else f" (got {shown})"


def _got_unless_counted(document: Document, trail: Trail, annotation: Any, fault: Fault) -> str:
    """Nothing more needs to be said about a list that is too short, or about no text at all."""
    counted = isinstance(document.get(trail), (dict, list)) or document.get(trail) == ""
    return "" if counted else got(document, trail, annotation)


def _siblings(document: Document, start: Trail, model: Any, trail: Trail) -> list[str]:
    around = document.get((*start, *trail[:-1]))
    options = fitting(at(model, document.get(start), trail[:-1]), around)
    return [v.key for option in options for v in variables(option)]


def _limit(fault: Fault) -> str:
    context = fault.details.get("ctx", {})
    if context.get("min_length") == 1:
        return "must not be empty"
    limits = {k: f"{v:g}" if isinstance(v, float) else v for k, v in context.items()}
    text = _LIMITS[fault.kind].format(**limits)
    return re.sub(r"\b1 (item|character)s", r"1 \1", text)


def _unreadable(annotation: Any, value: Any) -> bool:
    """Whether the text of an address is none: Python's own message is for programmers."""
    for kind in alternatives(annotation):
        if kind in _ADDRESSES:
            try:
                kind(value)
            except ValueError:
                return True
    return False


def _hint(document: Document, trail: Trail, annotation: Any) -> str:
    value, text = document.get(trail), document.texts.get(trail, "")
    options = alternatives(annotation)
    if document.variables_at(trail):
        return ""
    if bool in options and isinstance(value, str) and value.lower() in _TRUTH:
        return f"YAML 1.2 reads {text} as text; write {_TRUTH[value.lower()]}"
    if isinstance(value, str) and type(scalar(text)) in options:
        return "remove the quotes"
    if pydantic.SecretStr in options:
        return "" if isinstance(value, (dict, list)) else "put it in quotes"
    if str in options and isinstance(value, (bool, int, float)):
        return f'put it in quotes: "{text}"'
    if isinstance(value, str) and set(options) & set(_NETWORKS):
        return _network(value)
    if known := choices(annotation):
        return _quoted(value, text, known) or nearest(text, known)
    return ""


def _quoted(value: Any, text: str, known: tuple[str, ...]) -> str:
    return f'put it in quotes: "{text}"' if not isinstance(value, str) and text in known else ""


def _network(text: str) -> str:
    try:
        return f"did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        return ""


def _custom(document: Document, trail: Trail, annotation: Any, fault: Fault) -> str:
    """A validator's own words, if they don't repeat what may be secret."""
    message = _plain(fault)
    for name in document.variables_at(trail):
        if _repeats(message, document, trail):
            return f"is not accepted (got the value of {name})"
    value = document.get(trail)
    text = document.texts.get(trail, "")
    if isinstance(value, (dict, list)) or (text and text in message):
        return message
    return message + got(document, trail, annotation)


def _plain(fault: Fault) -> str:
    error = fault.details.get("ctx", {}).get("error")
    message = " ".join(str(error or fault.details["msg"]).split()).removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|Value) should be", "must be", message)
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


def _repeats(message: str, document: Document, trail: Trail) -> bool:
    """Whether a message has a part of what came from the environment at or below a trail."""
    said = message.casefold()
    for inner, text in document.texts.items():
        if inner[: len(trail)] == trail and document.origin(inner).variables:
            parts = [text.strip(), *re.findall(r"\w{3,}", text)]
            if any(part.casefold() in said for part in parts if part):
                return True
    return False
