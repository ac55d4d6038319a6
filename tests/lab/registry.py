"""A private registry with one image: the pull half of the OCI distribution API, behind a password.

`registry.py ARCHIVE IMAGE PORT CERTIFICATE KEY` serves IMAGE of an OCI archive on loopback. It
reads the password that it takes from its input, a line for each new one, and writes a line for each
login that it saw: `taken` or `refused`.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
import tarfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER = "me"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Image:
    manifest: bytes
    digest: str
    blobs: dict[str, bytes]

    @classmethod
    def read(cls, archive: str, name: str) -> Image:
        with tarfile.open(archive) as tar:

            def member(path: str) -> bytes:
                found = tar.extractfile(path)
                assert found is not None
                return found.read()

            def blob(digest: str) -> bytes:
                return member(f"blobs/{digest.replace(':', '/')}")

            listed = json.loads(member("index.json"))["manifests"]
            digest = next(m["digest"] for m in listed if name in m["annotations"].values())
            manifest = json.loads(blob(digest))
            parts = [manifest["config"], *manifest["layers"]]
            return cls(blob(digest), digest, {p["digest"]: blob(p["digest"]) for p in parts})


def main(archive: str, name: str, port: str, certificate: str, key: str) -> None:
    image, password = Image.read(archive, name), ""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
            if kind != "Basic":
                self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="private"'})
                return
            taken = base64.b64decode(encoded).decode() == f"{USER}:{password}"
            print("taken" if taken else "refused", flush=True)
            if not taken:
                self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="private"'})
                return
            _, _, what = self.path.rpartition("/")
            if "/manifests/" in self.path:
                more = {"Content-Type": MANIFEST, "Docker-Content-Digest": image.digest}
                self._answer(200, image.manifest, more)
            elif what in image.blobs:
                self._answer(200, image.blobs[what], {"Content-Type": "application/octet-stream"})
            else:
                self._answer(404, b"", {})

        do_HEAD = do_GET

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        password = line.rstrip("\n")
        print("listening", flush=True)
    server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
