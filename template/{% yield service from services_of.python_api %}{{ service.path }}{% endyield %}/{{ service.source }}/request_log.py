"""The id of a request: it is in its logs and its response, and is passed to other services."""

import logging
import secrets
import time
from urllib.parse import quote

import httpx2
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .logs import REQUEST_ID, request_id

HEADER = "X-Request-ID"

#: Health checks are frequent, so they are not logged.
NOT_LOGGED = ("/health", "/ready")

logger = logging.getLogger(__name__)


class RequestLog:
    """Takes the id of a request from its header, or creates one, and logs the request."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        # It is never reset, because the server logs an error after this. Each request has its own
        # context.
        request_id.set(given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16))
        started = time.perf_counter()
        status = 0

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id.get()
            await send(message)

        try:
            await self.app(scope, receive, respond)
        except Exception:
            # Starlette would send the same response, but without the id.
            if not status:
                await PlainTextResponse("Internal Server Error", 500)(scope, receive, respond)
            raise
        finally:
            if scope["path"] not in NOT_LOGGED:
                client = scope.get("client")
                fields = {
                    "client": client[0] if client else None,
                    "method": scope["method"],
                    "path": quote(scope["path"]),
                    "status": status,
                    "ms": round((time.perf_counter() - started) * 1000),
                }
                text = "%(method)s %(path)s: %(status)d in %(ms)d ms"
                logger.info(text, fields, extra={"fields": fields})


def add_request_id(request: httpx2.Request) -> None:
    """Add the id to a request to another service. The client calls this hook."""
    if request_id.get():
        request.headers[HEADER] = request_id.get()
