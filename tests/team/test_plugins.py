"""A member whose key is on a token: sealed for and opened by its plugin, as age does it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import age_plugin
from disco.engine.errors import DiscoError, WrongUse
from disco.store.team import keys
from disco.store.team.keys import Own, PublicKey
from disco.store.team.sealed import Content, seal, unseal, wrong_recipients
from disco.store.team.team import Team

SECRET, CONTENT = "dev/db/password", Content.of({"value": "hunter22"})


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The identity's file; its plugin is on PATH."""
    (tmp_path / "bin").mkdir()
    age_plugin.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    file = tmp_path / "token.txt"
    file.write_text(f"#    Recipient: {age_plugin.recipient()}\n{age_plugin.identity()}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def ssh(tmp_path: Path) -> Own:
    keys.make(tmp_path / "key", "ana")
    return Own([tmp_path / "key"])


def with_pin(file: Path, pin: str = age_plugin.PIN) -> tuple[Own, list[str]]:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return pin

    return Own([file], ask), asked


def test_it_is_sealed_for_a_token_and_opened_by_its_pin(token: Path, ssh: Own) -> None:
    own, asked = with_pin(token)
    (public,) = own.public
    assert (str(public), public.opens, public.signs) == (age_plugin.recipient(), True, False)
    everybody = [*ssh.public, public]
    sealed = seal(SECRET, CONTENT, everybody)
    assert asked == [], "who seals needs no PIN"
    assert unseal(SECRET, sealed, own) == unseal(SECRET, sealed, ssh) == CONTENT
    assert asked == ["PIN of the token"]
    with pytest.raises(DiscoError, match="refused"):
        unseal(SECRET, sealed, with_pin(token, "1111")[0])


def test_a_pin_is_asked_for_once_in_a_run_and_again_after_it_opened_nothing(
    token: Path, ssh: Own, tmp_path: Path
) -> None:
    pins = iter(["1111", age_plugin.PIN, "of another token", age_plugin.PIN])
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return next(pins)

    own = Own([token], ask)
    sealed = seal(SECRET, CONTENT, [*ssh.public, *own.public])
    with pytest.raises(DiscoError, match="refused"):
        unseal(SECRET, sealed, own)
    for _ in range(3):
        assert unseal(SECRET, sealed, own) == CONTENT
    assert len(asked) == 2, "one that opened nothing is not given to a token again"
    age_plugin.change_pin(tmp_path / "bin", "other")
    with pytest.raises(DiscoError, match="refused"):
        unseal(SECRET, sealed, own)
    assert len(asked) == 2
    with pytest.raises(DiscoError, match="refused"):
        unseal(SECRET, sealed, own)
    assert len(asked) == 3


def test_who_it_is_sealed_for_is_counted_with_tokens(token: Path, ssh: Own) -> None:
    public = with_pin(token)[0].public
    both = seal(SECRET, CONTENT, [*ssh.public, *public])
    assert wrong_recipients(both, [*ssh.public, *public]) == ""
    assert "also sealed for 1 age key(s) of a plugin" in wrong_recipients(both, ssh.public)
    alone = seal(SECRET, CONTENT, ssh.public)
    said = wrong_recipients(alone, [*ssh.public, *public])
    assert "not sealed for 1 age key(s) of a plugin" in said


def test_stock_age_opens_it_with_the_same_plugin(token: Path, tmp_path: Path) -> None:
    if not (age := shutil.which("age")) or not shutil.which("script"):
        pytest.skip("the programs age and script are not here")
    sealed = tmp_path / "sealed.age"
    sealed.write_bytes(seal(SECRET, CONTENT, with_pin(token)[0].public))
    line = f"{age} -d -i {token} {sealed}"
    words = ["script", "-qec", line, "/dev/null"]  # age asks for the PIN at a terminal
    done = subprocess.run(words, input=f"{age_plugin.PIN}\n", text=True, capture_output=True)
    assert '"value": "hunter22"' in done.stdout, done.stdout


def test_a_plugin_that_is_not_installed_is_named_and_reading_a_team_needs_none(
    token: Path, ssh: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    public = PublicKey.parse(age_plugin.recipient())
    with pytest.raises(WrongUse, match="age-plugin-token is not on PATH") as refused:
        seal(SECRET, CONTENT, [*ssh.public, public])
    assert "install age-plugin-token" in refused.value.fix
    sealed = seal(SECRET, CONTENT, ssh.public)
    with pytest.raises(WrongUse, match="age-plugin-token is not on PATH") as refused:
        unseal(SECRET, sealed, Own([token]))
    assert refused.value.where == str(token)
    (signs,) = ssh.public
    lines = (
        f"team: a\nversion: 1\nmembers:\n  ana:\n    role: admin\n    keys: [{signs}, {public}]\n"
    )
    assert Team.read(lines.encode(), "team.yaml").recipients(SECRET) == (signs, public)


@pytest.mark.parametrize("kind", ["age1tag", "age1token", "age1"])
def test_a_recipient_that_was_mistyped_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        PublicKey.parse(f"{kind}1qqqqqqqqqqqqqqqqqqqq")


def test_an_identity_without_its_recipient_beside_it_says_what_to_write(token: Path) -> None:
    token.write_text(f"{age_plugin.identity()}\n")
    with pytest.raises(DiscoError, match="can't be used") as refused:
        _ = Own([token]).public
    assert "# recipient: age1" in refused.value.why
