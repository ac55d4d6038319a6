"""The state's server, asked over HTTP as OpenTofu asks it."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from disco.engine.errors import DiscoError, WrongUse
from disco.engine.machine_lock import MachineLock
from disco.tofu.backend import Backend, serving
from disco.tofu.folder import must_keep_it_here, plain_text_in_memory, refuse_what_was_not_kept

INFO = b'{"ID": "first", "Operation": "OperationTypeApply", "Who": "ana"}'


@dataclass
class Kept:
    state: bytes | None = None
    refuses: bool = False

    def read(self) -> bytes | None:
        return self.state

    def write(self, state: bytes) -> None:
        if self.refuses:
            raise DiscoError("the store is full")
        self.state = state

    def remove(self) -> None:
        self.state = None


@dataclass
class Locks:
    """How often it was taken and is held."""

    taken: int = 0
    held: int = 0
    other: str = ""

    @contextmanager
    def hold(self) -> Iterator[None]:
        if self.other:
            raise DiscoError("another run holds the stack's lock", why=self.other)
        self.taken += 1
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1


@dataclass
class Asking:
    environ: Mapping[str, str]
    password: str = ""
    answers: list[bytes] = field(default_factory=list)

    def __call__(self, method: str, body: bytes = b"", path: str = "") -> int:
        word = self.password or self.environ["TF_HTTP_PASSWORD"]
        login = base64.b64encode(f"{self.environ['TF_HTTP_USERNAME']}:{word}".encode()).decode()
        request = urllib.request.Request(
            self.environ["TF_HTTP_ADDRESS"] + path,
            data=body or None,
            method=method,
            headers={"Authorization": f"Basic {login}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                self.answers.append(answer.read())
                return int(answer.status)
        except urllib.error.HTTPError as error:
            self.answers.append(error.read())
            return error.code


def test_a_state_is_written_read_and_removed() -> None:
    kept, locks = Kept(), Locks()
    with serving(Backend(kept, locks.hold)) as environ:
        ask = Asking(environ)
        assert ask("GET") == 204
        assert ask("POST", b'{"serial": 1}', "?ID=first") == 200
        assert kept.state == b'{"serial": 1}'
        assert (ask("GET"), ask.answers[-1]) == (200, kept.state)
        assert ask("DELETE") == 200
        assert ask("GET") == 204
        assert ask("PATCH", b"x") == 501


def test_the_lock_is_taken_when_it_is_asked_for_and_given_back_at_the_end() -> None:
    locks = Locks()
    with serving(Backend(Kept(), locks.hold)) as environ:
        ask = Asking(environ)
        assert (ask("LOCK", INFO), locks.held) == (200, 1)
        assert (ask("LOCK", b'{"ID": "second"}'), ask.answers[-1]) == (423, INFO)
        assert (ask("UNLOCK", INFO), locks.held) == (200, 0)
        assert (ask("LOCK", INFO), locks.held) == (200, 1)
    assert (locks.taken, locks.held) == (2, 0), "also where the program did not"


def test_the_lock_of_a_machine_is_free_afterwards(tmp_path: Path) -> None:
    """It belongs to the thread that took it."""
    lock = MachineLock(tmp_path / "lock")
    with serving(Backend(Kept(), lambda: lock.hold("tofu"))) as environ:
        ask = Asking(environ)
        assert ask("LOCK", INFO) == 200
        with pytest.raises(DiscoError, match="another run"), lock.hold("apply"):
            pass
        assert ask("UNLOCK", INFO) == 200
        with lock.hold("apply"):
            assert ask("LOCK", INFO) == 423
        assert ask("LOCK", INFO) == 200
    with lock.hold("apply"):
        pass


def test_who_has_the_lock_is_told_to_the_program_and_to_the_person() -> None:
    backend = Backend(Kept(), Locks(other="ben runs `disco apply`").hold)
    with serving(backend) as environ:
        ask = Asking(environ)
        assert ask("LOCK", INFO) == 423
        assert b"ben runs" in ask.answers[-1]
    assert [p.why for p in backend.problems] == ["ben runs `disco apply`"]


def test_a_state_that_can_not_be_kept_is_an_error_for_both() -> None:
    backend = Backend(Kept(refuses=True), Locks().hold)
    with serving(backend) as environ:
        assert Asking(environ)("POST", b"{}") == 500
    assert [p.what for p in backend.problems] == ["the store is full"]


def test_nobody_without_the_password_is_answered() -> None:
    kept = Kept(b"secret")
    with serving(Backend(kept, Locks().hold)) as environ:
        ask = Asking(environ, password="guessed")
        for method in ("GET", "POST", "DELETE", "LOCK", "UNLOCK"):
            assert (ask(method, b"x" if method == "POST" else b""), ask.answers[-1]) == (401, b"")
        assert Asking(environ)("GET", path="/../other") == 404
    assert kept.state == b"secret"


RIGHT = 'terraform {\n  backend "http" {}\n}\n'
WRONG = {
    "": "do not say that the state is kept",
    "# " + RIGHT.replace("\n", " "): "do not say",
    '/*\nterraform { backend "http" {} }\n*/\n': "do not say",
    'terraform {\n  backend "s3" {\n    bucket = "b"\n  }\n}\n': 'main.tf:2:3.*backend "s3"',
    'terraform {\n  backend "http" {\n    address = "http://a"\n  }\n}\n': "2:3.*with settings",
    "terraform {\n  cloud {\n  }\n}\n": "main.tf:2:3.*cloud",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_folder_whose_state_would_go_elsewhere_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "main.tf").write_text(text)
    with pytest.raises(WrongUse, match=f"(?s){WRONG[text]}"):
        must_keep_it_here(tmp_path)


def test_a_folder_that_keeps_its_state_here_is_taken(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('variable "backend" {} // backend "s3" {\n')
    (tmp_path / "backend.tf").write_text(RIGHT)
    must_keep_it_here(tmp_path)
    (tmp_path / "backend.tf").unlink()
    (tmp_path / "b.tf.json").write_text('{"terraform": {"backend": {"http": {}}}}')
    must_keep_it_here(tmp_path)
    (tmp_path / "b.tf.json").write_text('{"terraform": [{"backend": {"gcs": {"a": 1}}}]}')
    with pytest.raises(WrongUse, match='backend "gcs"'):
        must_keep_it_here(tmp_path)
    with pytest.raises(WrongUse, match="no such folder"):
        must_keep_it_here(tmp_path / "none")


def test_a_state_that_was_not_kept_is_in_memory_and_stops_the_next_run(tmp_path: Path) -> None:
    link = tmp_path / "errored.tfstate"
    with plain_text_in_memory(tmp_path):
        assert link.is_symlink()
    assert not link.is_symlink()

    with plain_text_in_memory(tmp_path):
        link.write_text("{}")
    hidden = link.readlink()
    assert hidden.is_relative_to("/dev/shm") and hidden.parent.stat().st_mode & 0o777 == 0o700
    try:
        with pytest.raises(DiscoError, match="could not be kept") as refused:
            refuse_what_was_not_kept(tmp_path)
        assert "state push errored.tfstate" in refused.value.fix
        with plain_text_in_memory(tmp_path):
            assert link.read_text() == "{}"
    finally:
        hidden.unlink()
    refuse_what_was_not_kept(tmp_path)
    assert not link.is_symlink() and not hidden.parent.exists()
