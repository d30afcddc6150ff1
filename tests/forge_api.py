"""A stub of a forge's API: it accepts the requests that GitHub and Gitea both accept, and can refuse each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class ForgeApi:
    """The requests that the stub got, and what it refuses."""

    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    url: str = ""

    @property
    def posted(self) -> list[tuple[str, dict[str, Any]]]:
        """The path and body of each POST."""
        return [(path, body) for method, path, body in self.asked if method == "POST"]


def head(branch: str | None) -> dict[str, str | None]:
    """Return a forge's description of a pull request's branch."""
    return {"ref": branch, "label": f"me:{branch}"}


@contextmanager
def running_api() -> Iterator[ForgeApi]:
    """Run the stub for the repository me/shop and the token `secret`."""
    known = ForgeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.answer(json.loads(self.rfile.read(length)))

        def answer(self, body: dict[str, Any]) -> None:
            known.asked.append((self.command, self.path, body))
            path = self.path.partition("?")[0].removeprefix("/api/repos/me/shop/")
            code = 401 if self.headers["Authorization"] != "token secret" else 200
            code = known.refused.get(f"{self.command} {path}", code)
            found: Any = {"html_url": f"http://f/{path}/1"}
            if self.command == "GET":
                found = {"issues": known.issues, "pulls": known.pulls}[path]
            elif code == 200:
                made = {**found, **body, "state": "open", "head": head(body.get("head"))}
                {"issues": known.issues, "pulls": known.pulls}[path].append(made)
            content = json.dumps(found if code == 200 else {"message": "not permitted"}).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
