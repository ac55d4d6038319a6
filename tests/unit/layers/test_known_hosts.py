"""The person's known_hosts: the one key that is pinned for an address, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from disco.layers.servers.ssh import known_host_key


@pytest.mark.parametrize(
    ("address", "port", "key"),
    [
        ("192.0.2.1", 22, "ssh-ed25519 AAAAa"),
        ("192.0.2.1", 2222, "ssh-ed25519 AAAAb"),
        ("192.0.2.2", 22, ""),
    ],
)
def test_a_key_is_found_past_lines_that_are_no_text(
    tmp_path: Path, address: str, port: int, key: str
) -> None:
    file = tmp_path / "known_hosts"
    file.write_bytes(
        b"\xff\xfe\x00 ssh-ed25519 X\nb\xe9b,192.0.2.1 ssh-ed25519 AAAAa\n"
        b"[192.0.2.1]:2222 ssh-ed25519 AAAAb\n192.0.2.2 ssh-rsa AAAAc\n"
    )
    assert known_host_key(address, port, file) == key
