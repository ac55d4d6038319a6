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

import pyrage  # type: ignore[import-untyped]

PIN = "2468"
LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
TOKEN = "DISCO_TEST_TOKEN"
RECIPIENT, IDENTITY = "age1token", "AGE-PLUGIN-TOKEN-"


def install(folder: Path) -> Path:
    """The folder for PATH; the token is beside the program."""
    key = folder / "token"
    key.write_text(str(pyrage.x25519.Identity.generate()))
    program = folder / "age-plugin-token"
    program.write_text(f'#!/bin/sh\n{TOKEN}={key} exec {sys.executable} {__file__} "$@"\n')
    program.chmod(0o755)
    return folder


def bech32(prefix: str, content: bytes) -> str:
    """BIP 173, as age spells keys."""
    bits = "".join(f"{byte:08b}" for byte in content)
    bits += "0" * (-len(bits) % 5)
    data = [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)]
    low = prefix.lower()
    spread = [ord(c) >> 5 for c in low] + [0] + [ord(c) & 31 for c in low]
    check = _checksum([*spread, *data, 0, 0, 0, 0, 0, 0]) ^ 1
    data += [(check >> 5 * (5 - i)) & 31 for i in range(6)]
    text = f"{low}1{''.join(LETTERS[d] for d in data)}"
    return text.upper() if prefix.isupper() else text


def _checksum(values: list[int]) -> int:
    found = 1
    for value in values:
        top, found = found >> 25, (found & 0x1FFFFFF) << 5 ^ value
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            found ^= g if (top >> i) & 1 else 0
    return found


def recipient() -> str:
    return bech32(RECIPIENT, b"slot 1")


def identity() -> str:
    return bech32(IDENTITY, b"slot 1")


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
            if pin == PIN.encode():
                say("file-key", words[1], body=pyrage.decrypt(body, [token]))
                next(stanzas)
    say("done")


if __name__ == "__main__":
    main()
