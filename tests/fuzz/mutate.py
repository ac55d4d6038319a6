"""Broken copies of a file: the same seed number gives the same bytes."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

import yaml

LARGEST = 1 << 18  # bytes; larger files are refused by their size alone
Mutation = Callable[[random.Random, bytes], bytes]

TOKENS = (
    *(
        b"\t",
        b"\0",
        b"\r",
        b"\x1b[31m",
        b"\x7f",
        b"\xff\xfe",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
    ),
    *("é", "\u2028", "\u202e", "\ufeff", "\U0001f600", "\x85", "\xa0", "e\u0301", "٣", "İ"),
    *(
        "- ",
        ": ",
        "? ",
        "#",
        " #",
        "|",
        ">-",
        "---\n",
        "...\n",
        "%YAML 1.1\n---\n",
        "%TAG ! x\n",
        "@",
        "`",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        '"',
        "'",
        "\\",
        '"\\uD800"',
        '"\\U00110000"',
        '"\\x00"',
        "!",
        "!!set ",
    ),
    *(
        "!!python/object:os.system ",
        "!!binary ",
        "!!int ",
        "!!str ",
        "!!omap ",
        "!!timestamp ",
        "!x ",
    ),
    *("&a ", "*a", "<<: *a\n", "<<: {}\n", "<<: 1\n", "&a [*a]", "&a {b: *a}", "<<<<<<< HEAD\n"),
    *(
        "null",
        "~",
        "true",
        "yes",
        "NaN",
        "Infinity",
        "-Infinity",
        ".inf",
        "-.inf",
        ".nan",
        "0",
        "-1",
    ),
    *(
        "1e400",
        "1e-400",
        "0x",
        "0b1",
        "0o7",
        "1_0",
        "_1",
        "1:2:3",
        "2026-13-45",
        "2026-01-01",
        "=",
        "<<",
    ),
    *("9" * 30, "9" * 5000, "-" + "9" * 400, "0x" + "f" * 5000, "1." + "0" * 5000, "${env:HOME}"),
    *("${env:NONE}", "${env:", "${secret:a#b}", "../", "/dev/zero", "/", "%s", "{0}", "x" * 70_000),
)
WILD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**9, 10**18, 10**30, 10**400, 0.5, -0.0, 1e308),
    *(
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        " ",
        "0",
        "-1",
        "true",
        "null",
        "a",
        "A",
        "ä" * 99,
    ),
    *("a" * 300, "1.2.3.4", "1.2.3.4/33", "0.0.0.0/0", "255.255.255.255/8", "::/0", "10.0.0.0/25"),
    *(
        "local",
        "ssh",
        "akash",
        "moon",
        "./x.yaml",
        "/dev/zero",
        "a/b",
        "\x1b[2J",
        "\u202e",
        "${env:NO}",
    ),
    *(
        [],
        [None],
        [[]],
        [1, "a", {}],
        {},
        {"a": 1},
        {"": 1},
        {"name": {}},
        [[[[[[]]]]]],
        ["a"] * 200,
    ),
    *({f"k{i}": i for i in range(200)}, {"provider": "ssh"}, {"provider": ["local"]}, {1: 2}),
)


def of_bytes(chance: random.Random, content: bytes) -> bytes:
    """Some bytes changed, lost or added."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(3):
            case 0:
                found[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del found[at : at + chance.choice((1, 1, 3, 40))]
            case _:
                found[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 4))))
    return bytes(found)


def of_lines(chance: random.Random, content: bytes) -> bytes:
    """Lines lost, doubled, exchanged, indented or cut."""
    lines = content.splitlines(keepends=True) or [b""]
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(6):
            case 0:
                lines[at] = b""
            case 1:
                lines[at:at] = [lines[other]] * chance.choice((1, 1, 2, 2, 40))
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = chance.choice((b" ", b"  ", b"\t", b"- ", b"# ", b"? ")) + lines[at]
            case 4:
                lines[at] = lines[at].lstrip()
            case _:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
    return b"".join(lines)


def of_tokens(chance: random.Random, content: bytes) -> bytes:
    """Something with a meaning of its own put in, or put in a value's place."""
    found = content
    for _ in range(chance.choice((1, 1, 2, 3))):
        token = chance.choice(TOKENS)
        put = token if isinstance(token, bytes) else token.encode()
        places = [i + 1 for i, b in enumerate(found) if b in b" :\n[{,\"'-"] or [0]
        at = chance.choice(places)
        end = at
        while chance.random() < 0.9 and end < len(found) and found[end] not in b" \n,]}":
            end += 1
        found = found[:at] + put + found[end if chance.random() < 0.5 else at :]
    return found


def of_numbers(chance: random.Random, content: bytes) -> bytes:
    """Another number, mostly one that could be meant."""
    found = [*re.finditer(rb"\d+", content)]
    if not found:
        return of_tokens(chance, content)
    one = chance.choice(found)
    number = chance.choice(
        (0, 1, 2, 3, 5, 7, 8, 16, 20, 21, 24, 25, 50, 51, 255, 256, 65535, 10**7)
    )
    return content[: one.start()] + str(number).encode() + content[one.end() :]


def of_structure(chance: random.Random, content: bytes) -> bytes:
    """A value of another type at some place, a key lost, renamed or doubled; by its real parser."""
    small = len(content) < 1 << 14 and b"*z" not in content  # PyYAML follows bombs to their end
    data, write = _read(content) if small else (None, _as_yaml)
    if data is None:
        return of_tokens(chance, content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        around = _some_container(chance, data)
        if isinstance(around, dict) and around:
            _change_key(chance, around)
        elif isinstance(around, list):
            around[chance.randrange(len(around) + 1) :][:1] = [copy.deepcopy(chance.choice(WILD))]
            around.insert(chance.randrange(len(around) + 1), copy.deepcopy(chance.choice(WILD)))
        else:
            return write(copy.deepcopy(chance.choice(WILD)))
    return write(data)


def _change_key(chance: random.Random, around: dict[Any, Any]) -> None:
    key = chance.choice(list(around))
    match chance.randrange(6):
        case 0:
            del around[key]
        case 1:
            around[chance.choice(("", "x", "name", f"{key} ", "\x1b", 7))] = around.pop(key)
        case 2:
            around[f"{key}x"] = copy.deepcopy(around[key])
        case _:
            around[key] = copy.deepcopy(chance.choice(WILD))


def _some_container(chance: random.Random, data: Any) -> Any:
    """A mapping or list of the data, each with the same chance."""
    found: list[Any] = []
    seen: set[int] = set()  # aliases lead to one value in many ways
    todo = [data]
    while todo:
        value = todo.pop()
        if isinstance(value, (dict, list)) and id(value) not in seen:
            seen.add(id(value))
            found.append(value)
            todo += value.values() if isinstance(value, dict) else value
    return chance.choice(found or [None])


def _read(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """Data and a way to write it: JSON lines where the file is that, else YAML."""
    try:
        lines = [json.loads(line) for line in content.splitlines()]
        return lines, lambda data: _as_lines(data)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(content, yaml.CSafeLoader), _as_yaml
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, LookupError):
        return None, _as_yaml


def _as_lines(data: Any) -> bytes:
    many = data if isinstance(data, list) else [data]
    return b"".join(json.dumps(one).encode() + b"\n" for one in many)


def _as_yaml(data: Any) -> bytes:
    try:
        text = yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    except (RecursionError, ValueError, yaml.YAMLError) as error:  # numbers too long to write
        text = repr(error)
    return str(text).encode("utf-8", "surrogatepass")


def bombs(chance: random.Random, content: bytes) -> bytes:
    """Nesting, aliases, numbers and names that cost more than they look."""
    n = chance.choice((3, 33, 400, 5_000, 60_000))
    levels = chance.choice((3, 6, 9, 25))
    item = chance.choice(("x", "[]", "1"))
    aliases = f"z0: &z0 [{item}]\n" + "".join(
        f"z{i}: &z{i} [{', '.join([f'*z{i - 1}'] * 10)}]\n" for i in range(1, levels)
    )
    merges = "z0: &z0 {a: 1}\n" + "".join(
        f"z{i}: &z{i} {{<<: [*z{i - 1}, *z{i - 1}], k{i}: *z{i - 1}}}\n" for i in range(1, levels)
    )
    hollow = "z0: &z0 {a: 1}\n" + "".join(
        f"z{i}: &z{i} {{<<: [{', '.join([f'*z{i - 1}'] * 10)}]}}\n" for i in range(1, levels)
    )
    bomb = chance.choice(
        (
            "[" * n,
            "[" * n + "]" * n,
            "{a: " * n,
            '{"a":' * n + "1" + "}" * n,
            "- " * n + "x",
            "? " * n + "x",
            "z: &z [*z]\n",
            "z: &z {<<: *z}\n",
            "z: &z {a: *z}\n",
            "&z a: &y [*z, *y]\n",
            aliases,
            merges,
            hollow,
            f"z: {'9' * n}\n",
            f"z: 1e{'9' * n}\n",
            f"z: {'-' * n}\n",
            f"{'k' * n}: 1\n",
            "".join(f"k{i}: {i}\n" for i in range(min(n, 5_000))),
            "z: |\n" + " y\n" * min(n, 20_000),
        )
    ).encode()
    match chance.randrange(4):
        case 0:
            return bomb
        case 1:
            return bomb + content
        case 2:
            return content + bomb
        case _:
            at = chance.choice([i + 2 for i, b in enumerate(content) if b in b":"] or [0])
            return content[:at] + bomb + content[at:]


def encodings(chance: random.Random, content: bytes) -> bytes:
    """The same text as other programs write it."""
    text = content.decode("utf-8", "replace")
    name = chance.choice(
        ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "cp037")
    )
    match chance.randrange(4):
        case 0:
            return text.encode(name, "replace")
        case 1:
            return content.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\x0b", b"\xe2\x80\xa8")))
        case 2:
            return content.replace(b"  ", b"\t")
        case _:
            at = chance.randrange(len(content) + 1)
            return content[:at] + "ÄÖ€😀".encode(name, "replace") + content[at:]


MUTATIONS: tuple[tuple[Mutation, int], ...] = (
    (of_bytes, 6),
    (of_lines, 6),
    (of_tokens, 10),
    (of_numbers, 8),
    (of_structure, 12),
    (bombs, 1),  # they take most of the time
    (encodings, 2),
)


def mutated(chance: random.Random, originals: tuple[bytes, ...]) -> bytes:
    """One broken file, at most LARGEST bytes."""
    content = chance.choice(originals)
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
        mutations, weights = zip(*MUTATIONS, strict=True)
        content = chance.choices(mutations, weights)[0](chance, content)[:LARGEST]
    return content
