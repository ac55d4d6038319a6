"""People's keys: which sign, which open, and what is said of those that can't."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest
from people import Person

from disco.engine.errors import DiscoError
from disco.store.team import keys
from disco.store.team.keys import Own, PublicKey


def made(path: Path, kind: str, passphrase: str = "") -> Path:
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run([*words, *(["-b", "2048"] if kind == "rsa" else [])], check=True)
    return path


@pytest.mark.parametrize(("kind", "opens"), [("ed25519", True), ("rsa", True), ("ecdsa", False)])
def test_ssh_keys_sign_and_some_open(tmp_path: Path, kind: str, opens: bool) -> None:
    own = Own([made(tmp_path / "key", kind)])
    (public,) = own.public
    assert (public.signs, public.opens) == (True, opens)
    assert own.signs_as([public]) == tmp_path / "key"
    if opens:
        assert own.open(pyrage.encrypt(b"x", [public.recipient()])) == b"x"


def test_an_age_identity_opens_and_does_not_sign(tmp_path: Path) -> None:
    key = pyrage.x25519.Identity.generate()
    path = tmp_path / "age.txt"
    path.write_text(f"# made by age-keygen\n{key}\n")
    path.chmod(0o600)
    (public,) = Own([path]).public
    assert (public.signs, public.opens) == (False, True)
    assert Own([path]).signs_as([public]) is None
    assert Own([path]).open(pyrage.encrypt(b"x", [public.recipient()])) == b"x"


def test_a_passphrase_is_asked_for_once_and_only_to_open(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return "open sesame"

    path = made(tmp_path / "key", "ed25519", "open sesame")
    own = Own([path], ask)
    (public,) = own.public
    assert not asked
    for _ in range(2):
        assert own.open(pyrage.encrypt(b"x", [public.recipient()])) == b"x"
    assert asked == [f"passphrase of {path}"]
    with pytest.raises(DiscoError, match="can't be used"):
        Own([path], lambda _: "wrong").open(pyrage.encrypt(b"x", [public.recipient()]))
    with pytest.raises(DiscoError, match="can't be used") as caught:
        Own([path]).open(pyrage.encrypt(b"x", [public.recipient()]))
    assert "nobody can be asked" in caught.value.why


def test_a_public_half_stands_for_an_agents_key(tmp_path: Path) -> None:
    path = made(tmp_path / "key", "ed25519").with_name("key.pub")
    own = Own([path])
    assert own.signs_as(own.public) == path
    with pytest.raises(DiscoError, match="no key on this machine can open secrets"):
        own.open(b"")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    person = Person("ana", tmp_path)
    person.own.public  # noqa: B018
    person.key.chmod(mode)
    with pytest.raises(DiscoError, match="open to other users") as caught:
        _ = person.own.public
    assert f"chmod 600 {person.key}" in caught.value.fix


@pytest.mark.parametrize(
    "content", ["", "nonsense", "AGE-SECRET-KEY-1QQQ", "# AGE-SECRET-KEY-1Q\n", "a\nb\n", "\0"]
)
def test_a_broken_key_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    for ask in (lambda: Own([path]).public, lambda: Own([path]).open(b"")):
        with pytest.raises(DiscoError, match="a key can't be used") as caught:
            ask()
        assert "AGE-SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA!",
        "ssh-dss AAAA",
        "age1nonsense",
        "ssh-rsa AAAAC3NzaC1l",
    ],
)
def test_what_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"it is|base64|parse|nvalid|recipient"):
        PublicKey.parse(line)


def test_the_first_writer_of_a_key_wins(tmp_path: Path) -> None:
    keys.make(tmp_path / "key", "one")
    first = (tmp_path / "key").read_bytes()
    keys.make(tmp_path / "key", "two")
    assert (tmp_path / "key").read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
