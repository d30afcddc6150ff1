"""Replaces the dashboard in tests: it prints the bodies of OTLP requests over HTTP, as hexadecimal."""

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Accepts everything."""

    def do_POST(self) -> None:
        """Print a request."""
        body = self.chunks() if self.headers.get("Transfer-Encoding") else self.rest()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        print(self.path, body.hex(), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def rest(self) -> bytes:
        """Read a body of a known length."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def chunks(self) -> bytes:
        """Read a body in chunks."""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


if __name__ == "__main__":
    ThreadingHTTPServer(("", 18890), Handler).serve_forever()
