"""YAML to plain values, each with its position; what YAML allows and a stack file doesn't is said.

The nodes are read instead of ruamel's finished objects: they have a position for every single
scalar, also in lists and flow mappings, and all duplicate keys can be reported at once.
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from functools import partial
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.parser import Parser
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver

from disco.stack.document import Document, Origin, Trail, dotted
from disco.stack.problem import Problem, StackProblems

MAX_DEPTH = 32
MAX_VALUES = 20_000  # after aliases are followed: a short file can't become a huge stack
MAX_INTEGER = 10**40

_YAML = "tag:yaml.org,2002:"
_MERGE = f"{_YAML}merge"
_TAGS = {
    MappingNode: {f"{_YAML}map"},
    SequenceNode: {f"{_YAML}seq"},
    ScalarNode: {_YAML + t for t in ("str", "int", "float", "bool", "null", "timestamp", "value")},
}
_WORDS = (  # of ruamel's messages: a part, ours, a hint
    (r"'\\t' that cannot start", "a tab can't be used here", "indent with spaces"),
    (
        r"mapping values are not allowed",
        "a ':' where no key can be",
        "check the indentation of this line, and quote text that contains ': '",
    ),
    (r"undefined alias '(.*)'", "no anchor '{0}' is defined above", ""),
    (r"found another document", "a second document starts here", "remove the line with ---"),
    (r"document is required|incompatible YAML", "only YAML 1.2 can be used here", ""),
    (r"could not find expected ':'", "a key without a ':'", ""),
    (r"unexpected end of stream", "a quote is opened and never closed", ""),
    (r"unknown escape character '(.*)'", "\\{0} means nothing in double quotes", "use '…'"),
    (r"expected ',' or '\]'", "a list opened with [ is not closed", ""),
    (r"expected ',' or '}'", "a mapping opened with {{ is not closed", ""),
    (
        r"expected <block end>|expected '<document start>'",
        "the indentation doesn't fit the lines above",
        "keys of one mapping start in the same column",
    ),
    (r"character '(.*)' that cannot start", "text can't start with {0}", "put it in quotes"),
)
_ESCAPE = re.compile(r"\\U([0-9A-Fa-f]{8})")
_ONLY_1_2 = "only YAML 1.2 can be used here"
_CIRCLE = "an alias leads back to itself"
_UNCLOSED = ("unexpected end of stream", "expected ',' or")


def parse(text: str, file: str) -> Document:
    """The document in a text; its own problems are noted in it.

    Raises StackProblems where the text is no YAML, or more than a stack file can hold.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            node = _yaml(file).compose(text)
    except YAMLError as error:
        raise StackProblems([_syntax(error, text, file)]) from None
    except (ValueError, OverflowError):
        raise StackProblems([_beyond_unicode(text, file)]) from None
    except (AssertionError, KeyError):
        # ruamel's ways to say that it knows 1.1 and 1.2 only; a later document's is the second.
        raise StackProblems([_other_version(text, file)]) from None
    walk = _Walk(Document(file))
    if node is not None:
        walk.document.root = walk.value(node, (), ())
    return walk.document


def scalar(text: str) -> Any:
    """What an unquoted scalar means: text, a number, a truth value or nothing."""
    tag = VersionedResolver().resolve(ScalarNode, text, (True, False))
    return _typed(str(tag).removeprefix(_YAML), text)


def _yaml(file: str) -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Parser = partial(_Bounded, file)
    return yaml


class _Bounded(Parser):
    """Stops at what the recursive composer can't take, or would take for another YAML."""

    def __init__(self, file: str, loader: YAML) -> None:
        super().__init__(loader)
        self._file = file
        self._depth = 0

    def get_event(self) -> Event:
        event: Event = super().get_event()
        self._depth += isinstance(event, CollectionStartEvent)
        self._depth -= isinstance(event, CollectionEndEvent)
        mark = event.start_mark
        if self._depth > MAX_DEPTH:
            raise StackProblems([_too_deep(self._file, mark.line + 1, mark.column + 1)])
        if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
            place = (mark.line + 1, mark.column + 1)
            raise StackProblems([Problem(self._file, *place, "", _ONLY_1_2)])
        return event


def _beyond_unicode(text: str, file: str) -> Problem:
    """The escape that ruamel took to Python's `chr`, which says no place."""
    found = next((m for m in _ESCAPE.finditer(text) if int(m[1], 16) > sys.maxunicode), None)
    line, column = _position(text, found.start()) if found else (0, 0)
    return Problem(file, line, column, "", "an escape names no character")


def _other_version(text: str, file: str) -> Problem:
    line, column = _position(text, max(0, text.find("%YAML")))
    return Problem(file, line, column, "", _ONLY_1_2)


def _position(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _too_deep(file: str, line: int, column: int) -> Problem:
    return Problem(file, line, column, "", f"nests more than {MAX_DEPTH} levels deep")


def _syntax(error: YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, ReaderError):
        line, column = _position(text, error.position)
        message = f"the character U+{ord(text[error.position]):04X} can't be used"
        return Problem(file, line, column, "", message)
    if not isinstance(error, MarkedYAMLError):
        return Problem(file, 0, 0, "", "is not YAML")
    said = str(error.problem)
    mark = error.problem_mark or error.context_mark
    if error.context_mark and any(part in said for part in _UNCLOSED):
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    for pattern, message, hint in _WORDS:
        if found := re.search(pattern, said):
            return Problem(file, line, column, "", message.format(*found.groups()), hint)
    return Problem(file, line, column, "", f"is not YAML: {said.replace(chr(0), '')}")


class _Walk:
    """From nodes to plain values."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0

    def value(self, node: Node, trail: Trail, around: tuple[Node, ...]) -> Any:
        here = self.origin(node)
        self.document.origins[trail] = here
        self.count_one(here)
        if any(node is parent for parent in around):
            raise StackProblems([self.problem(here, _CIRCLE)])
        if len(around) > MAX_DEPTH:
            raise StackProblems([_too_deep(here.file, here.line, here.column)])
        if str(node.tag) not in _TAGS[type(node)]:
            self.document.broken.add(trail)
            self.document.complain(trail, f"the tag {_tag(node)} can't be used here")
            return None
        if isinstance(node, MappingNode):
            return self.mapping(node, trail, (*around, node))
        if isinstance(node, SequenceNode):
            return [self.value(n, (*trail, i), (*around, node)) for i, n in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self.scalar(node, trail)

    def count_one(self, here: Origin) -> None:
        """One more value, or mapping that is merged: those need no value to become very many."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise StackProblems([self.problem(here, f"holds more than {MAX_VALUES} values")])

    def origin(self, node: Node) -> Origin:
        mark = node.start_mark
        return Origin(self.document.file, mark.line + 1, mark.column + 1)

    def problem(self, origin: Origin, message: str) -> Problem:
        return Problem(origin.file, origin.line, origin.column, "", message)

    def scalar(self, node: ScalarNode, trail: Trail) -> Any:
        self.document.texts[trail] = node.value
        if node.value == "" and node.style is None and trail in self.document.keys:
            # Nothing is written: YAML's own position would be that of the next line.
            self.document.origins[trail] = self.document.keys[trail]
        value = _typed(str(node.tag).removeprefix(_YAML), node.value)
        if isinstance(value, str) and not value.isascii() and not _whole(value):
            self.document.broken.add(trail)
            self.document.complain(trail, "an escape names half of a character")
            return None
        return value

    def mapping(self, node: MappingNode, trail: Trail, around: tuple[Node, ...]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            if str(key.tag) == _MERGE or not self.is_key(key):
                continue
            if key.value in values:
                self.duplicate(key, (*trail, key.value))
            else:
                values[key.value] = self.entry(key, value, trail, around)
        self.merge(node, trail, values, around)
        return values

    def entry(self, key: ScalarNode, node: Node, trail: Trail, around: tuple[Node, ...]) -> Any:
        self.document.keys[*trail, key.value] = self.origin(key)
        return self.value(node, (*trail, key.value), around)

    def is_key(self, key: Node) -> bool:
        plain = isinstance(key, ScalarNode) and str(key.tag) in _TAGS[ScalarNode]
        if plain and _whole(key.value):
            return True
        self.document.problems.append(self.problem(self.origin(key), "a key must be plain text"))
        return False

    def duplicate(self, key: ScalarNode, trail: Trail) -> None:
        first, here = self.document.keys[trail], self.origin(key)
        message = f"is here twice, first in line {first.line}"
        self.document.problems.append(
            Problem(here.file, here.line, here.column, dotted(trail), message)
        )

    def merge(
        self, node: MappingNode, trail: Trail, values: dict[str, Any], around: tuple[Node, ...]
    ) -> None:
        """`<<: *anchor`: the keys of other mappings, as far as they are not given here."""
        sources = [value for key, value in node.value if str(key.tag) == _MERGE]
        for source in sources:
            parts = source.value if isinstance(source, SequenceNode) else [source]
            for part in parts:
                self.merge_one(part, trail, values, around)

    def merge_one(
        self, part: Node, trail: Trail, values: dict[str, Any], around: tuple[Node, ...]
    ) -> None:
        if not isinstance(part, MappingNode):
            message = "<< takes a mapping, or a list of mappings"
            self.document.problems.append(self.problem(self.origin(part), message))
            return
        self.count_one(self.origin(part))
        if any(part is outer for outer in around):
            raise StackProblems([self.problem(self.origin(part), _CIRCLE)])
        for key, value in part.value:
            if str(key.tag) != _MERGE and self.is_key(key) and key.value not in values:
                values[key.value] = self.entry(key, value, trail, around)
        self.merge(part, trail, values, (*around, part))


def _tag(node: Node) -> str:
    tag = str(node.tag)
    return f"!!{tag.removeprefix(_YAML)}" if tag.startswith(_YAML) else tag


def _whole(text: str) -> bool:
    """No half of a surrogate pair, which is no character and can't be written anywhere."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _typed(tag: str, text: str) -> Any:
    """The value of a scalar; text that only looks like a number stays text."""
    try:
        if tag == "int":
            number = int(text.replace("_", ""), 10 if re.match(r"[-+]?[0-9_]+$", text) else 0)
            return number if abs(number) < MAX_INTEGER else text
        if tag == "float":
            return _float(text.lower().replace("_", ""))
    except ValueError:
        return text
    if tag == "null":
        return None
    if tag == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _float(text: str) -> float:
    if text.lstrip("+-") == ".inf":
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if text == ".nan" else float(text)
