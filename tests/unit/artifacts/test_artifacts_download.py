"""Downloads against a real HTTP server on a loopback address."""

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stamina

from disco.artifacts.download import fetch, figure_in, published_figure, take_member
from disco.engine.errors import DiscoError, Retry

BODY = bytes(range(256)) * 5000
RIGHT = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    busy_answers = 0

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/tool")
            self.end_headers()
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:1000])
        elif self.path == "/busy" and Handler.busy_answers > 0:
            Handler.busy_answers -= 1
            self.send_error(503)
        elif self.path in ("/tool", "/busy"):
            self.answer(BODY)
        elif self.path == "/SHA256SUMS":
            self.answer(f"{RIGHT}  tool\n{'0' * 64}  other\n".encode())
        elif self.path == "/endless":
            self.answer(b"x" * (2 << 20))
        else:
            self.send_error(404)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    stamina.set_testing(True, attempts=2)
    yield
    stamina.set_testing(False)


async def test_a_download_with_the_right_figure_stays(server: str, tmp_path: Path) -> None:
    shares: list[float | None] = []
    await fetch(f"{server}/tool", tmp_path / "tool", RIGHT, lambda note, s: shares.append(s))
    assert (tmp_path / "tool").read_bytes() == BODY
    assert shares[-1] == 1.0


async def test_a_redirect_is_followed(server: str, tmp_path: Path) -> None:
    await fetch(f"{server}/moved", tmp_path / "tool", RIGHT)
    assert (tmp_path / "tool").read_bytes() == BODY


async def test_a_wrong_digest_names_both_figures_and_leaves_no_file(
    server: str, tmp_path: Path
) -> None:
    with pytest.raises(DiscoError) as caught:
        await fetch(f"{server}/tool", tmp_path / "tool", "0" * 64)
    assert "0" * 64 in caught.value.what and RIGHT in caught.value.what
    assert not (tmp_path / "tool").exists()


async def test_a_release_that_is_gone_says_404_and_is_not_asked_again(
    server: str, tmp_path: Path
) -> None:
    with pytest.raises(DiscoError) as caught:
        await fetch(f"{server}/gone", tmp_path / "tool", RIGHT)
    assert "404" in caught.value.why and caught.value.retry is Retry.NEVER
    assert not (tmp_path / "tool").exists()


async def test_a_cut_transfer_is_noticed_and_leaves_no_file(server: str, tmp_path: Path) -> None:
    with pytest.raises(DiscoError) as caught:
        await fetch(f"{server}/cut", tmp_path / "tool", RIGHT)
    assert "too early" in caught.value.what and caught.value.retry is Retry.LIKELY
    assert not (tmp_path / "tool").exists()


async def test_a_refused_connection_says_which_host(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/tool"
        with pytest.raises(DiscoError) as caught:
            await fetch(url, tmp_path / "tool", RIGHT)
    assert "127.0.0.1 can't be reached" in caught.value.what


async def test_a_busy_server_is_asked_again(server: str, tmp_path: Path) -> None:
    Handler.busy_answers = 1
    await fetch(f"{server}/busy", tmp_path / "tool", RIGHT)
    assert (tmp_path / "tool").read_bytes() == BODY


async def test_a_published_figure_is_read_from_the_list_beside_the_release(server: str) -> None:
    assert await published_figure(f"{server}/SHA256SUMS", "tool") == RIGHT


async def test_an_endless_checksum_file_is_refused(server: str) -> None:
    with pytest.raises(DiscoError, match="checksum file"):
        await published_figure(f"{server}/endless", "tool")


@pytest.mark.parametrize(
    "text", [f"{RIGHT}\n", f"{RIGHT}  tool", f"{RIGHT} *tool\n", f"{RIGHT.upper()}  ./tool\n"]
)
def test_a_figure_is_found_in_every_usual_form(text: str) -> None:
    assert figure_in(text, "tool", "x") == RIGHT


@pytest.mark.parametrize(
    "text",
    ["", f"{RIGHT}  other\n", f"{RIGHT}  tool\n{RIGHT}  tool\n", "abc  tool\n", "<html>no</html>"],
)
def test_a_list_that_does_not_name_the_file_once_is_refused(text: str) -> None:
    with pytest.raises(DiscoError, match="checksum file"):
        figure_in(text, "tool", "x")


def archives(folder: Path) -> list[Path]:
    tar_file, zip_file = folder / "a.tar.gz", folder / "a.zip"
    with tarfile.open(tar_file, "w:gz") as tar:
        info = tarfile.TarInfo("./bin/tool")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"tool"))
    with zipfile.ZipFile(zip_file, "w") as z:
        z.writestr("bin/tool", b"tool")
    return [tar_file, zip_file]


def test_one_file_is_taken_out_of_an_archive(tmp_path: Path) -> None:
    for archive in archives(tmp_path):
        take_member(archive, "bin/tool", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"tool"


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    for archive in archives(tmp_path):
        with pytest.raises(DiscoError) as caught:
            take_member(archive, "bin/gone", tmp_path / "out")
        assert "bin/gone" in caught.value.what


def test_a_broken_archive_is_told(tmp_path: Path) -> None:
    whole = archives(tmp_path)[0].read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[:40])
    (tmp_path / "page.tar.gz").write_bytes(b"<html>")
    for name in ("cut.tar.gz", "page.tar.gz"):
        with pytest.raises(DiscoError, match="can't be taken out"):
            take_member(tmp_path / name, "bin/tool", tmp_path / "out")
