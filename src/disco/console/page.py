"""What the console answers: its files, and the stack as data. Nothing in it changes anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from disco.console import drawing, live
from disco.console.asking import Asking
from disco.console.guard import Guard, Keys, refusal
from disco.console.source import Source

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/console.css": ("console.css", "text/css; charset=utf-8"),
    "/console.js": ("console.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
STREAMS = 8  # pages that follow at the same time
READERS = 4  # questions about logs and dashboards at the same time
READ_S = 60.0
SPAN_S, LONGEST_S = 3600.0, 90 * 86400.0  # of a dashboard, when nothing else is said, and at most
MISTAKE = {
    "what": "a mistake in DISCO itself",
    "where": "",
    "why": "",
    "fix": "the same command at the terminal tells more, and what to report",
}
Endpoint = Callable[[Request], Awaitable[Response]]


def page(source: Source, keys: Keys, address: str, ends: Callable[[], bool]) -> ASGIApp:
    """The application. ends: whether the server is about to end, so that streams do."""
    stack = _Stack(source, keys, ends)
    routes = [Route(path, partial(_file, *_read(*file))) for path, file in FILES.items()]
    routes += [
        Route("/session", stack.session),
        Route("/api/stack", stack.answers(stack.stack)),
        Route("/api/status", stack.answers(partial(stack.asked, "status", source.status))),
        Route("/api/check", stack.answers(partial(stack.asked, "check", source.checks))),
        Route("/api/alerts", stack.answers(partial(stack.asked, "alerts", source.alerts))),
        Route("/api/logs", stack.logs),
        Route("/api/board", stack.board),
        Route("/api/plan", stack.answers(partial(stack.asked, "plan", source.plan))),
        Route("/api/history", stack.answers(stack.history)),
        Route("/api/graph", stack.answers(stack.graph)),
        Route("/api/events", stack.events),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _nothing_there})
    return Guard(app, keys, address, frozenset({"/api/", "/session"}))


def _read(name: str, kind: str) -> tuple[bytes, str]:
    return resources.files("disco.console").joinpath("static", name).read_bytes(), kind


async def _file(content: bytes, kind: str, request: Request) -> Response:
    return Response(content, media_type=kind)


async def _nothing_there(request: Request, error: Exception) -> Response:
    return refusal(404, "there is no such page", "open /")


class _Stack:
    """The answers about one stack."""

    def __init__(self, source: Source, keys: Keys, ends: Callable[[], bool]) -> None:
        self._source, self._keys, self._ends = source, keys, ends
        self._asking = Asking()
        self._streams = 0
        self._readers = asyncio.Semaphore(READERS)

    def answers(self, tell: Callable[[], Awaitable[Any]]) -> Endpoint:
        """Data or errors as JSON, without secrets; never a traceback."""

        async def endpoint(request: Request) -> Response:
            try:
                return self._json(200, await tell())
            except Exception as error:
                return self._failed(error)

        return endpoint

    def _failed(self, error: Exception) -> Response:
        return self._json(503, {"errors": self._source.told(error) or [MISTAKE]})

    def _json(self, status: int, told: Any) -> Response:
        text = self._source.veiled(json.dumps(told, ensure_ascii=False))
        return Response(text, status, media_type="application/json")

    async def session(self, request: Request) -> Response:
        """The cookie, for who has the token; nothing is kept of it here."""
        if not self._keys.is_token(request.headers):
            return Response(status_code=204)
        response = Response(status_code=204)
        response.set_cookie(
            self._keys.cookie, self._keys.session, httponly=True, samesite="strict", path="/"
        )
        return response

    async def stack(self) -> Any:
        source = self._source
        return {"name": source.name, "logs": source.names(), "boards": source.boards()}

    async def logs(self, request: Request) -> Response:
        """Lines of one name."""
        asked = [request.query_params.get(key, "") for key in ("name", "since", "query")]

        async def found() -> Any:
            return {"lines": await self._source.logs(*asked)}

        return await self._read(found)

    async def board(self, request: Request) -> Response:
        """One dashboard. `seconds`: how far it looks back."""
        name, text = (request.query_params.get(key, "") for key in ("name", "seconds"))
        span_s = float(text) if text.isdecimal() else SPAN_S
        return await self._read(lambda: self._source.board(name, min(max(span_s, 60.0), LONGEST_S)))

    async def _read(self, question: Callable[[], Awaitable[Any]]) -> Response:
        """Each question is another one, so nothing of the answers is kept."""
        try:
            async with self._readers, asyncio.timeout(READ_S):
                return self._json(200, await question())
        except Exception as error:
            return self._failed(error)

    async def asked(self, what: str, question: Callable[[], Awaitable[Any]]) -> Any:
        return vars(await self._asking.ask(what, question))

    async def history(self) -> Any:
        return await asyncio.to_thread(self._source.history)  # it may ask a team's remote

    async def graph(self) -> Any:
        graph = self._source.graph()
        nodes = [
            {"name": n.name, "layer": n.component.layer.title, "on": list(n.upstream)}
            for n in graph
        ]
        return {"svg": drawing.svg(graph), "nodes": nodes}

    async def events(self, request: Request) -> Response:
        if self._streams >= STREAMS:
            return refusal(503, f"{STREAMS} pages follow already", "close one of them")
        try:
            live.must_be_readable(self._source.journal)
        except OSError as error:
            return self._failed(error)
        return StreamingResponse(self._following(), media_type="text/event-stream")

    async def _following(self) -> Any:
        self._streams += 1
        try:
            async for text in live.stream(self._source.journal, self._source.veiled, self._ends):
                yield text
        finally:
            self._streams -= 1
