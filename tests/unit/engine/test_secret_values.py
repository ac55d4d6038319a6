"""Types that hold secrets, or lead to them, never show a value."""

from __future__ import annotations

import copy
import json
import traceback

import pydantic
import pytest

from disco.engine.action import made_from, secrets_in, to_data
from disco.engine.secret import KeptRef, Secret, SecretRef, Text, VersionRef
from disco.stack.secret import SecretName

VALUE = "hunter2"


def test_a_secret_shows_itself_by_no_usual_way() -> None:
    secret = Secret(VALUE)

    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        "{} {!r}".format(*[secret] * 2),
        repr([secret]),
    ]
    shown += [
        repr({"a": secret}),
        repr(copy.copy(secret)),
        str(vars(type(secret))),
        f"{secret!s:>9}",
    ]
    assert not [text for text in shown if VALUE in text]
    assert secret.reveal() == VALUE


def test_a_secret_can_not_be_written_as_json_by_accident() -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps({"password": Secret(VALUE)})
    assert VALUE not in str(caught.value)


def test_an_error_made_of_a_secret_does_not_tell_it() -> None:
    secret = Secret(VALUE)
    try:
        raise ValueError("no", secret)
    except ValueError as error:
        assert VALUE not in "".join(traceback.format_exception(error))


def test_equal_secrets_are_equal_and_others_are_not() -> None:
    assert Secret("a") == Secret("a") and hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b") and Secret("a") != "a"


def test_text_reads_with_references_until_it_is_revealed() -> None:
    text = Text.of("password: ", SecretRef("db/admin", "password"), "\n")

    assert str(text) == "password: ${secret:db/admin#password}\n"
    assert text.secrets == (SecretRef("db/admin", "password"),)
    assert text.reveal(lambda ref: VALUE) == f"password: {VALUE}\n"
    assert VALUE not in repr(text)


def test_the_digest_of_a_text_is_of_its_references_not_of_its_values() -> None:
    ref = SecretRef("a")

    assert Text.of("x", ref).digest == Text.of("x", ref).digest
    assert Text.of("x", ref).digest != Text.of("x", SecretRef("b")).digest


def test_a_kept_file_and_a_secret_of_one_name_are_two_things() -> None:
    assert KeptRef("a") != SecretRef("a")
    assert str(KeptRef("a")) == "${kept:a}"


def test_plain_data_holds_references_and_digests_only() -> None:
    data = to_data(
        {"ref": SecretRef("a"), "text": Text.of("x", SecretRef("b")), "bytes": VALUE.encode()}
    )

    assert data["ref"] == "${secret:a#value}" and data["text"] == "x${secret:b#value}"
    assert data["bytes"].startswith("sha256:")
    assert VALUE not in json.dumps(data)


def test_a_secret_that_strays_into_an_action_is_written_without_its_value() -> None:
    assert VALUE not in json.dumps(to_data({"oops": Secret(VALUE)}))


PARTS = {
    "password": Text.of("x", SecretRef("db/admin", "password")),
    "list": [{"token": SecretRef("api/token")}, VersionRef("tls/ca")],
    "genesis": KeptRef("genesis"),
    "plain": "text",
}


def test_secrets_are_found_wherever_they_are_and_kept_files_are_none() -> None:
    assert secrets_in(PARTS) == {"db/admin", "api/token", "tls/ca"}


def test_a_digest_is_another_one_with_each_value_and_without_secrets_what_it_was() -> None:
    versions = {"db/admin": "1", "api/token": "1", "tls/ca": "1"}

    def digest() -> str:
        return made_from("want", PARTS, lambda ref: versions[ref.name])

    first = digest()
    assert first == digest()
    versions["tls/ca"] = "2"
    assert first != digest()
    assert made_from("want", {"a": KeptRef("genesis")}, lambda ref: "x") == "want"


def test_a_line_that_goes_on_is_no_name() -> None:
    with pytest.raises(ValueError, match="must name a secret"):
        pydantic.TypeAdapter(SecretName).validate_python("${secret:a/b}\n")


def test_what_a_stack_file_names_is_a_reference() -> None:
    assert SecretRef.of(SecretName("${secret:a/b}")) == SecretRef("a/b", "value")
    assert SecretRef.of(SecretName("${secret:a/b#c.d}")) == SecretRef("a/b", "c.d")
