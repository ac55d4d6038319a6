"""A plugin for age by its protocol (C2SP age-plugin), as a token would have: a PIN, and a key that
stays in the "token", here a file. Installed as `age-plugin-token` by `install`.

A file key is sealed for the token's own X25519 key. Run as a program it is the plugin itself.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import bech32
import pyrage  # type: ignore[import-untyped]

PIN = "2468"
TOKEN, HAS_PIN = "DISCO_TEST_TOKEN", "DISCO_TEST_PIN"
RECIPIENT, IDENTITY = "age1token", "AGE-PLUGIN-TOKEN-"


def install(folder: Path) -> Path:
    """The folder for PATH; the token is beside the program."""
    key = folder / "token"
    key.write_text(str(pyrage.x25519.Identity.generate()))
    change_pin(folder, PIN)
    return folder


def change_pin(folder: Path, pin: str) -> None:
    program = folder / "age-plugin-token"
    environ = f"{TOKEN}={folder / 'token'} {HAS_PIN}={pin}"
    program.write_text(f'#!/bin/sh\n{environ} exec {sys.executable} {__file__} "$@"\n')
    program.chmod(0o755)


def recipient() -> str:
    return _spelled(RECIPIENT)


def identity() -> str:
    return _spelled(IDENTITY.lower()).upper()


def _spelled(prefix: str) -> str:
    """BIP 173, as age spells keys; what is in them is the plugin's own affair."""
    return str(bech32.bech32_encode(prefix, bech32.convertbits(b"slot 1", 8, 5) or []))


Stanza = tuple[list[str], bytes]


def received() -> Iterator[Stanza]:
    while line := sys.stdin.readline():
        words = line.split()[1:]
        body = ""
        while len(part := sys.stdin.readline().rstrip("\n")) == 64:
            body += part
        body += part
        yield words, base64.b64decode(body + "=" * (-len(body) % 4))


def say(*words: str, body: bytes = b"") -> None:
    text = base64.b64encode(body).decode().rstrip("=")
    lines = [text[i : i + 64] for i in range(0, len(text) + 1, 64)]
    sys.stdout.write("\n".join([" ".join(("->", *words)), *lines, ""]))
    sys.stdout.flush()


def main() -> None:
    token = pyrage.x25519.Identity.from_str(Path(os.environ[TOKEN]).read_text())
    stanzas = received()
    asked = []
    for words, body in stanzas:
        if words[0] == "done":
            break
        asked.append((words, body))
    if sys.argv[1] == "--age-plugin=recipient-v1":
        for words, body in asked:
            if words[0] == "wrap-file-key":
                sealed = pyrage.encrypt(body, [token.to_public()])
                say("recipient-stanza", "0", "token", "slot", body=sealed)
                next(stanzas)
    else:
        mine = [(w, b) for w, b in asked if w[0] == "recipient-stanza" and w[2] == "token"]
        if mine:
            say("request-secret", body=b"PIN of the token")
            _, pin = next(stanzas)
        for words, body in mine:
            if pin == os.environ[HAS_PIN].encode():
                say("file-key", words[1], body=pyrage.decrypt(body, [token]))
                next(stanzas)
    say("done")


if __name__ == "__main__":
    main()
