"""A stub of the external HTTP API for tests. Add the answers that your services need."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {
    "/health": {"status": "ok"},
    "/v6/latest/EUR": {
        "result": "success",
        "base_code": "EUR",
        "rates": {"EUR": 1, "GBP": 0.8, "JPY": 160, "USD": 1.25},
    },
}


class Stub(BaseHTTPRequestHandler):
    """Answers a known path with its JSON, and any other path with 404."""

    def do_GET(self) -> None:
        """Answer a GET request."""
        answer = ANSWERS.get(self.path)
        body = json.dumps(answer or {"result": "error"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Stub).serve_forever()
