"""What is said of a vault that is not there: never that there is nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_said import Disco

from disco.cli import changing
from disco.cli.vault import _Back
from disco.engine.apply import Ended, Outcome
from disco.layers.platform.quorum import Quorum, sealed


def test_a_vault_that_does_not_answer_is_not_taken_for_a_sealed_one(
    stack: Path, disco: Disco
) -> None:
    said = disco("vault", "seal", "--yes")
    assert said.code == 1
    assert "openbao-0 does not answer" in said.err
    assert "Nothing to do" not in said.out + said.err


def test_without_keys_there_is_nothing_to_unseal_with(stack: Path, disco: Disco) -> None:
    said = disco("vault", "unseal")
    assert said.code == 2
    assert "the vault has no keys yet" in said.err and "disco apply" in said.err


def test_the_state_of_each_pod_is_told_also_when_none_answers(stack: Path, disco: Disco) -> None:
    said = disco("vault", "status")
    assert said.code == 3
    assert "openbao-0" in said.out and "does not answer" in said.out


def test_new_shares_need_holders_in_the_file(stack: Path, disco: Disco) -> None:
    said = disco("vault", "rekey")
    assert said.code == 2
    assert "the file names no holders" in said.err


def test_the_glass_is_broken_by_who_says_why_and_has_a_share(
    stack: Path, disco: Disco, tmp_path: Path
) -> None:
    to = str(tmp_path / "token")
    for words in ((), ("--to", to), ("--reason", " ", "--to", to), ("--reason", "night")):
        said = disco("vault", "break-glass", *words, "--yes")
        assert said.code == 2 and "say why, and where the token goes" in said.err
    said = disco("vault", "break-glass", "--reason", "night", "--to", to, "--yes")
    assert said.code == 2 and "the vault has no keys yet" in said.err
    (tmp_path / "token").write_text("somebody's")
    said = disco("vault", "break-glass", "--reason", "night", "--to", to, "--yes")
    assert said.code == 2 and "there is a file already" in said.err
    assert (tmp_path / "token").read_text() == "somebody's"


def test_a_vault_without_keys_writes_with_none(stack: Path, disco: Disco) -> None:
    said = disco("vault", "rotate", "--yes")
    assert said.code == 1 and "vault/init" in said.err


@pytest.mark.parametrize(("done", "then"), [(0, "vault restore kept.age"), (1, "apply")])
def test_what_was_put_back_is_not_put_back_again_when_its_holders_have_opened_it(
    done: int, then: str, stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would lose what was written since."""
    waits = sealed("vault/openbao", ["openbao-0"], Quorum(("anna", "ben"), 2))
    outcome = Outcome(Ended.FAILED, [waits], done)
    what = _Back("platform", path=Path("kept.age")).again("vault restore kept.age", outcome)
    assert changing._explain(outcome, what, stack) == 1
    said = capsys.readouterr().err
    assert f"mend what is named, then: disco {then} -f {stack}" in said
    assert "disco vault unseal; then disco apply" in said and "once more" not in said
