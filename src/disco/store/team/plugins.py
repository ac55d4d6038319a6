"""Keys that a program `age-plugin-NAME` has, for a hardware token say: it seals for them and opens.

Recipients are `age1NAME1…`, identities `AGE-PLUGIN-NAME-1…`. Tagged recipients (`age1tag1…`) are
sealed for without the program; what opens them is a plugin as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pyrage  # type: ignore[import-untyped]

from disco.engine.errors import WrongUse
from disco.stack.problem import visible

SECRET = "AGE-PLUGIN-"
PLAIN = "age"  # what stands before the last 1 of a recipient that needs no plugin
TAGGED = {"age1tag": pyrage.tag, "age1tagpq": pyrage.tagpq}
# What the programs write above an identity: its public half is only there.
NAMED = re.compile(r"^#.*\b(age1[0-9a-z+._-]*1[02-9ac-hj-np-z]+)\s*$", re.MULTILINE)
Ask = Callable[[str], str]


def is_plugins(recipient: str) -> bool:
    return _kind(recipient) != PLAIN


def check(recipient: str) -> None:
    """Raises pyrage.RecipientError for what is no recipient; no program is asked."""
    tagged = TAGGED.get(_kind(recipient))
    (tagged or pyrage.plugin).Recipient.from_str(recipient)


def recipient(text: str) -> Any:
    """For `pyrage.encrypt`. Raises WrongUse where its program is not installed."""
    if tagged := TAGGED.get(_kind(text)):
        return tagged.Recipient.from_str(text)
    found = pyrage.plugin.Recipient.from_str(text)
    try:
        return pyrage.plugin.RecipientPluginV1(found.plugin(), [found], [], _Prompts(None))
    except pyrage.EncryptError:
        raise _missing(found.plugin(), text) from None


def identities(lines: list[str], where: str, ask: Ask | None) -> list[Any]:
    """For `pyrage.decrypt`. where: their file, which is told when a program is missing. Raises
    pyrage.IdentityError, WrongUse."""
    found = [pyrage.plugin.Identity.from_str(line) for line in lines]
    made = []
    for name in dict.fromkeys(i.plugin() for i in found):
        mine = [i for i in found if i.plugin() == name]
        try:
            made.append(pyrage.plugin.IdentityPluginV1(name, mine, _Prompts(ask)))
        except pyrage.DecryptError:
            raise _missing(name, where) from None
    return made


def named_in(text: str) -> list[str]:
    """The recipients that the comments of a file of identities name."""
    return NAMED.findall(text)


class Answers:
    """What a person answered, so that a PIN is asked for once and not for each secret. One that
    opened nothing is never given again: a token locks itself after a few wrong ones."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._right: dict[str, str] = {}
        self._given: dict[str, str] = {}

    def __call__(self, what: str) -> str:
        again = what in self._given
        answer = self._ask(what) if again or what not in self._right else self._right[what]
        self._given[what] = answer
        return answer

    def opened(self, whether: bool) -> None:
        """Whether what was answered since the last time opened what it was asked for."""
        self._right = {q: a for q, a in self._right.items() if q not in self._given}
        if whether:
            self._right |= self._given
        self._given = {}


class _Prompts:
    """What a program asks of the person: a PIN, a touch. It may say something, too."""

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask

    def display_message(self, message: str) -> None:
        """That a token waits to be touched, say; where nobody can be asked, nobody reads it."""
        if self._ask:
            sys.stderr.write(f"{visible(message)}\n")

    def confirm(self, message: str, yes: str, no: str | None) -> bool | None:
        return None

    def request_public_string(self, description: str) -> str | None:
        return None

    def request_passphrase(self, description: str) -> str | None:
        return self._ask(description) if self._ask else None


def _kind(recipient: str) -> str:
    return recipient.rpartition("1")[0]


def _missing(name: str, where: str) -> WrongUse:
    return WrongUse(
        f"the program age-plugin-{name} is not on PATH",
        where=where,
        fix=f"install age-plugin-{name}; it seals for this key, and opens with it",
    )
