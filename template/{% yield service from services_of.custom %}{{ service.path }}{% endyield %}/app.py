"""A placeholder: replace it with your own service, in any language."""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8000


def answer(path: str) -> tuple[int, dict[str, str]]:
    """Return the status code and the JSON for a path."""
    if path == "/health":
        return 200, {"status": "ok"}
    return 404, {"detail": "Not Found"}


class Handler(BaseHTTPRequestHandler):
    """Answers GET requests with JSON."""

    def do_GET(self) -> None:
        """Answer one request."""
        status, content = answer(self.path)
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    # SIGTERM has no default action in the first process of a container, so it needs a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
