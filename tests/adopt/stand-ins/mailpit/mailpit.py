#!/usr/bin/env python3
"""Receive mail on port 1025 and list it on port 8025, as Mailpit does.

`/mailpit readyz` exits with 0 if the server is ready.
"""

from __future__ import annotations

import email
import email.policy
import email.utils
import json
import signal
import socketserver
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MESSAGES: list[dict[str, Any]] = []


class Mail(socketserver.StreamRequestHandler):
    """One SMTP connection."""

    def reply(self, text: str) -> None:
        """Send one line."""
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self) -> None:
        """Accept every message."""
        self.reply("220 mailpit")
        while command := self.rfile.readline().strip().upper():
            if command == b"DATA":
                self.reply("354 end with .")
                self.receive()
            if command == b"QUIT":
                self.reply("221 bye")
                return
            self.reply("250 ok")

    def receive(self) -> None:
        """Store a message."""
        lines = []
        while (line := self.rfile.readline()) and line != b".\r\n":
            lines.append(line.removeprefix(b"."))
        message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        body = message.get_body(("plain",))
        addresses = email.utils.getaddresses(message.get_all("To", []))
        MESSAGES.append(
            {
                "ID": str(len(MESSAGES) + 1),
                "To": [{"Name": name, "Address": address} for name, address in addresses],
                "Subject": message["Subject"],
                "Text": body.get_content() if body else "",
            }
        )


class Api(BaseHTTPRequestHandler):
    """The part of Mailpit's HTTP API that the tests use."""

    def do_GET(self) -> None:
        """List the messages, newest first, or return one."""
        found = [one for one in MESSAGES if self.path == f"/api/v1/message/{one['ID']}"]
        body: Any = found[0] if found else None
        if self.path == "/api/v1/messages":
            body = {"total": len(MESSAGES), "messages": MESSAGES[::-1]}
        if self.path == "/readyz":
            body = "ok"
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def main(arguments: list[str]) -> None:
    """Serve, or check the health."""
    if arguments == ["readyz"]:
        urllib.request.urlopen("http://127.0.0.1:8025/readyz", timeout=2)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    smtp = socketserver.ThreadingTCPServer(("", 1025), Mail)
    threading.Thread(target=smtp.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("", 8025), Api).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
