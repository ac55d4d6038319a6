"""What is said of a vault that is not there: never that there is nothing to do."""

from __future__ import annotations

from pathlib import Path

from cli_said import Disco


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
