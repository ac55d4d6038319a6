"""Settings that say where a team's store is: spoilt by hand, they are refused by their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from disco.engine.errors import DiscoError
from disco.engine.place import Place
from disco.store import opening

ROOT = "a" * 40


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "it is no settings"),
        ('{"remote": "r"}', "it is no settings"),
        (f'{{"remote": 2, "root": "{ROOT}"}}', "is no text"),
        (f'{{"remote": "r", "root": "{ROOT}", "keys": 1.5}}', "its keys are no list"),
        (f'{{"remote": "r", "root": "{ROOT}", "keys": "key"}}', "its keys are no list"),
        (f'{{"remote": "r", "root": "{ROOT}", "keys": [null]}}', "is no text"),
        (f'{{"remote": "-9git@host:x", "root": "{ROOT}"}}', "take for an option"),
    ],
)
def test_spoilt_settings_name_their_file_and_what_is_wrong(
    tmp_path: Path, content: str, why: str
) -> None:
    place = Place(tmp_path)
    file = tmp_path / opening.SETTINGS
    file.write_text(content)
    with pytest.raises(DiscoError) as refused:
        opening.repository(place)
    assert refused.value.where == str(file)
    assert why in refused.value.why
