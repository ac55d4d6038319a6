"""Who is answered: one who has the token, on this machine's own name, from a page of ours.

There is no TLS, and other programs of the machine can reach a port on loopback. So the token is
the whole protection: 256 random bits for each start, in the fragment of an address (which browsers
send to nobody), changed by the page for a cookie that no script can read.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
METHODS = ("GET", "HEAD")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def _random() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Keys:
    """What opens this console. token: in the address that is printed. session: in the cookie.

    cookie: its name; cookies of one machine are not told apart by port, so the name is.
    """

    cookie: str
    token: str = field(default_factory=_random, repr=False)
    session: str = field(default_factory=_random, repr=False)

    def open(self, headers: Headers) -> bool:
        """Whether a request has the cookie, or the token itself as programs send it."""
        sent = _cookie(headers.get("cookie", ""), self.cookie)
        return _same(sent, self.session) or self.is_token(headers)

    def is_token(self, headers: Headers) -> bool:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _same(sent.strip(), self.token)


def _same(sent: str, kept: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return hmac.compare_digest(sent.encode(), kept.encode())


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


class Guard:
    """Refuses what is not for us before anything looks at it.

    address: the one that is listened at. A page of somebody else can make a browser call us by a
    name of theirs (DNS rebinding); the name in `Host` is theirs then, so it has to be ours.
    """

    def __init__(self, app: ASGIApp, keys: Keys, address: str, needs_key: frozenset[str]) -> None:
        self._app, self._keys, self._address = app, keys, address
        self._needs_key = needs_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(scope)
        app = refusal(*refused) if refused else self._app
        await app(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            fix = "open the address that disco console printed"
            return 421, "this console is not called by that name", fix
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "a page of somebody else asked", "open the console in a tab of its own"
        if scope["method"] not in METHODS:
            return 405, "the console only reads", "use the command line for changes"
        if scope["path"].startswith(tuple(self._needs_key)) and not self._keys.open(headers):
            fix = "open the address that disco console printed, with all that stands after the #"
            return 401, "the token is missing or wrong", fix
        return None

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        try:
            address = ipaddress.ip_address(self._address)
        except ValueError:
            return name == self._address.lower()
        if address.is_unspecified:  # every address of the machine, but no name
            return _is_address(name) or name == "localhost"
        return name == str(address) or (address.is_loopback and name in LOOPBACK_NAMES)


def refusal(status: int, what: str, fix: str) -> JSONResponse:
    error = {"what": what, "where": "", "why": "", "fix": fix}
    headers = {"allow": ", ".join(METHODS)} if status == 405 else None
    return JSONResponse({"errors": [error]}, status, headers)


def _name_of(host: str) -> str:
    """The name in `name:port` or `[address]:port`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
