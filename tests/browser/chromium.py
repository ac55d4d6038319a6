"""A headless Chromium, driven by the DevTools protocol over two pipes: no port, no other program.

Messages are JSON objects that a zero byte ends; see `--remote-debugging-pipe`.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "/usr/bin/chromium"
WITHIN_S = 60.0
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}


class Tab:
    """One page. Everything waits at most WITHIN_S."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._rest = b""
        self._last = 0
        self._session = ""
        self.errors: list[str] = []  # what the page complained about in its console
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        self._last += 1
        mine = self._last
        message = {"id": mine, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == mine:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            self._note(told)

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reads], [], [], WITHIN_S)
            more = os.read(self._reads, 1 << 20) if ready else b""
            assert more, "the browser says nothing any more"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, told: Any) -> None:
        match told.get("method"):
            case "Runtime.exceptionThrown":
                details = told["params"]["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", "")
                self.errors.append(thrown or details["text"])
            case "Log.entryAdded" if told["params"]["entry"]["level"] == "error":
                self.errors.append(told["params"]["entry"]["text"])

    def open(self, address: str) -> None:
        """Until it is loaded."""
        self.call("Page.navigate", url=address)
        page = json.dumps(address.partition("#")[0])
        self.wait(f"location.href.startsWith({page}) && document.readyState === 'complete'")

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, script: str) -> Any:
        """Until an expression is true."""
        ends = time.monotonic() + WITHIN_S
        while not (found := self.ask(script)):
            assert time.monotonic() < ends, f"{script}; the page: {self.text()}; {self.errors}"
            time.sleep(0.05)
        return found

    def text(self) -> str:
        return str(self.ask("document.body.innerText"))

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of it: what lies over it takes the click, as it would."""
        at = self.wait(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " if (!e) return null; e.scrollIntoView({block: 'center'});"
            " const r = e.getBoundingClientRect();"
            " return r.width ? [r.x + r.width / 2, r.y + r.height / 2] : null })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1
            )

    def press(self, key: str) -> None:
        code = KEYS.get(key, 0)
        text = {"text": "\r"} if key == "Enter" else {} if code else {"text": key}
        known = {"key": key, "windowsVirtualKeyCode": code, **text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def prefers(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def chromium() -> Iterator[Tab]:
    """A browser with an empty profile."""
    to_read, to_write = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(
        prefix="disco-browser-", ignore_cleanup_errors=True
    ) as profile:
        argv = [PROGRAM, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        argv += ["--no-first-run", "--disable-gpu", "--disable-background-networking"]
        argv += ["--no-proxy-server", "--disable-component-update", "--disable-dev-shm-usage"]
        argv += ["--no-sandbox"] if os.geteuid() == 0 else []  # root has none
        line = f'exec "$@" 3<&{to_write[0]} 4>&{to_read[1]}'
        process = subprocess.Popen(
            ["bash", "-c", line, "chromium", *argv],
            pass_fds=(to_write[0], to_read[1]),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(to_write[0])
        os.close(to_read[1])
        try:
            yield Tab(to_read[0], to_write[1])
        finally:
            os.close(to_write[1])  # it ends when nobody talks to it any more
            os.close(to_read[0])
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
