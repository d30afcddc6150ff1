#!/usr/bin/env python3
"""Serve `version`, `get`, `set`, `add`, `delete` and `incr` of memcached's text protocol.

Options are ignored, and items never expire.
"""

from __future__ import annotations

import signal
import socketserver
import sys

ITEMS: dict[bytes, bytes] = {}


class Connection(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        """Answer commands until the client leaves."""
        while words := self.rfile.readline().split():
            self.wfile.write(self.answer(*words) + b"\r\n")

    def answer(self, command: bytes, key: bytes = b"", *more: bytes) -> bytes:
        """Execute one command."""
        if command == b"version":
            return b"VERSION 1.6.39"
        if command in (b"set", b"add"):
            data = self.rfile.read(int(more[2]) + 2)[:-2]
            if command == b"add" and key in ITEMS:
                return b"NOT_STORED"
            ITEMS[key] = data
            return b"STORED"
        if command == b"get":
            if key not in ITEMS:
                return b"END"
            return b"VALUE %s 0 %d\r\n%s\r\nEND" % (key, len(ITEMS[key]), ITEMS[key])
        if command == b"delete":
            return b"NOT_FOUND" if ITEMS.pop(key, None) is None else b"DELETED"
        if command == b"incr":
            if key not in ITEMS:
                return b"NOT_FOUND"
            ITEMS[key] = b"%d" % (int(ITEMS[key]) + int(more[0]))
            return ITEMS[key]
        return b"ERROR"


def main() -> None:
    """Serve until Docker stops the container."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer(("", 11211), Connection).serve_forever()


if __name__ == "__main__":
    main()
